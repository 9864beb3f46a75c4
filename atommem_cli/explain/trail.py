"""One gold fact on its way through an episode: what memory and conversation have of it, and since when."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from atommem_cli.core.types import Event, OpKind, Support
from atommem_cli.scoring.gold_facts import Reading

NOTES = 0
"""Stands for the scratchpad among the ids of entries, which count from 1."""


@dataclass(slots=True)
class InContext:
    """What the conversation carries of one fact; nothing where the agent keeps none."""

    states: set[int] = field(default_factory=set)
    """Messages that state it."""
    contradicts: set[int] = field(default_factory=set)
    """Messages that state another value."""
    covered: bool = False
    """The chunks in it show the fact."""
    overturned: bool = False
    """The chunks in it show another value."""
    heard: int | None = None
    """First step at which it carried the fact."""
    taken: int | None = None
    """Step since which it carries the fact no more; None: it does, or never did."""

    @property
    def holds(self) -> bool:
        """Whether it carries the fact."""
        return self.covered or bool(self.states)

    @property
    def denies(self) -> bool:
        """Whether it carries another value."""
        return self.overturned or bool(self.contradicts)


class Standing(NamedTuple):
    """How things stand with a fact when its question is last asked, or at the end if it never is."""

    known: bool
    """Whether memory or conversation has it."""
    ever: bool
    """Whether one of them had it before."""
    last: OpKind | None
    """Where both are without it: the operation that took it from where it was last; None: no operation did."""
    lost: int | None = None
    """Step at which the memory lost it; None: it holds it, or never did."""
    holders: tuple[int, ...] = ()
    """Ids of the entries that hold it."""
    taken: int | None = None
    """As `InContext.taken`."""


@dataclass(slots=True)
class Trail:
    """One fact of one question. Steps are those of `steps.jsonl`."""

    question: int
    support: Support
    documents: tuple[int, ...]
    """Whichever of them shows it; `stream` says some things twice."""
    event: Event | None
    """The fact itself, where the task is of `stream`."""
    read: Callable[[str], Reading]
    shown: int | None = None
    written: int | None = None
    """First step after which the memory held it."""
    retrieved: int | None = None
    """First call for the question whose prompt showed it, the conversation in it included."""
    changes: list[tuple[int, bool]] = field(default_factory=list)
    """(step, whether the memory holds it from then on), in order."""
    answered: Standing | None = None
    contradicted: bool = False
    """Whether the last call for the question showed another value, too."""
    context: InContext = field(default_factory=InContext)
    gone: bool = field(init=False)
    """`stream`: the fact is that nothing is known any more. The memory holds it, once it was shown, if it states
    it or if it states no value; a prompt shows it likewise."""
    stated_by: set[int] = field(default_factory=set)
    """Entries that ever held it, and `NOTES`."""
    wiped: bool = False
    """A tool of the policy took it from the conversation while the memory was without it."""
    _states: set[int] = field(default_factory=set)
    _contradicts: set[int] = field(default_factory=set)
    _known: bool = False
    _ever: bool = False
    _last: OpKind | None = None

    def __post_init__(self) -> None:
        self.gone = self.event is not None and self.event.value is None

    @property
    def held(self) -> bool:
        """Whether the memory holds it now."""
        return bool(self.changes) and self.changes[-1][1]

    def put(self, holder: int, text: str) -> None:
        """An entry, or the scratchpad, has this text now."""
        reading = self.read(text) if text else Reading(False, False)
        (self._states.add if reading.states else self._states.discard)(holder)
        if reading.states:
            self.stated_by.add(holder)
        (self._contradicts.add if reading.contradicts else self._contradicts.discard)(holder)

    def find(self, holder: int, text: str) -> None:
        """An entry had this text before the episode began; what it denies is no word of the policy's."""
        if self.read(text).states:
            self._states.add(holder)

    def settle(self, step: int, by: OpKind | None = None) -> None:
        """The memory is as it is after (a part of) this step; `by`: the operation that made it so."""
        silent = self.gone and self.shown is not None and not self._contradicts
        now = silent or bool(self._states)
        if now != self.held:
            self.changes.append((step, now))
            if now and self.written is None:
                self.written = step
        self._weigh(silent, by)

    def hear(self, step: int, by: OpKind | None = None) -> None:
        """The conversation is as the prompt of this step shows it, or as an operation has made it."""
        context = self.context
        if context.holds:
            context.heard, context.taken = step if context.heard is None else context.heard, None
        elif context.heard is not None and context.taken is None:
            context.taken = step
        self._weigh(self.gone and self.shown is not None and not self._contradicts, by)

    def _weigh(self, silent: bool, by: OpKind | None) -> None:
        """Whether memory or conversation has it now; `silent`: the memory, by stating no value."""
        known = bool(self._states) or self.context.holds or (silent and not self.context.denies)
        if known:
            self._ever = True
        elif self._known:
            self._last = by
            self.wiped = self.wiped or by in (OpKind.FILTER, OpKind.SUMMARIZE)
        self._known = known

    def ask(self, step: int, texts: Iterable[str] | None) -> None:
        """The question is asked with these texts before the policy's eyes, beside the conversation; None: no reply."""
        if texts is not None:
            readings = [self.read(text) for text in texts if text]
            self.contradicted = self.context.denies or any(r.contradicts for r in readings)
            clean = self.gone and self.shown is not None and not self.contradicted
            stated = self.context.holds or any(r.states for r in readings)
            if self.retrieved is None and (clean or stated):
                self.retrieved = step
        self.close()

    def close(self) -> None:
        """Note how things stand for the answer."""
        lost = self.changes[-1][0] if self.changes and not self.held else None
        holders = tuple(sorted(self._states - {NOTES}))
        self.answered = Standing(self._known, self._ever, self._last, lost, holders, self.context.taken)
