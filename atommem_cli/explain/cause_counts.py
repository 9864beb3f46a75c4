"""How many questions were missed for which cause, over a run and by kind of question."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from atommem_cli.core.types import Task
from atommem_cli.explain.causes import OCCASIONAL, Cause
from atommem_cli.explain.miss_causes import Explanation, explain_run
from atommem_cli.runs.reader import Run
from atommem_cli.runs.summary import labels, overlap
from atommem_cli.runs.tables import Table


@dataclass(slots=True)
class Tally:
    """Missed questions and broken facts by cause."""

    questions: int = 0
    missed: int = 0
    causes: dict[Cause, int] = field(default_factory=lambda: _counts({}))
    """Missed questions; every cause, 0 too, in order. Those of `OCCASIONAL` are there where they occur."""
    contradicted: int = 0
    """Of those with everything in view (retrieved, not used; stale value believed): another value was in view, too."""
    outdated: int = 0
    """Missed questions whose answer was true once and is no more, whatever broke first; 0 where that is not known."""
    facts: int = 0
    broken: dict[Cause, int] = field(default_factory=lambda: _counts({}))
    """Supporting facts of all questions, missed or not; likewise."""

    def add(self, explanation: Explanation) -> None:
        """Count one more."""
        self.questions += 1
        self.missed += explanation.missed
        self.facts += len(explanation.facts)
        if explanation.cause is not None:
            self.causes = _counts(self.causes, explanation.cause)
        self.outdated += explanation.outdated
        if explanation.cause in (Cause.NOT_USED, Cause.OUTDATED):
            self.contradicted += any(fact.contradicted for fact in explanation.facts)
        for fact in explanation.facts:
            if fact.cause is not None:
                self.broken = _counts(self.broken, fact.cause)


def _counts(counts: dict[Cause, int], found: Cause | None = None) -> dict[Cause, int]:
    """The counts with one more of what was found."""
    if found in counts:
        counts[found] += 1
        return counts
    counts = counts | ({} if found is None else {found: 1})
    return {cause: counts.get(cause, 0) for cause in Cause if cause in counts or cause not in OCCASIONAL}


def tally(explanations: Iterable[Explanation]) -> Tally:
    """Count them."""
    counted = Tally()
    for explanation in explanations:
        counted.add(explanation)
    return counted


def summarize(run: Run) -> dict[str, Tally]:
    """The tally of a run: "all", then by kind of question (`summary.labels`).

    Raises:
        UsageError, SourceError, RunMismatch: as `explain_episode`.
    """
    tallies = Tallies()
    for _, task, explanations in explain_run(run):
        tallies.add(task, explanations)
    return tallies.by_kind()


class Tallies:
    """The tallies of `summarize`, episode by episode."""

    def __init__(self) -> None:
        self._groups: dict[str, Tally] = defaultdict(Tally)

    def add(self, task: Task, explanations: Iterable[Explanation]) -> None:
        """Count the questions of one more episode."""
        for explanation in explanations:
            for group in ("all", *labels(task.questions[explanation.question])):
                self._groups[group].add(explanation)

    def by_kind(self) -> dict[str, Tally]:
        """ "all" first, then the kinds."""
        return {name: self._groups[name] for name in sorted(self._groups, key=lambda n: (n != "all", n))}


TITLE = "why questions were missed: the earliest broken stage"


_RARE = (*OCCASIONAL, Cause.WITHHELD, Cause.FAILED, Cause.UNTOLD)
"""These have a column where there are any."""


def table(tallies: Mapping[str, Tally], title: str = TITLE) -> Table:
    """One row per tally: missed questions by cause, in counts and in % of the missed."""
    found = {cause for counted in tallies.values() for cause, count in counted.causes.items() if count}
    causes = [cause for cause in Cause if cause in found or cause not in _RARE]
    stale = any(counted.outdated for counted in tallies.values())
    headers = ("", "questions", "missed", *(cause.value for cause in causes), "not used beside another value")
    headers += ("answered what is no more",) if stale else ()
    rows = tuple(
        (
            name,
            str(counted.questions),
            str(counted.missed),
            *(_share(counted.causes.get(cause, 0), counted.missed) for cause in causes),
            str(counted.contradicted),
            *((_share(counted.outdated, counted.missed),) if stale else ()),
        )
        for name, counted in tallies.items()
    )
    return Table(f"{title}{overlap(tallies)}", headers, rows)


def _share(count: int, of: int) -> str:
    return f"{count} ({100 * count / of:.0f} %)" if count else "0"
