"""How well texts keep what a task's questions need, judged by gold supporting facts: no model is asked.

    coverage   gold facts that the texts hold / gold facts
    precision  texts that state a gold fact which no text before them states / texts
    quality    coverage x precision, in [0, 1]

Facts count per question, and are read as `gold_facts` does. A fact that nothing is known any more (`stream`) is held by
texts that say so, and by texts that name no value. No texts have no quality. So what is left out costs coverage, what
nobody asks about costs precision, and so does what is kept twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, MutableMapping, Sequence
from typing import NamedTuple

from atommem_cli.core.effects import EFFECTS, Done, State
from atommem_cli.core.types import OpKind, OpResult, Outcome
from atommem_cli.scoring.gold_facts import Fact


class Quality(NamedTuple):
    """Of some texts, as counts."""

    held: int
    facts: int
    """Of these, `held` are."""
    useful: int
    texts: int
    """Of these, `useful` are."""

    @property
    def coverage(self) -> float:
        """In [0, 1]; 0 where no gold facts are known."""
        return self.held / self.facts if self.facts else 0.0

    @property
    def precision(self) -> float:
        """In [0, 1]; 0 where there are no texts."""
        return self.useful / self.texts if self.texts else 0.0

    @property
    def value(self) -> float:
        """Coverage x precision."""
        return self.coverage * self.precision


def of(texts: Iterable[str], facts: Sequence[Fact]) -> Quality:
    """The quality of these texts, the oldest first."""
    texts = list(texts)
    stated: set[int] = set()
    useful = 0
    for text in texts:
        new = states(text, facts) - stated
        stated |= new
        useful += bool(new)
    silent = (i for i, fact in enumerate(facts) if fact.gone and not any(fact.read(text).contradicts for text in texts))
    return Quality(len(stated.union(silent)), len(facts), useful, len(texts))


def states(text: str, facts: Sequence[Fact]) -> set[int]:
    """Which facts a text states, by number."""
    return {number for number, fact in enumerate(facts) if fact.read(text).states}


class Store(NamedTuple):
    """What became of an episode's store, under the operations that took effect."""

    entries: Mapping[int, str]
    """Text by id at the end, in the order in which they were created."""
    added: int
    """Entries created."""
    useful: int
    """Of these, those that stated, when they were written or changed, a gold fact that no other entry stated then."""


def store(results: Iterable[OpResult], facts: Sequence[Fact]) -> Store:
    """Follow the store through the operations of an episode, in order.

    Noise is none of it until an Update has put something else in its place.
    """
    entries: MutableMapping[int, str] = {}
    state, added = State(entries), set[int]()
    stated: dict[int, set[int]] = {}  # by entry: the facts
    useful: set[int] = set()
    for result in results:
        if result.outcome is not Outcome.OK or result.op.kind not in (OpKind.CREATE, OpKind.UPDATE, OpKind.DELETE):
            continue
        assert result.entry is not None
        if result.op.kind is not OpKind.CREATE and result.entry not in entries:  # noise
            if result.op.kind is OpKind.DELETE:
                continue
            entries[result.entry] = ""
        for edit in EFFECTS[result.op.kind](Done(result.op.text.strip(), result.entry)):
            state.edit(edit)
        stated.pop(result.entry, None)
        if result.op.kind is OpKind.DELETE:
            continue
        if result.op.kind is OpKind.CREATE:
            added.add(result.entry)
        new = states(entries[result.entry], facts)
        if new.difference(*stated.values()):
            useful.add(result.entry)
        stated[result.entry] = new
    return Store(entries, len(added), len(useful))
