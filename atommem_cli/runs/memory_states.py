"""What the memory held after every operation, from the journal of an episode alone."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any

from atommem_cli.core.effects import EFFECTS, Done, Edit, State
from atommem_cli.core.types import OpKind, Outcome

_KINDS: dict[str, OpKind] = {kind: kind for kind in OpKind}
_OUTCOMES: dict[str, Outcome] = {outcome: outcome for outcome in Outcome}
"""By their names in a journal: to ask an enumeration takes longer than to carry an operation out."""

Versions = tuple[list[int], list[str | None]]
"""Of one entry: the numbers of the changes that touched it, ascending, and its text after each; None: deleted."""


@dataclass(frozen=True, slots=True, eq=False)
class Entries(Mapping[int, str]):
    """The entries at one moment, a view of the history that all moments of an episode share: they are one text each."""

    history: Mapping[int, Versions]
    at: int
    """Number of changes up to here."""
    count: int
    """Entries at this moment."""

    def __getitem__(self, entry: int) -> str:
        numbers, texts = self.history[entry]
        before = bisect_right(numbers, self.at)
        text = texts[before - 1] if before else None
        if text is None:
            raise KeyError(entry)
        return text

    def __iter__(self) -> Iterator[int]:
        for entry, (numbers, _) in self.history.items():
            if numbers[0] > self.at:
                return  # they were created in this order
            if entry in self:
                yield entry

    def __len__(self) -> int:
        return self.count


class _Current(MutableMapping[int, str]):
    """The entries as they are now, which keep what they were."""

    def __init__(self) -> None:
        self._history: dict[int, Versions] = {}
        self.now = Entries(self._history, 0, 0)

    def __getitem__(self, entry: int) -> str:
        text = self._history[entry][1][-1]
        if text is None:
            raise KeyError(entry)
        return text

    def __setitem__(self, entry: int, text: str) -> None:
        old = self._history.get(entry)
        self._note(entry, text, 1 if old is None or old[1][-1] is None else 0)

    def __delitem__(self, entry: int) -> None:
        self._note(entry, None, -1)

    def __iter__(self) -> Iterator[int]:
        return iter(self.now)

    def __len__(self) -> int:
        return len(self.now)

    def _note(self, entry: int, text: str | None, more: int) -> None:
        numbers, texts = self._history.setdefault(entry, ([], []))
        self.now = Entries(self._history, self.now.at + 1, self.now.count + more)
        numbers.append(self.now.at)
        texts.append(text)


@dataclass(frozen=True, slots=True)
class Moment:
    """One operation and the memory after it."""

    step: int
    """Of the model call; -1 is before the first one."""
    number: int
    """Of the operation within its step."""
    kind: OpKind
    outcome: Outcome
    text: str
    """As the policy wrote it, without white space around it."""
    target: int | None
    """Update and Delete: the number of the shown entry, from 1."""
    entry: int | None
    """Id of the entry that was created, changed or deleted."""
    old: str
    """What an Update or a Delete replaced, or the scratchpad or query before; else empty."""
    edits: tuple[Edit, ...]
    """What it did to the state; nothing where it was refused or without effect."""
    entries: Entries
    """Text by id, after the operation."""
    scratchpad: str
    query: str


def moments(steps: Sequence[Mapping[str, Any]]) -> Iterator[Moment]:
    """Every operation of an episode in order, refused ones too, with the memory after each.

    Args:
        steps: lines of `steps.jsonl` of one episode, by step.
    """
    entries = _Current()
    state = State(entries)
    for line in steps:
        for number, op in enumerate(line["ops"]):
            kind, outcome = _KINDS[op["kind"]], _OUTCOMES[op["outcome"]]
            text, entry, old = op["text"].strip(), op["entry"], ""
            edits = EFFECTS[kind](Done(text, entry)) if outcome is Outcome.OK else ()
            for edit in edits:
                old = state.edit(edit)
            yield Moment(
                line["step"],
                number,
                kind,
                outcome,
                text,
                op.get("target"),
                entry,
                old,
                edits,
                entries.now,
                state.scratchpad,
                state.query,
            )
