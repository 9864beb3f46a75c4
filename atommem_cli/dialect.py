"""Dialects: the words between harness and policy, in `dialects/NAME.yaml`.

One file holds everything a policy is told and everything it may say: the tags, the manual, the prompt of
each kind of step. All agents of a comparison speak the same dialect, so they share one reader prompt.

Parsing never raises, whatever a model writes. A reply is read from left to right; thinking blocks are
taken out first. An opening tag without its closing tag, or with another opening tag before it, is
UNCLOSED; an Update or Delete without a readable number is MALFORMED.
"""

from __future__ import annotations

import functools
import hashlib
import re
from collections.abc import Mapping, Sequence
from importlib import resources
from string import Template

import yaml
from pydantic import BaseModel, ConfigDict

from atommem_cli.errors import UsageError
from atommem_cli.plugins import did_you_mean
from atommem_cli.types import Answer, Expects, MemoryEntry, MemoryOp, Message, OpKind, Outcome

_THINKING = re.compile(r"<think>.*?(?:</think>|\Z)", re.DOTALL | re.IGNORECASE)
_TARGET = re.compile(r"\s*[{\[(]?\s*(?:memory)?\s*#?\s*([0-9]{1,6})(?![0-9])\s*[:.)\]}]*\s*", re.IGNORECASE)
_BOXED = re.compile(r"\\boxed\s*\{")
_HIDES = {
    "scratchpad": OpKind.SCRATCHPAD,
    "query": OpKind.READ,
    "memories": OpKind.READ,
    "reads": OpKind.READ,
}
"""Sections of a prompt that go when an operation is dropped: what cannot be written is not shown."""


class Wording(BaseModel):
    """A dialect file, checked."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    tags: dict[str, str]
    """Tag per OpKind, and `answer`."""
    boxed: bool
    r"""Whether the answer stands in \boxed{} inside its tags."""
    memory: str
    """One shown entry; fields number (from 1) and text."""
    spaced: bool = False
    """Whether tags and payloads stand apart by spaces, and sections by single lines (closed vocabularies)."""
    nothing: str
    """Stands for an empty scratchpad, query or retrieval."""
    system: str
    manual: dict[OpKind, str]
    example: dict[OpKind, str]
    reading: dict[str, str]
    """Sections of the user message, in order; likewise below."""
    notes: dict[str, str]
    reader: dict[str, str]
    closed_book: dict[str, str]


class Dialect:
    """One dialect, ready to render prompts and to parse replies."""

    def __init__(self, name: str, wording: Wording, digest: str) -> None:
        self.name = name
        self.digest = digest
        """sha256 of the dialect file, 16 hexadecimal digits."""
        self._wording = wording
        self._tags = {OpKind(k): tag for k, tag in wording.tags.items() if k != "answer"}
        self._kinds = {tag: kind for kind, tag in self._tags.items()}
        self._tag = re.compile("<(/?)(" + "|".join(map(re.escape, self._tags.values())) + r")\s*>", re.IGNORECASE)
        answer = re.escape(wording.tags["answer"])
        self._answer = re.compile(rf"<{answer}\s*>(.*?)(?:</{answer}\s*>|\Z)", re.DOTALL | re.IGNORECASE)

    # --- from the harness to the policy

    def messages(
        self, section: str, fields: Mapping[str, str], dropped: frozenset[OpKind] = frozenset()
    ) -> tuple[Message, ...]:
        """The prompt of one step: `section` is reading, notes, reader or closed_book.

        Sections whose field is not given are left out, and so are those of dropped operations.
        """
        parts = []
        sections: dict[str, str] = getattr(self._wording, section)
        for name, text in sections.items():
            template = _template(text)
            hidden = _HIDES.get(name) in dropped
            if not hidden and all(field in fields for field in template.get_identifiers()):
                filled = {key: fields[key] or self._wording.nothing for key in template.get_identifiers()}
                parts.append(template.substitute(filled).rstrip("\n"))
        messages = [Message("user", ("\n" if self._wording.spaced else "\n\n").join(parts))]
        if section == "reading" and self._wording.system:
            messages.insert(0, Message("system", self._system(dropped)))
        return tuple(messages)

    def memories(self, shown: Sequence[MemoryEntry]) -> str:
        """Retrieved entries as the prompt shows them."""
        return "\n".join(self._numbered(i, entry.text) for i, entry in enumerate(shown, start=1))

    def _numbered(self, number: int, text: str) -> str:
        return _template(self._wording.memory).substitute(number=number, text=text)

    def _system(self, dropped: frozenset[OpKind]) -> str:
        kept = [kind for kind in self._wording.manual if kind not in dropped]
        manual = "\n".join(self._wording.manual[kind].rstrip("\n") for kind in kept)
        example = "\n".join(text for kind, text in self._wording.example.items() if kind in kept)
        return _template(self._wording.system).substitute(manual=manual, example=example).rstrip("\n")

    # --- from the policy to the harness

    def parse(self, reply: str) -> tuple[MemoryOp, ...]:
        """Every operation of a reply, in order of appearance, defective ones too. Linear in its length."""
        text = _THINKING.sub("", reply)
        ops: list[MemoryOp] = []
        kind: OpKind | None = None
        start = 0
        for tag in self._tag.finditer(text):
            found = self._kinds[tag[2].lower()]
            if tag[1]:
                if found is kind:
                    ops.append(_operation(kind, text[start : tag.start()]))
                    kind = None
                continue
            if kind is not None:
                ops.append(MemoryOp(kind, text[start : tag.start()], defect=Outcome.UNCLOSED))
            kind, start = found, tag.end()
        if kind is not None:
            ops.append(MemoryOp(kind, text[start:], defect=Outcome.UNCLOSED))
        return tuple(ops)

    def answer(self, reply: str) -> Answer:
        """The answer in a reply: the last answer tag, or else the whole reply without operations."""
        text = _THINKING.sub("", reply)
        found = self._answer.findall(text)
        if found:
            inner = _unboxed(found[-1]) if self._wording.boxed else found[-1]
            return Answer(inner.strip(), reply, tagged=True)
        kept, at, open_tag = [], 0, False
        for tag in self._tag.finditer(text):
            if not open_tag:
                kept.append(text[at : tag.start()])
            open_tag, at = not tag[1], tag.end()
        if not open_tag:
            kept.append(text[at:])
        return Answer("".join(kept).strip(), reply)

    # --- what a policy would write

    def write(self, expects: Expects, ops: Sequence[MemoryOp], answer: str | None = None) -> str:
        """The reply that means these operations (of `parse`, the inverse) and this answer."""
        if expects is Expects.NOTES:
            return ops[-1].text if ops else ""
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


@functools.cache
def load(name: str) -> Dialect:
    """The dialect `dialects/NAME.yaml`.

    Raises:
        UsageError: there is none of that name.
    """
    folder = resources.files("atommem_cli") / "dialects"
    names = sorted(f.name.removesuffix(".yaml") for f in folder.iterdir() if f.name.endswith(".yaml"))
    if name not in names:
        raise UsageError(f"no dialect {name!r}{did_you_mean(name, names)} (there are: {', '.join(names)})")
    raw = (folder / f"{name}.yaml").read_bytes()
    wording = Wording.model_validate(yaml.safe_load(raw))
    return Dialect(name, wording, hashlib.sha256(raw).hexdigest()[:16])


@functools.cache
def _template(text: str) -> Template:
    return Template(text)


def _operation(kind: OpKind, payload: str) -> MemoryOp:
    if kind not in (OpKind.UPDATE, OpKind.DELETE):
        return MemoryOp(kind, payload.strip())
    found = _TARGET.match(payload)
    if not found:
        return MemoryOp(kind, payload, defect=Outcome.MALFORMED)
    rest = payload[found.end() :].strip()
    if payload.lstrip().startswith("{"):
        rest = rest.removesuffix("}")  # the paper's form: {memory id: content}
    return MemoryOp(kind, rest if kind is OpKind.UPDATE else "", int(found[1]))


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
