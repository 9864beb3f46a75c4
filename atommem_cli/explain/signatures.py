"""What goes wrong with a memory beside a context (AgeMem, arXiv 2601.01885), counted from gold facts and journal.

Hoarding: entries that never held a gold fact. Amnesia: gold facts that were shown and never written. Wipe-out: gold
facts that the context had and the memory did not, when a tool of the policy took them out of the context. Distraction:
entries that were written while the agent read nothing but distractors.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from atommem_cli.core.chunking import distracting
from atommem_cli.core.types import OpKind, Outcome
from atommem_cli.explain.counts import Counts
from atommem_cli.explain.fact_trails import Traced, trace
from atommem_cli.runs.reader import Run
from atommem_cli.runs.tables import Table


@dataclass(frozen=True, slots=True)
class Signatures(Counts):
    """Of episodes whose agent keeps a context. Facts count per question."""

    created: int = 0
    idle: int = 0
    """Of these entries, those that never held a gold fact."""
    shown: int = 0
    unwritten: int = 0
    """Of these facts, those that were never written."""
    heard: int = 0
    wiped: int = 0
    """Of these facts, those that a Filter or a Summary took from the context while the memory was without them."""
    tempted: int = 0
    """Entries created in episodes whose task has distractors."""
    distracted: int = 0
    """Of these entries, those that were written while a chunk showed distractors alone."""


def of(traced: Traced) -> Signatures | None:
    """Those of one episode; None where no prompt showed a context."""
    if not any(line.get("context") for line in traced.steps):
        return None
    late = distracting(traced.task.documents, traced.chunks)
    created: dict[int, int | None] = {
        op["entry"]: line.get("chunk")
        for line in traced.steps
        for op in line["ops"]
        if (op["kind"], op["outcome"]) == (OpKind.CREATE, Outcome.OK)
    }
    trails = traced.trails
    useful = set().union(*(trail.stated_by for trail in trails))
    return Signatures(
        created=len(created),
        idle=len(created.keys() - useful),
        shown=sum(trail.shown is not None for trail in trails),
        unwritten=sum(trail.shown is not None and trail.written is None for trail in trails),
        heard=sum(trail.context.heard is not None for trail in trails),
        wiped=sum(trail.wiped for trail in trails),
        tempted=len(created) if late else 0,
        distracted=sum(chunk in late for chunk in created.values()),
    )


def of_run(run: Run) -> Signatures | None:
    """Those of a whole run; None where no prompt showed a context.

    Raises:
        SourceError, RunMismatch: the tasks are not those that were played, or a file is damaged; as `Run`.
    """
    found = [one for line in run.episodes.values() if (one := of(trace(run, line)))]
    return functools.reduce(operator.add, found) if found else None


Counted = Callable[[Signatures], tuple[int, int]]

ROWS: list[tuple[str, str, Counted]] = [
    ("hoarded", "entries that never held a gold fact, of those created", lambda s: (s.idle, s.created)),
    ("forgotten", "gold facts never written, of those shown", lambda s: (s.unwritten, s.shown)),
    ("wiped out", "gold facts taken from the context unwritten, of those in it", lambda s: (s.wiped, s.heard)),
    ("distracted", "entries written of distractors, of those created", lambda s: (s.distracted, s.tempted)),
]
"""Of the table of hygiene: in a word, what is counted, and of how many."""


def rows(found: Iterable[Signatures | None]) -> list[tuple[str, ...]]:
    """Rows of a table with a column for each run; none where no run has any."""
    columns: Sequence[Signatures | None] = [*found]
    if not any(columns):
        return []
    cells = ((*("-" if one is None else share(*part(one)) for one in columns),) for _, _, part in ROWS)
    return [(f"{name}: {what}", *each) for (name, what, _), each in zip(ROWS, cells, strict=True)]


def table(found: Mapping[str, Signatures]) -> Table:
    """A row for each run."""
    headers = ("run", *(f"{name}: {what}" for name, what, _ in ROWS))
    cells = ((label, *(share(*part(one)) for _, _, part in ROWS)) for label, one in found.items())
    return Table("What went wrong with memory and context", headers, tuple(cells))


def share(part: int | None, whole: int) -> str:
    """A part in %, and of how many; a dash where there is nothing to say."""
    return f"{100 * part / whole:.1f} % of {whole}" if whole and part is not None else "-"
