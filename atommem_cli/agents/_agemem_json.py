"""AgeMem's grammar: a thought if any, then a JSON array of calls in tags, or an answer in tags (papers.md 2.1).

Read as leniently as the authors' code does (2.5): the tags may be missing, a call may stand alone, an array may be cut
off, `arguments` may be a text that holds them. What cannot be carried out is an operation with a defect, and says why
in its metadata (`fault`); nothing raises. Linear in the length of a reply.

Beyond the paper's schemas, Filter takes `messages`, ids of messages, in place of criteria, and Summary takes `messages`
and `summary`, the text itself: so operations that are decided already can be written down, by scripts and `what-if`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Generator, Iterator, Sequence
from typing import Any, NamedTuple

from atommem_cli.agents._agemem_arguments import READERS, SPAN, TOP_K, WHERE, WrongArgument
from atommem_cli.agents._agemem_words import FAULT, Words
from atommem_cli.core import thoughts, tool_calls
from atommem_cli.core.tool_calls import ToolCall
from atommem_cli.core.types import MemoryOp, OpKind, Outcome

CODED = {"clear_context": OpKind.FILTER}
"""Names of the authors' code, which are understood always."""
_SHOWN = 200
"""Characters of a call that is not understood, in the journal; the whole reply is there as well."""
_BARE = re.compile(r"\s*(?:```(?:json)?\s*)?(?=[\[{])")
_SPACE = re.compile(r"[\s,]*")
_DECODER = json.JSONDecoder()


class _Broken(NamedTuple):
    """What is left of a block where no value can be read any more."""

    text: str
    closed: bool


class JsonCalls:
    """The grammar under the names of one wording."""

    def __init__(self, words: Words, *, native: bool = False) -> None:
        """
        Args:
            native: whether calls are written as models with tools of their own write them, one block each.
        """
        self._native = native
        self._names = words.names
        self._kinds = {**CODED, **{name.casefold(): kind for kind, name in words.names.items()}}
        self._call, self._end = words.wording.tags["calls"], words.wording.tags["answer"]
        self._opens = re.compile(rf"<{re.escape(self._call)}\s*>", re.IGNORECASE)
        self._closes = re.compile(rf"[\s\],]*</{re.escape(self._call)}\s*>", re.IGNORECASE)
        answer = re.escape(self._end)
        self._answer = re.compile(rf"<{answer}\s*>(.*?)(?:</{answer}\s*>|\Z)", re.DOTALL | re.IGNORECASE)

    # --- what a policy would write

    def write(self, ops: Sequence[MemoryOp], answer: str | None) -> str:
        """The reply that means these operations and this answer."""
        calls = [call for call in map(self._written, ops) if call is not None]
        if self._native:
            said = "" if answer is None else f"<{self._end}>{answer}</{self._end}>"
            return tool_calls.write(said, [ToolCall(call["name"], call["arguments"]) for call in calls])
        lines = []
        if calls or answer is None:
            said = json.dumps(calls, ensure_ascii=False).replace("</", "<\\/")
            lines.append(f"<{self._call}>{said}</{self._call}>")
        if answer is not None:
            lines.append(f"<{self._end}>{answer}</{self._end}>")
        return "\n".join(lines)

    def _written(self, op: MemoryOp) -> dict[str, Any] | None:
        if op.kind not in self._names:
            return None
        meta, arguments = dict(op.meta), dict[str, Any]()
        match op.kind:
            case OpKind.CREATE:
                arguments = {"content": op.text, **({"metadata": meta} if meta else {})}
            case OpKind.UPDATE:
                arguments = {"memory_id": op.target, "content": op.text, **({"metadata": meta} if meta else {})}
            case OpKind.DELETE:
                arguments = {"memory_id": op.target, "confirmation": True}
            case OpKind.READ:
                arguments = {"query": op.text, **({TOP_K: int(meta[TOP_K])} if TOP_K in meta else {})}
                where = {key.removeprefix(WHERE): value for key, value in meta.items() if key.startswith(WHERE)}
                arguments |= {"metadata_filter": where} if where else {}
            case OpKind.SUMMARIZE:
                arguments = {"messages": [*op.targets]} if op.targets else {"span": meta.get(SPAN, "all")}
                arguments |= {"summary": op.text} if op.text else {}
            case _:
                arguments = {"criteria": op.text, **({"messages": [*op.targets]} if op.targets else {})}
        return {"name": self._names[op.kind], "arguments": arguments}

    # --- what a policy has written

    def said(self, reply: str, marks: thoughts.Marks) -> str:
        """The reply without its thoughts; marks within calls or an answer are words of these."""
        if not thoughts.marked(reply, marks):
            return reply
        blocks = self._blocks(reply)
        answers = [found.span() for found in self._answer.finditer(reply)]
        apart = [one for one in answers if not any(start < one[1] and one[0] < end for start, end in blocks)]
        return thoughts.split(reply, marks, sorted([*blocks, *apart])).said

    def answer(self, said: str) -> str | None:
        """The answer of a reply; None where there is none."""
        found = self._answer.findall(self._outside(said))
        return found[-1].strip() if found else None

    def read(self, said: str) -> tuple[MemoryOp, ...]:
        """The operations of a reply, in order."""
        return tuple(map(self._operation, self._values(said)))

    def _outside(self, said: str) -> str:
        """The reply without its blocks of calls, in whose texts an answer is none."""
        kept, at = [], 0
        for start, end in self._blocks(said):
            kept.append(said[at:start])
            at = end
        return "".join([*kept, said[at:]])

    def _blocks(self, text: str) -> list[tuple[int, int]]:
        """Where the blocks are that are whole, with their tags."""
        found, at = [], 0
        while (opening := self._opens.search(text, at)) is not None:
            at, (sound, end) = opening.end(), self._ending(text, opening.end())
            close = self._closes.match(text, end) if sound else None
            if close:
                found.append((opening.start(), close.end()))
                at = close.end()
        return found

    def _ending(self, text: str, at: int) -> tuple[bool, int]:
        """Whether every value of a block can be read, and where it ends."""
        values, sound = self._block(text, at), True
        while True:
            try:
                sound = not isinstance(next(values), _Broken) and sound
            except StopIteration as end:
                return sound, end.value

    def _values(self, said: str) -> Iterator[Any]:
        at, found = 0, False
        while (opening := self._opens.search(said, at)) is not None:
            found = True
            at = yield from self._block(said, opening.end())
        if not found:
            bare = self._answer.sub("", said)
            if begins := _BARE.match(bare):
                yield from self._block(bare, begins.end())

    def _block(self, text: str, at: int) -> Generator[Any, None, int]:
        """The values of an array, or those that stand one after another; where the block ends."""
        at = _past(text, at)
        if text[at : at + 1] == "[":
            at += 1
        while True:
            at = _past(text, at)
            if at >= len(text) or text[at] in "]<`":
                return at
            try:
                value, at = _DECODER.raw_decode(text, at)
            except (ValueError, RecursionError):
                close = text.find(f"</{self._call}", at)
                yield _Broken(text[at : close if close >= 0 else len(text)], close >= 0)
                return close if close >= 0 else len(text)
            yield value

    def _operation(self, value: Any) -> MemoryOp:
        if isinstance(value, _Broken):
            return _bad("this is no JSON" if value.closed else "cut off", value.text, closed=value.closed)
        if not isinstance(value, dict) or not isinstance(value.get("name"), str):
            return _bad("a call has a name and arguments", value)
        name = value["name"].strip()
        kind = self._kinds.get(name.casefold())
        if kind is None:
            return _bad(f"there is no tool {name[:40]}", value)
        arguments = value.get("arguments", value.get("parameters", {}))
        if isinstance(arguments, str):
            try:
                arguments = json.loads(arguments)
            except (ValueError, RecursionError):
                arguments = None
        if not isinstance(arguments, dict):
            return _bad("arguments are an object", value, kind)
        try:
            return READERS[kind](arguments)
        except WrongArgument as wrong:
            return _bad(str(wrong), value, kind)


def _bad(fault: str, value: Any, kind: OpKind = OpKind.CREATE, *, closed: bool = True) -> MemoryOp:
    text = value if isinstance(value, str) else json.dumps(value)
    defect = Outcome.MALFORMED if closed else Outcome.UNCLOSED
    return MemoryOp(kind, text[:_SHOWN], defect=defect, meta=((FAULT, fault),))


def _past(text: str, at: int) -> int:
    """Past white space and commas."""
    space = _SPACE.match(text, at)
    return space.end() if space else at
