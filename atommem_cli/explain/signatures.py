"""What goes wrong with a memory beside a context (AgeMem, arXiv 2601.01885), counted from gold facts and journal.

Hoarding: entries that never held a gold fact. Amnesia: gold facts that were shown and never written. Wipe-out: gold
facts that the context had and the memory did not, when a tool of the policy took them out of the context.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields

from atommem_cli.core.types import OpKind, Outcome
from atommem_cli.explain.fact_trails import Traced


@dataclass(frozen=True, slots=True)
class Signatures:
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

    def __add__(self, other: Signatures) -> Signatures:
        return Signatures(*(getattr(self, one.name) + getattr(other, one.name) for one in fields(self)))


def of(traced: Traced) -> Signatures | None:
    """Those of one episode; None where no prompt showed a context."""
    if not any(line.get("context") for line in traced.steps):
        return None
    kinds = ((op["kind"], op["outcome"], op["entry"]) for line in traced.steps for op in line["ops"])
    created = {entry for kind, outcome, entry in kinds if (kind, outcome) == (OpKind.CREATE, Outcome.OK)}
    trails = traced.trails
    useful = set().union(*(trail.stated_by for trail in trails))
    return Signatures(
        created=len(created),
        idle=len(created - useful),
        shown=sum(trail.shown is not None for trail in trails),
        unwritten=sum(trail.shown is not None and trail.written is None for trail in trails),
        heard=sum(trail.context.heard is not None for trail in trails),
        wiped=sum(trail.wiped for trail in trails),
    )


Rows = list[tuple[str, Callable[[Signatures], tuple[int, int]]]]

ROWS: Rows = [
    ("hoarded: entries that never held a gold fact, of those created", lambda s: (s.idle, s.created)),
    ("forgotten: gold facts never written, of those shown", lambda s: (s.unwritten, s.shown)),
    ("wiped out: gold facts taken from the context unwritten, of those in it", lambda s: (s.wiped, s.heard)),
]
"""Of the table of hygiene: what is counted, and of how many."""


def rows(found: Iterable[Signatures | None], of_whole: Callable[[int, int], str]) -> list[tuple[str, ...]]:
    """Rows of a table with a column for each run; none where no run has any."""
    columns: Sequence[Signatures | None] = [*found]
    if not any(columns):
        return []
    return [(name, *("-" if one is None else of_whole(*part(one)) for one in columns)) for name, part in ROWS]
