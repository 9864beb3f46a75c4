"""What the memory held after every operation, from the journal of an episode alone."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from atommem_cli.core.types import OpKind, Outcome

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
    entries: Entries
    """Text by id, after the operation."""
    scratchpad: str
    query: str


def moments(steps: Sequence[Mapping[str, Any]]) -> Iterator[Moment]:
    """Every operation of an episode in order, refused ones too, with the memory after each.

    Args:
        steps: lines of `steps.jsonl` of one episode, by step.
    """
    history: dict[int, Versions] = {}
    entries = Entries(history, 0, 0)
    scratchpad = query = ""
    for line in steps:
        for number, op in enumerate(line["ops"]):
            kind, outcome = OpKind(op["kind"]), Outcome(op["outcome"])
            text, entry, old = op["text"].strip(), op["entry"], ""
            if outcome is Outcome.OK:
                match kind:
                    case OpKind.CREATE:
                        entries = _changed(entries, history, entry, text, 1)
                    case OpKind.UPDATE:
                        old, entries = entries[entry], _changed(entries, history, entry, text, 0)
                    case OpKind.DELETE:
                        old, entries = entries[entry], _changed(entries, history, entry, None, -1)
                    case OpKind.READ:
                        old, query = query, text
                    case OpKind.SCRATCHPAD:
                        old, scratchpad = scratchpad, text
            yield Moment(
                line["step"], number, kind, outcome, text, op.get("target"), entry, old, entries, scratchpad, query
            )


def _changed(before: Entries, history: dict[int, Versions], entry: int, text: str | None, more: int) -> Entries:
    numbers, texts = history.setdefault(entry, ([], []))
    numbers.append(before.at + 1)
    texts.append(text)
    return Entries(history, before.at + 1, before.count + more)
