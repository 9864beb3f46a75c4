"""Dialects: the words between harness and policy, in `dialects/NAME.yaml` or a file of one's own (`wording`).

One file holds everything a policy is told and everything it may say: the tags, the manual, the prompt of
each kind of step. All agents of a comparison speak the same dialect, so they share one reader prompt.

Parsing never raises, whatever a model writes. Thoughts are taken out first (`thoughts`); the rest is read from left
to right (`tags`). An operation that is not closed is UNCLOSED; an Update or Delete of which it is not certain which
entry it names is MALFORMED.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from atommem_cli.core import thoughts
from atommem_cli.core.calls import Expects, Message
from atommem_cli.core.headings import Headings
from atommem_cli.core.types import Answer, MemoryEntry, MemoryOp, OpKind, Outcome
from atommem_cli.dialects import tags, wording
from atommem_cli.dialects.wording import Wording, pieces, template

_BOXED = re.compile(r"\\boxed\s*\{")
_COMPOSED = frozenset({"memories", "reads_left", "reads_done", "reads_most"})
"""Fields of our own making; all others hold foreign text."""
_HIDES = {
    "scratchpad": OpKind.SCRATCHPAD,
    "query": OpKind.READ,
    "memories": OpKind.READ,
    "reads": OpKind.READ,
}
"""Sections of a prompt that go when an operation is dropped: what cannot be written is not shown."""


class Dialect:
    """One dialect, ready to render prompts and to parse replies."""

    def __init__(self, name: str, wording: Wording, digest: str) -> None:
        self.name = name
        self.digest = digest
        """sha256 of the dialect file, 16 hexadecimal digits."""
        self.memory_tokens = wording.memory_tokens
        self.numbered = wording.numbered
        self.boxed = wording.boxed
        self._wording = wording
        self._systems: dict[frozenset[OpKind], str] = {}
        """System messages by dropped operations."""
        self._tags = {OpKind(kind): tag for kind, tag in wording.tags.items() if kind != "answer"}
        self._kinds = {tag.lower(): kind for kind, tag in self._tags.items()}
        self._tag = tags.pattern(list(self._tags.values()))
        self._any_tag = tags.pattern(list(wording.tags.values()))
        self._known = {f"{bracket}{tag.lower()}>" for tag in wording.tags.values() for bracket in ("<", "</")}
        answer = re.escape(wording.tags["answer"])
        self._answer = re.compile(rf"<{answer}\s*>(.*?)(?:</{answer}\s*>|\Z)", re.DOTALL | re.IGNORECASE)
        self._entry = entry = pieces(wording.memory)
        self._targets = tags.Targets(entry)
        texts = [*wording.reading.values(), *wording.notes.values(), *wording.reader.values()]
        starts = [pieces(text)[0] for text in (*texts, *wording.closed_book.values())]
        self._headings = Headings(starts, (entry[0], entry[2]))

    # --- from the harness to the policy

    def messages(
        self,
        section: str,
        fields: Mapping[str, str],
        dropped: frozenset[OpKind] = frozenset(),
        *,
        operating: bool = False,
    ) -> tuple[Message, ...]:
        """The prompt of one step: `section` is reading, notes, reader or closed_book.

        Sections whose field is not given are left out, and so are those of dropped operations.

        Args:
            operating: whether the operations of the reply will run, as they always do while reading; else the
                system message is not told.
        """
        parts = []
        sections: dict[str, str] = getattr(self._wording, section)
        for name, text in sections.items():
            hidden = _HIDES.get(name) in dropped
            if not hidden and all(field in fields for field in pieces(text)[1::2]):
                parts.append(self._filled(text, fields).rstrip("\n"))
        messages = [Message("user", ("\n" if self._wording.spaced else "\n\n").join(parts))]
        told = section in self._wording.told and (operating or section == "reading")
        if told and self._wording.system:
            if dropped not in self._systems:
                self._systems[dropped] = self._system(dropped)
            messages.insert(0, Message("system", self._systems[dropped]))
        return tuple(messages)

    def _filled(self, template: str, fields: Mapping[str, str]) -> str:
        """One section with its fields, foreign text without headings of its own."""
        parts, words = pieces(template), self._wording
        given = {key: fields[key] or words.placeholders.get(key, words.nothing) for key in parts[1::2]}
        return self._headings.filled(parts, given, _COMPOSED)

    def memories(self, shown: Sequence[MemoryEntry]) -> str:
        """Retrieved entries as the prompt shows them."""
        return "\n".join(
            self._numbered(number, self._headings.quoted(entry.text, inline=True))
            for number, entry in enumerate(shown, start=1)
        )

    def _numbered(self, number: int, text: str) -> str:
        before, first, between, _, after = self._entry
        values = (str(number), text) if first == "number" else (text, str(number))
        return before + values[0] + between + values[1] + after

    def _system(self, dropped: frozenset[OpKind]) -> str:
        kept = [kind for kind in self._wording.manual if kind not in dropped]
        manual = "\n".join(self._wording.manual[kind].rstrip("\n") for kind in kept)
        example = "\n".join(text for kind, text in self._wording.example.items() if kind in kept)
        return template(self._wording.system).substitute(manual=manual, example=example).rstrip("\n")

    # --- from the policy to the harness

    def said(self, reply: str, marks: thoughts.Marks = thoughts.MARKS) -> str:
        """The reply without its thoughts.

        Args:
            marks: of a thought; one that is a tag of this dialect is none.
        """
        return self._split(reply, marks).said

    def _split(self, reply: str, marks: thoughts.Marks) -> thoughts.Reply:
        if not thoughts.marked(reply, marks):
            return thoughts.Reply("", reply, ((0, len(reply)),))
        marks = tuple(pair for pair in marks if not self._known & {mark.lower() for mark in pair})
        quoted = [(p.start, p.end) for p in tags.payloads(reply, self._any_tag) if p.closed]
        return thoughts.split(reply, marks, quoted)

    def notes(self, reply: str, marks: thoughts.Marks = thoughts.MARKS) -> tuple[MemoryOp, ...]:
        """The notes that a reply is, whole; none where it says nothing. The word for nothing empties them."""
        found = self._split(reply, marks)
        text = found.said
        empty = text.strip() == self._wording.nothing
        whole = found.place(0, len(text)) if text else None
        return (MemoryOp(OpKind.SCRATCHPAD, "" if empty else text, span=whole),) if text.strip() else ()

    def parse(self, reply: str, marks: thoughts.Marks = thoughts.MARKS) -> tuple[MemoryOp, ...]:
        """Every operation of a reply, in order of appearance, defective ones too. Linear in its length."""
        found = self._split(reply, marks)
        ops = []
        for payload in tags.payloads(found.said, self._tag):
            kind, inner = self._kinds[payload.tag], found.said[payload.start : payload.end]
            if not payload.closed:
                op = MemoryOp(kind, inner, defect=Outcome.UNCLOSED)
            elif kind in (OpKind.UPDATE, OpKind.DELETE):
                op = self._targets.operation(kind, inner)
            else:
                op = MemoryOp(kind, inner.strip())
            ops.append(replace(op, span=found.place(*payload.whole)))
        return tuple(ops)

    def answer(self, reply: str, marks: thoughts.Marks = thoughts.MARKS) -> Answer:
        r"""The answer in a reply: the last answer tag, or else the whole reply without operations.

        Inside the tags the last \boxed{} counts where there is one; outside of them where the dialect asks for one.
        `Answer.reply` is the reply without its thoughts.
        """
        text = self.said(reply, marks)
        found = self._answer.findall(text)
        if found:
            return Answer(_unboxed(found[-1]).strip(), text, tagged=True)
        kept = tags.outside(text, self._tag)
        return Answer((_unboxed(kept) if self.boxed else kept).strip(), text)

    # --- what a policy would write

    def write(self, expects: Expects, ops: Sequence[MemoryOp], answer: str | None = None) -> str:
        """The reply that means these operations (of `parse`, the inverse) and this answer."""
        if expects is Expects.NOTES:
            return (ops[-1].text or self._wording.nothing) if ops else ""
        lines = []
        for op in ops:
            body = op.text
            if op.target is not None:
                body = self._numbered(op.target, op.text) if op.text else self._numbered(op.target, "").rstrip(" :")
            lines.append(self._wrap(self._tags[op.kind], body))
        if answer is not None:
            lines.append(
                self._wrap(self._wording.tags["answer"], rf"\boxed{{{answer}}}" if self._wording.boxed else answer)
            )
        return "\n".join(lines)

    def _wrap(self, tag: str, body: str) -> str:
        return f"<{tag}> {body} </{tag}>" if self._wording.spaced else f"<{tag}>{body}</{tag}>"


def load(name: str) -> Dialect:
    """The dialect of that name, or in the file of that path.

    Raises:
        UsageError: see `wording.find`.
    """
    return _shipped(name) if name in wording.shipped() else Dialect(name, *wording.find(name))


@functools.cache
def _shipped(name: str) -> Dialect:
    return Dialect(name, *wording.find(name))


def _unboxed(text: str) -> str:
    r"""Inside of the last \boxed{}, braces balanced; the text itself where there is none."""
    starts = [m.end() for m in _BOXED.finditer(text)]
    if not starts:
        return text
    depth = 1
    for at in range(starts[-1], len(text)):
        depth += {"{": 1, "}": -1}.get(text[at], 0)
        if depth == 0:
            return text[starts[-1] : at]
    return text[starts[-1] :]
