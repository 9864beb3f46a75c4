"""Documents in one place and questions in another, brought together by the record that both belong to.

Memory holds some bytes for each row, and the documents of one record.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import TypeAdapter

from atommem_cli.core.errors import SourceError
from atommem_cli.tasks._document_pool import Lines
from atommem_cli.tasks._json import WRAPPERS
from atommem_cli.tasks._own_fields import Asked, Page, group, page, question, row
from atommem_cli.tasks._own_files import PAGES, Files
from atommem_cli.tasks._rows import each

T = TypeVar("T")


def pages(path: Path, split: str) -> Iterator[tuple[str, Page]]:
    """The documents of a file, each with the name of its record; a file of text is one document.

    Raises:
        SourceError: the file is damaged, or a document is not what it must be.
    """
    if path.suffix.lower() not in PAGES:
        yield from each(path, split, _page, wrappers=(*WRAPPERS, "documents"))
        return
    try:
        yield "", Page(path.with_suffix("").as_posix(), path.stem, "", path.read_text("utf-8-sig"))
    except UnicodeDecodeError:
        raise SourceError(f"{path} is not UTF-8: save it as UTF-8") from None
    except OSError as error:
        raise SourceError(f"{path} cannot be read: {error.strerror}") from None


def _page(raw: Any) -> tuple[str, Page]:
    return group(row(raw, "a document")), page(raw)


def questions(path: Path, split: str) -> Iterator[tuple[str, Asked]]:
    """The questions of a file, likewise."""
    return each(path, split, lambda raw: (group(row(raw, "a question")), question(raw)))


def gathered(files: Files, split: str, scratch: Path) -> Iterator[tuple[str, list[Page], list[Asked]]]:
    """Each record that is asked about: its name, its documents and its questions, both in the order of their files.

    Raises:
        SourceError: a file is damaged, a row is not what it must be, or a record is asked about that has no document.
    """
    read, asked = _Grouped(scratch / "pages", Page), _Grouped(scratch / "asked", Asked)
    for path in files.documents:
        for name, document in pages(path, split):
            read.add(name, document)
    for path in files.questions:
        for number, (name, one) in enumerate(questions(path, split), start=1):
            if name not in read.groups:
                what = f"the record {name!r}, which no document belongs to" if name else "no record, as documents do"
                raise SourceError(f"{path}: question {number} names {what}: both have a field `record`, or none has")
            asked.add(name, one)
    for name in read.groups:
        if name in asked.groups:
            yield name, list(read.of(name)), list(asked.of(name))


class _Grouped(Generic[T]):
    """Rows on disk, by the name of their record."""

    def __init__(self, path: Path, kind: type[T]) -> None:
        self.groups: dict[str, array[int]] = {}
        self._adapter: TypeAdapter[T] = TypeAdapter(kind)
        self._path = path
        self._file: Any = path.open("wb")
        self._ends = array("Q")

    def add(self, name: str, one: T) -> None:
        """Put down a row."""
        self._file.write(self._adapter.dump_json(one))
        self._ends.append(self._file.tell())
        self.groups.setdefault(name, array("Q")).append(len(self._ends) - 1)

    def of(self, name: str) -> Iterator[T]:
        """The rows of a record; none is put down after that."""
        self._file.close()
        lines = Lines(self._path, self._ends)
        return (self._adapter.validate_json(lines[number]) for number in self.groups[name])
