"""AgeMem's six tools as tags, for models with a closed vocabulary: `<update> memory 3 : mara home dorn </update>`.

`<filter>` holds criteria, or numbers of messages, or both (`2 3 : rain`); `<summary>` a text, with numbers of messages
before a colon or without any, for the whole context. Nothing in it asks a model for a summary but an empty tag.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from atommem_cli.agents._agemem_words import Words
from atommem_cli.core import thoughts
from atommem_cli.core.types import CONTEXT_OPS, MemoryOp, OpKind, Outcome
from atommem_cli.dialects import tags
from atommem_cli.dialects.wording import pieces

_NUMBERED = re.compile(r"\s*((?:[0-9]{1,9}\s+)*[0-9]{1,9})\s*(?::\s*(.*))?\Z", re.DOTALL)


class TagCalls:
    """The grammar under the tags of one wording."""

    def __init__(self, words: Words) -> None:
        self._words = words
        self._tags = words.wording.tags
        self._kinds = {tag.lower(): OpKind(kind) for kind, tag in self._tags.items() if kind != "answer"}
        self._every = tags.pattern([*self._tags.values()])
        self._targets = tags.Targets(pieces(words.wording.memory))

    def write(self, ops: Sequence[MemoryOp], answer: str | None) -> str:
        """The reply that means these operations and this answer."""
        lines = [self._wrap(op.kind, self._body(op)) for op in ops if op.kind in self._tags]
        return "\n".join([*lines, *([] if answer is None else [self._wrap("answer", answer)])])

    def _body(self, op: MemoryOp) -> str:
        if op.target is not None:
            whole = self._words.entry(op.target, op.text)
            return whole if op.text else whole.rstrip(" :")
        numbers = " ".join(map(str, op.targets))
        return " : ".join(filter(None, (numbers, op.text))) if op.kind in CONTEXT_OPS else op.text

    def _wrap(self, name: str, body: str) -> str:
        gap = " " if self._words.wording.spaced else ""
        return f"<{self._tags[name]}>{gap}{body}{gap}</{self._tags[name]}>"

    def said(self, reply: str, marks: thoughts.Marks) -> str:
        """The reply without its thoughts; marks within tags are words of what is there."""
        quoted = [(p.start, p.end) for p in tags.payloads(reply, self._every) if p.closed]
        return thoughts.split(reply, marks, quoted).said if thoughts.marked(reply, marks) else reply

    def answer(self, said: str) -> str | None:
        """The answer of a reply; None where there is none."""
        there = [p for p in tags.payloads(said, self._every) if p.tag == self._tags["answer"].lower()]
        return said[there[-1].start : there[-1].end].strip() if there else None

    def read(self, said: str) -> tuple[MemoryOp, ...]:
        """The operations of a reply, in order."""
        ops = []
        for payload in tags.payloads(said, self._every):
            kind, inner = self._kinds.get(payload.tag), said[payload.start : payload.end]
            if kind is None:
                continue
            if not payload.closed:
                ops.append(MemoryOp(kind, inner, defect=Outcome.UNCLOSED))
            elif kind in (OpKind.UPDATE, OpKind.DELETE):
                ops.append(self._targets.operation(kind, inner))
            elif kind in CONTEXT_OPS and (numbered := _NUMBERED.match(inner)):
                targets = tuple(map(int, numbered[1].split()))
                ops.append(MemoryOp(kind, (numbered[2] or "").strip(), targets=targets))
            else:
                ops.append(MemoryOp(kind, inner.strip()))
        return tuple(ops)
