"""Operations on entries as a JSON list, as Mem0 asks for them and others after it: `{"id": "0", "text": "...", "event":
"UPDATE"}`; and facts as a list of texts.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from atommem_cli.agents import _json_reply as replies
from atommem_cli.agents._workflow import Workflow
from atommem_cli.core.calls import Expects
from atommem_cli.core.episode import Request, apply
from atommem_cli.core.thoughts import MARKS, Marks
from atommem_cli.core.types import MemoryOp, OpKind, Outcome

_SHOWN = re.compile(r"0|[1-9][0-9]{0,8}")


class Edits(NamedTuple):
    """One form of such a list."""

    words: Mapping[OpKind, str]
    """The event of each kind of operation."""
    nothing: str
    """The event that changes nothing."""
    key: str = "memory"
    """Where the list stands in the object of a reply; an array alone will do, too."""
    first: int = 0
    """Number of the first entry, as the prompt shows it; targets of operations count from 1."""
    exact: bool = False
    """Whether an id counts only as the text that is shown, and an event only as it is spelled."""
    texted: bool = False
    """Whether a Delete, too, needs a text, as all else does."""

    def write(self, ops: Sequence[MemoryOp]) -> str:
        """The reply that means these operations."""
        return replies.dumped({self.key: [self._written(op) for op in ops if op.kind in self.words]})

    def _written(self, op: MemoryOp) -> dict[str, str]:
        target = {} if op.target is None else {"id": str(op.target - 1 + self.first)}
        return {**target, "text": op.text or "-", "event": self.words[op.kind]}

    def read(self, said: str) -> tuple[MemoryOp, ...]:
        """The operations of a reply, in order; those of which no event can be read are Creates that are MALFORMED."""
        found = map(self._operation, replies.items(said, self.key))
        return tuple(op for op in found if op is not None)

    def _operation(self, item: Any) -> MemoryOp | None:
        event, text = (item.get("event"), item.get("text")) if isinstance(item, dict) else (None, None)
        word = event if self.exact else str(event).strip().upper()
        kinds = {name: kind for kind, name in self.words.items()}
        if word == self.nothing:
            return None
        kind = kinds.get(word) if isinstance(word, str) else None
        if kind is None or not (isinstance(text, str) or text is None):
            return MemoryOp(kind or OpKind.CREATE, replies.raw(item), defect=Outcome.MALFORMED)
        if not text and (kind is not OpKind.DELETE or self.texted):
            return MemoryOp(kind, replies.raw(item), defect=Outcome.MALFORMED)
        target = None if kind is OpKind.CREATE else self._target(item.get("id"))
        return MemoryOp(kind, "" if kind is OpKind.DELETE else str(text).strip(), target)

    def _target(self, name: Any) -> int | None:
        if self.exact and not (isinstance(name, str) and _SHOWN.fullmatch(name)):
            return None
        number = replies.number(name)
        return None if number is None else number - self.first + 1


class Editing(Workflow):
    """Base of agents whose policy says facts and operations as such lists."""

    edits: Edits
    facts_key = "facts"

    def write(self, expects: Expects, ops: Sequence[MemoryOp], answer: str | None = None) -> str:
        match expects:
            case Expects.FACTS:
                return replies.dumped({self.facts_key: [op.text for op in ops]})
            case Expects.OPERATIONS:
                return self.edits.write(ops)
            case _:
                return super().write(expects, ops, answer)

    def parse(self, expects: Expects, reply: str, marks: Marks = MARKS) -> tuple[MemoryOp, ...]:
        match expects:
            case Expects.FACTS:
                return facts_read(replies.said(reply, marks), self.facts_key)
            case Expects.OPERATIONS:
                return self.edits.read(replies.said(reply, marks))
            case _:
                return super().parse(expects, reply, marks)


def facts_read(said: str, key: str) -> tuple[MemoryOp, ...]:
    """The facts of a reply: texts, or objects that hold one as `fact` or `text`, as small models write them."""
    found = [one.get("fact") or one.get("text") if isinstance(one, dict) else one for one in replies.items(said, key)]
    return tuple(MemoryOp(OpKind.CREATE, text) for text in replies.texts(found))


def in_turn(ops: Iterable[MemoryOp]) -> Generator[Request, Any, None]:
    """Run the operations of one reply so that one on an entry that an earlier one has updated runs, too."""
    waiting: list[MemoryOp] = []
    updated: set[int | None] = set()
    for op in ops:
        if op.target in updated:
            yield from apply(waiting)
            waiting, updated = [], set()
        waiting.append(op)
        if op.kind is OpKind.UPDATE and op.target is not None:
            updated.add(op.target)
    yield from apply(waiting)
