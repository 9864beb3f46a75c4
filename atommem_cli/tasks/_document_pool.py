"""All different documents of a split and its questions, on disk: memory holds some bytes for each, not its text.

Workers open the same files by path, so nothing large is sent to them.
"""

from __future__ import annotations

import os
from array import array
from collections.abc import Iterator, Sequence
from hashlib import blake2b
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from pydantic import TypeAdapter

from atommem_cli.core.types import Document, Question
from atommem_cli.tasks._records import Record


class Entry(NamedTuple):
    """One question, its documents by number."""

    question: Question
    documents: tuple[int, ...]
    """Numbers on the shelf, each once."""
    supporting: tuple[tuple[int, str], ...]
    """Number on the shelf, and the sentence verbatim."""
    gold: tuple[int, ...]
    """Numbers of the documents that the answer rests on."""


_ENTRY = TypeAdapter(Entry)


class Lines:
    """Blocks of bytes in one file, by number; safe to read from several processes."""

    def __init__(self, path: Path, ends: array[int]) -> None:
        self._path = path
        self._ends = ends
        self._descriptor: int | None = None

    def __len__(self) -> int:
        return len(self._ends)

    def __getitem__(self, number: int) -> bytes:
        if self._descriptor is None:
            self._descriptor = os.open(self._path, os.O_RDONLY)
        start = self._ends[number - 1] if number else 0
        return os.pread(self._descriptor, self._ends[number] - start, start)

    def __getstate__(self) -> tuple[Path, array[int]]:
        return self._path, self._ends

    def __setstate__(self, state: tuple[Path, array[int]]) -> None:
        self._path, self._ends = state
        self._descriptor = None

    def __del__(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)


class Shelf:
    """The documents of a split, numbered in an order that depends on what they say alone."""

    def __init__(self, texts: Lines, order: array[int], alike: dict[int, tuple[int, ...]]) -> None:
        self._texts = texts
        self._order = order
        self._alike = alike

    def __len__(self) -> int:
        return len(self._order)

    def __getitem__(self, number: int) -> Document:
        length, _, block = self._texts[self._order[number]].decode().partition(":")
        return Document(block[: int(length)], block[int(length) :])

    def alike(self, number: int) -> tuple[int, ...]:
        """Numbers of the documents that have this one's title, itself included."""
        return self._alike.get(number, (number,))


class Writer:
    """Fills a shelf and the list of its questions."""

    def __init__(self, folder: Path) -> None:
        self._paths = folder / "documents", folder / "questions"
        self._files = self._paths[0].open("wb"), self._paths[1].open("wb")
        self._ends = array("Q"), array("Q")
        self._seen: dict[bytes, int] = {}
        self._titles = array("Q")

    def add(self, record: Record) -> None:
        """Put down a question and its documents."""
        numbers = []
        for title, text in record.documents:
            block = f"{len(title)}:{title}{text}".encode()
            digest = blake2b(block, digest_size=16).digest()
            if digest not in self._seen:
                self._seen[digest] = len(self._titles)
                self._titles.append(_digest8(title))
                self._put(0, block)
            numbers.append(self._seen[digest])
        supporting = tuple((numbers[index], text) for index, text in record.supporting)
        gold = tuple(numbers[index] for index in record.gold)
        entry = Entry(record.question, tuple(dict.fromkeys(numbers)), supporting, gold)
        self._put(1, _ENTRY.dump_json(entry))

    def _put(self, which: int, block: bytes) -> None:
        self._files[which].write(block)
        ends = self._ends[which]
        ends.append((ends[-1] if ends else 0) + len(block))

    def finish(self) -> tuple[Shelf, Questions]:
        """Close the files and sort the shelf."""
        for file in self._files:
            file.close()
        order = array("Q", (self._seen[digest] for digest in sorted(self._seen)))
        titles = [self._titles[at] for at in order]
        alike = {}
        for _, same in groupby(sorted(range(len(titles)), key=titles.__getitem__), titles.__getitem__):
            if len(numbers := tuple(same)) > 1:
                alike.update(dict.fromkeys(numbers, numbers))
        places = array("Q", order)
        for place, at in enumerate(order):
            places[at] = place
        shelf = Shelf(Lines(self._paths[0], self._ends[0]), order, alike)
        return shelf, Questions(Lines(self._paths[1], self._ends[1]), places)


def _digest8(title: str) -> int:
    """Stands for a title; two that collide by chance merely keep one another from being filler."""
    return int.from_bytes(blake2b(title.encode(), digest_size=8).digest(), "big")


class Questions(Sequence[Entry]):
    """The questions of a split, read from disk as they are asked for."""

    def __init__(self, lines: Lines, places: array[int]) -> None:
        self._lines = lines
        self._places = places

    def __len__(self) -> int:
        return len(self._lines)

    def __getitem__(self, number: int) -> Entry:  # type: ignore[override]
        entry = _ENTRY.validate_json(self._lines[number])
        return Entry(
            entry.question,
            tuple(self._places[at] for at in entry.documents),
            tuple((self._places[at], text) for at, text in entry.supporting),
            tuple(self._places[at] for at in entry.gold),
        )

    def __iter__(self) -> Iterator[Entry]:
        return (self[number] for number in range(len(self)))
