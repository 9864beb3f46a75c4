"""Tags in a reply: which text belongs to which operation, and which entry an Update or Delete names."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from atommem_cli.core.types import MemoryOp, OpKind, Outcome


class Payload(NamedTuple):
    """What stands behind an opening tag."""

    tag: str
    """Lower case."""
    start: int
    end: int
    """Character offsets, without the tags."""
    closed: bool
    whole: tuple[int, int]
    """With the tags."""


def pattern(names: Sequence[str]) -> re.Pattern[str]:
    """Finds the opening and closing tags of these names."""
    return re.compile("<(/?)(" + "|".join(map(re.escape, names)) + r")\s*>", re.IGNORECASE)


def payloads(text: str, tags: re.Pattern[str]) -> Iterator[Payload]:
    """Every opening tag that begins a payload, in order. Linear in the text.

    A payload goes to the next closing tag of its name. An opening tag of another name inside is a word of it,
    unless that one has its own closing tag inside, too, or the first name opens again before it closes: then the
    first was never closed, and goes to the next opening tag.
    """
    opened: list[re.Match[str]] = []
    first = 0  # of `opened`: the tag that is open; those behind it may be words of its payload
    last: dict[str, int] = {}  # where in `opened` a name stands last

    def unclosed(upto: int, end: int) -> Iterator[Payload]:
        ends = [*(tag.start() for tag in opened[first + 1 : upto]), end]
        for tag, until in zip(opened[first:upto], ends, strict=True):
            yield Payload(tag[2].lower(), tag.end(), until, False, (tag.start(), until))

    for tag in tags.finditer(text):
        name = tag[2].lower()
        if not tag[1]:
            last[name] = len(opened)
            opened.append(tag)
            while last[opened[first][2].lower()] > first:
                yield from unclosed(first + 1, opened[first + 1].start())
                first += 1
        elif last.get(name, -1) >= first:
            mine = last[name]
            if mine > first:
                yield from unclosed(mine, opened[mine].start())
            yield Payload(name, opened[mine].end(), tag.start(), True, (opened[mine].start(), tag.end()))
            first = len(opened)
    if first < len(opened):
        yield from unclosed(len(opened), len(text))


def outside(text: str, tags: re.Pattern[str]) -> str:
    """The text without its operations; of an unclosed one, what follows up to the next tag is left out."""
    kept, at = [], 0
    for payload in payloads(text, tags):
        if payload.closed:
            kept.append(text[at : payload.whole[0]])
            at = payload.whole[1]
    kept.append(text[at:])
    text, kept, at, open_tag = "".join(kept), [], 0, False
    for tag in tags.finditer(text):
        if not open_tag:
            kept.append(text[at : tag.start()])
        open_tag, at = not tag[1], tag.end()
    if not open_tag:
        kept.append(text[at:])
    return "".join(kept)


class Targets:
    """How an Update or a Delete names the entry it means.

    As the prompt shows entries (`Memory 2: text`), or looser, as long as it is certain which entry is meant and that
    one is: the number alone (`2`, `2.`, `#2`, `[2]`), with the entry's word (`memory 2`, `{Memory #2}`), and behind
    it, for a Delete too, a separator and text (`Memory 2 - text`; without the word a colon: `2: text`, `{2: text}`).
    Everything else is MALFORMED: `2 entries are duplicates`, `Memory 1 and Memory 3`, `2:30 pm`.
    """

    def __init__(self, entry: Sequence[str]) -> None:
        """
        Args:
            entry: the template of a shown entry as `wording.pieces` gives it.
        """
        before, first, between, _, after = (r"\s*+".join(map(re.escape, part.split())) for part in entry)
        number, text = r"(?P<number>[0-9]{1,6})(?![0-9])", "(?P<text>.*)"
        one, other = (number, text) if first == "number" else (text, number)
        self._exact = re.compile(rf"{before}\s*+{one}\s*+{between}\s*+{other}{after}", re.DOTALL | re.IGNORECASE)
        words = "|".join(filter(None, (before, "memory")))
        self._loose = re.compile(
            rf"(?P<bracket>[{{\[(])?\s*+(?P<word>(?:{words})\s*+)?\#?\s*+{number}\s*+[\])}}]?\s*+"
            r"(?:[.:]?\s*+[\])}]?\Z|(?P<separator>:|[.=\u2013\u2014-](?=\s))(?P<text>.*)\Z)",
            re.DOTALL | re.IGNORECASE,
        )
        self._another = re.compile(rf"\s*+(?:{words})?\W*+[0-9]", re.IGNORECASE)

    def operation(self, kind: OpKind, payload: str) -> MemoryOp:
        """The Update or Delete that a payload says."""
        said = payload.strip()
        found = self._exact.fullmatch(said)
        if found is None:
            found = self._loose.match(said)
            if found is None or not self._certain(kind, found):
                return MemoryOp(kind, payload, defect=Outcome.MALFORMED)
            if found["bracket"] == "{" and found["text"]:
                found = self._loose.match(said.removesuffix("}")) or found  # the paper's form: {memory id: content}
        text = (found["text"] or "").strip()
        return MemoryOp(kind, text if kind is OpKind.UPDATE else "", int(found["number"]))

    def _certain(self, kind: OpKind, found: re.Match[str]) -> bool:
        """Whether it is the number of an entry, and what follows is its text."""
        text, separator = found["text"], found["separator"]
        if text is None:
            return True
        if not found["word"]:
            named = kind is OpKind.UPDATE or found["bracket"] == "{"
            return named and separator == ":" and not text[:1].isdigit()
        return separator == ":" or kind is OpKind.UPDATE or not self._another.match(text)  # "Memory 1 - 3"
