"""The same ablation under several seeds: does a difference survive another training, other tasks, another draw?"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from atommem_cli.compare.comparison import SIGNIFICANT, Comparison, Side
from atommem_cli.compare.curves import student
from atommem_cli.core.errors import RunMismatch
from atommem_cli.runs.tables import Table, points
from atommem_cli.scoring.metrics import lowest


def pool(comparisons: Sequence[Comparison], names: Sequence[str]) -> tuple[list[Table], list[str]]:
    """Differences of the arms that all comparisons have, over the comparisons, in points; each counts the same.

    Args:
        names: one per comparison.

    Returns:
        Tables, and a sentence per arm.

    Raises:
        RunMismatch: they have no arm in common, or other scorers.
    """
    first = comparisons[0]
    if any((c.scorer, c.judge) != (first.scorer, first.judge) for c in comparisons):
        raise RunMismatch("these ablations cannot be pooled: their leading scorers differ, or who judged")
    sides = {side.label: [c.against(side.label) for c in comparisons] for side in first.sides[1:]}
    common = {label: [s for s in each if s] for label, each in sides.items() if all(each)}
    if not common:
        raise RunMismatch("these ablations cannot be pooled: no valid arm is in all of them")
    rows, least = [], lowest(first.scorer)
    for label, each in common.items():
        deltas = [side.difference.delta for side in each if side.difference]
        sure = sum(side.holm is not None and side.holm <= SIGNIFICANT for side in each)
        rows.append((label, _spread(deltas, least), *(f"{100 * d:+.1f}" for d in deltas), f"{sure} of {len(each)}"))
    base = [f"{100 * c.base.score.mean:.1f}" for c in comparisons]
    scores = fmean(c.base.score.mean for c in comparisons)
    title = (
        f"{first.title} on {first.source}: differences to {first.base.label} in points, over {len(comparisons)} "
        "ablations; intervals 95 %, Student's t over the ablations, which knows nothing of the tasks in them"
    )
    headers = ("run", "mean [95 %]", *names, "significant (Holm)")
    tables = [Table(title, headers, ((f"{first.base.label} (score)", f"{100 * scores:.1f}", *base, ""), *rows))]
    kinds = [kind for kind in first.base.groups if all(kind in c.base.groups for c in comparisons)]
    if len(kinds) > 1:
        tables.append(_by_kind(comparisons, common, kinds))
    return tables, [_says(first, label, each) for label, each in common.items()]


def _says(first: Comparison, label: str, sides: Sequence[Side]) -> str:
    deltas = [side.difference.delta for side in sides if side.difference]
    sure = sum(side.holm is not None and side.holm <= SIGNIFICANT for side in sides)
    signs = {delta > 0 for delta in deltas if delta}
    agree = "all in one direction" if len(signs) == 1 and all(deltas) else "not all in one direction"
    agree = "the same in all" if len(set(deltas)) == 1 else agree
    return (
        f"{label}: {_spread(deltas, lowest(first.scorer))} points of {first.title} over {len(deltas)} ablations, "
        f"{agree}, significant in {sure} "
        "of them; the interval is for the mean of such seeds, from these few alone."
    )


def _by_kind(comparisons: Sequence[Comparison], common: dict[str, list[Side]], kinds: Sequence[str]) -> Table:
    first = comparisons[0]
    scores = (f"{100 * fmean(c.base.groups[kind][0] for c in comparisons):.1f}" for kind in kinds)
    rows: list[tuple[str, ...]] = [(f"{first.base.label} (score)", *scores)]
    for label, each in common.items():
        cells = []
        for kind in kinds:
            found = [side.groups[kind][1] for side in each]
            cells.append(_spread([d.delta for d in found if d], lowest(first.scorer)))
        rows.append((label, *cells))
    title = f"{first.title} by kind of question: mean difference over the ablations [95 %]"
    return Table(title, ("run", *kinds), tuple(rows))


def _spread(deltas: Sequence[float], least: float) -> str:
    """Mean with Student's interval over the values; without one where they do not differ, which proves nothing."""
    found = student(deltas).within(least - 1, 1 - least)
    return points(*found) if found.known else f"{100 * found.mean:+.1f} [-]"
