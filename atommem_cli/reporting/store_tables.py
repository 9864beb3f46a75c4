"""How well stores were kept, and what that took, as tables: one row per run."""

from __future__ import annotations

from collections.abc import Mapping

from atommem_cli.compare.paired import Difference, paired
from atommem_cli.core.types import OpKind
from atommem_cli.explain.store_grades import StoreGrades
from atommem_cli.runs.tables import Table, number, percent, points, sized
from atommem_cli.scoring.intervals import Interval

Differences = Mapping[str, Difference]
"""Of memory quality to that of the first run, by the name of a run."""


def differences(found: Mapping[str, StoreGrades]) -> dict[str, Difference]:
    """Of each run that was graded on the same tasks as the first one, paired by episode."""
    base, *others = found.items()
    tasks = base[1].by_task
    return {
        name: paired([one.by_task[task] for task in tasks], list(tasks.values()))
        for name, one in others
        if tasks and one.by_task.keys() == tasks.keys()
    }


def tables(found: Mapping[str, StoreGrades], first: str = "run", apart: Differences | None = None) -> list[Table]:
    """Memory quality, where a run has any, and calls of tools.

    Args:
        found: by the name of a run.
        first: what these names are.
        apart: `differences`, where runs are compared.
    """
    made = [calls(found, first)] if any(one.called for one in found.values()) else []
    return [quality(found, first, apart), *made] if any(one.quality for one in found.values()) else made


def quality(found: Mapping[str, StoreGrades], first: str = "run", apart: Differences | None = None) -> Table:
    """Memory quality of each run; a dash where it has none, or its tasks are gone. Arguments as those of `tables`."""
    judged = any(one.judged for one in found.values())
    rows = tuple(
        (
            name,
            _interval(one.quality),
            *((_apart(apart.get(name)),) if apart else ()),
            _share(one.coverage),
            _share(one.precision),
            _interval(one.joint),
            *((_interval(one.judged), one.judge or "-", _agreement(one)) if judged else ()),
            sized(one.quality.n, one.quality.tasks) if one.quality else "-",
        )
        for name, one in found.items()
    )
    title = (
        "Memory quality: coverage of gold facts x precision of entries, of the store at the end, in % with 95 % "
        "intervals clustered by task; joint: square root of answer x quality; means over episodes"
    )
    theirs = ("by a judge", "judge", "rank correlation, mean difference") if judged else ()
    difference = ("difference [95 %], p",) if apart else ()
    return Table(title, (first, "memory quality", *difference, "coverage", "precision", "joint", *theirs, "n"), rows)


def calls(found: Mapping[str, StoreGrades], first: str = "run") -> Table:
    """What each run's policy called, per episode; in brackets what took effect."""
    kinds = [kind for kind in OpKind if any(kind in one.called for one in found.values())]
    rows = tuple(
        (
            name,
            *(f"{one.called[kind]:.2f} ({one.effective[kind]:.2f})" if kind in one.called else "-" for kind in kinds),
            f"{one.calls:.1f}",
            number(round(one.tokens)),
        )
        for name, one in found.items()
    )
    title = "Operations per episode, in brackets those that took effect; model calls and tokens; means"
    return Table(title, (first, *kinds, "calls", "tokens"), rows)


def _interval(interval: Interval | None) -> str:
    return percent(interval.mean, interval.low, interval.high) if interval else "-"


def _apart(found: Difference | None) -> str:
    return f"{points(found.delta, found.low, found.high)}, {found.p:.2g}" if found else ""


def _agreement(one: StoreGrades) -> str:
    if one.agreement is None or one.agreement.difference is None:
        return "-"
    rank = "-" if one.agreement.spearman is None else f"{one.agreement.spearman:.2f}"
    return f"{rank}, {100 * one.agreement.difference:.1f}"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f}"
