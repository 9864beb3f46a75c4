"""JSON records of a file, one at a time: lines, an array, or either in a wrapper; packed or not, in any encoding.

Memory does not grow with the file, but for a wrapper (`{"data": [...]}`), which is read whole.
"""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import re
from collections.abc import Callable, Iterator, Sequence
from io import TextIOWrapper
from itertools import chain
from pathlib import Path
from typing import Any

from atommem_cli.data.files import SPLIT_WORDS

BLOCK = 1 << 20
"""Characters of an array that are read at once, at least."""
WRAPPERS = ("data", "records", "rows", "examples")
"""Keys under which a file's only object may hold its records; the split's own name is another."""
QUESTIONS = (*WRAPPERS, "questions")
"""Likewise, where each record is a question."""
_OPEN: dict[str, Callable[..., Any]] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
_BAD = re.compile("[\udc80-\udcff]")
_DECODER = json.JSONDecoder()


def records(path: Path, split: str, wrappers: Sequence[str] = QUESTIONS) -> Iterator[tuple[str, Any]]:
    """The records of a file, each with the place where it stands ("line 3").

    Args:
        split: the one to take where a wrapper holds several.
        wrappers: keys of an object around all records.

    Raises:
        ValueError, EOFError, OSError, lzma.LZMAError: it is damaged; names the place.
    """
    with opener(path)(path, "rb") as file:
        begin = file.read(4)
        encoding = json.detect_encoding(begin)
        file.seek(0)
        text = TextIOWrapper(file, encoding, errors="surrogateescape")
        head = text.read(BLOCK)
        while head.isspace():
            head = text.read(BLOCK)
        if head.lstrip().startswith("["):
            yield from _elements(head.lstrip()[1:], text)
            return
        text.seek(0)
        yield from _lines(text, split, wrappers)


def opener(path: Path) -> Callable[..., Any]:
    """What opens a file, packed or not."""
    return _OPEN.get(path.suffix.lower(), open)


def _lines(text: TextIOWrapper, split: str, wrappers: Sequence[str]) -> Iterator[tuple[str, Any]]:
    rows = ((number, line) for number, line in enumerate(text, start=1) if line.strip())
    head = next(rows, None)
    if head is None:
        return
    number, line = head
    further = next(rows, None)
    try:
        value = _parsed(line, f"line {number}")
    except ValueError as broken:
        # An object over several lines, or a broken first line.
        rest = [] if further is None else [further[1], *(row for _, row in rows)]
        try:
            value = _parsed("".join([line, *rest]), "the file")
        except ValueError:
            raise broken from None
        yield from _unwrapped(value, split, wrappers)
        return
    if further is None:
        yield from _unwrapped(value, split, wrappers, f"line {number}")
        return
    yield f"line {number}", value
    for number, line in chain([further], rows):
        yield f"line {number}", _parsed(line, f"line {number}")


def _unwrapped(value: Any, split: str, wrappers: Sequence[str], place: str = "record 1") -> Iterator[tuple[str, Any]]:
    """The records in a file's only value: those of its list where it is a wrapper, else itself."""
    lists = {}
    if isinstance(value, dict):
        lists = {key: inner for key, inner in value.items() if isinstance(inner, list)}
    wanted = next((key for key in lists if SPLIT_WORDS.get(key.lower()) == split), None)
    if wanted is None:
        wanted = next((key for key in wrappers if key in lists), None)
    if wanted is None or not all(isinstance(inner, dict) for inner in lists[wanted]):
        yield place, value
        return
    yield from ((f"record {number}", record) for number, record in enumerate(lists[wanted], start=1))


def _elements(buffer: str, text: TextIOWrapper) -> Iterator[tuple[str, Any]]:
    """The elements of an array, of which the bracket is read already."""
    at = number = 0
    while True:
        at, buffer = _skipped(buffer, at, text)
        if not number and buffer[at : at + 1] == "]":
            return
        number += 1
        while True:
            try:
                value, end = _DECODER.raw_decode(buffer, at)
                break
            except ValueError as error:
                more = text.read(max(BLOCK, len(buffer)))
                if not more:
                    raise ValueError(f"record {number} is not JSON ({error.args[0]})") from None
                buffer, at = buffer[at:] + more, 0
        _check(buffer[at:end], f"record {number}")
        yield f"record {number}", value
        at, buffer = _skipped(buffer, end, text)
        mark = buffer[at : at + 1]
        if mark == "]":
            return
        if mark != ",":
            raise ValueError(f"after record {number} a comma or the end of the array is missing")
        at += 1


def _skipped(buffer: str, at: int, text: TextIOWrapper) -> tuple[int, str]:
    """Past white space, with more text where there is none left."""
    while True:
        while at < len(buffer) and buffer[at].isspace():
            at += 1
        if at < len(buffer):
            return at, buffer
        buffer, at = text.read(BLOCK), 0
        if not buffer:
            return 0, ""


def _parsed(line: str, place: str) -> Any:
    _check(line, place)
    try:
        return json.loads(line)
    except ValueError as error:
        raise ValueError(f"{place} is not JSON ({error})") from None


def _check(text: str, place: str) -> None:
    """Insist that every byte of a text was UTF-8."""
    if (bad := _BAD.search(text)) is not None:
        byte = ord(bad[0]) - 0xDC00
        raise ValueError(f"{place} is not UTF-8 (byte 0x{byte:02x}): save the file as UTF-8")
