"""What the memory held after every operation, from the journal of an episode alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from atommem_cli.types import OpKind, Outcome


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
    entries: Mapping[int, str]
    """Text by id, after the operation."""
    scratchpad: str
    query: str


def moments(steps: Sequence[Mapping[str, Any]]) -> Iterator[Moment]:
    """Every operation of an episode in order, refused ones too, with the memory after each.

    Args:
        steps: lines of `steps.jsonl` of one episode, by step.
    """
    entries: dict[int, str] = {}
    scratchpad = query = ""
    for line in steps:
        for number, op in enumerate(line["ops"]):
            kind, outcome = OpKind(op["kind"]), Outcome(op["outcome"])
            text, entry, old = op["text"].strip(), op["entry"], ""
            if outcome is Outcome.OK:
                match kind:
                    case OpKind.CREATE:
                        entries = {**entries, entry: text}
                    case OpKind.UPDATE:
                        old, entries = entries[entry], {**entries, entry: text}
                    case OpKind.DELETE:
                        old = entries[entry]
                        entries = {i: held for i, held in entries.items() if i != entry}
                    case OpKind.READ:
                        old, query = query, text
                    case OpKind.SCRATCHPAD:
                        old, scratchpad = scratchpad, text
            yield Moment(
                line["step"], number, kind, outcome, text, op.get("target"), entry, old, entries, scratchpad, query
            )
