"""`records`: documents and questions of one's own, as data/README.md shows them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

from pydantic import model_validator

from atommem_cli.core.errors import SourceError
from atommem_cli.core.types import Question
from atommem_cli.data.files import Plan, Request
from atommem_cli.tasks import _own, _own_tables
from atommem_cli.tasks._foreign import recognised
from atommem_cli.tasks._json import WRAPPERS
from atommem_cli.tasks._own import Told
from atommem_cli.tasks._own_fields import (
    DOCUMENTS,
    TEXT,
    TURNS,
    Asked,
    Page,
    moment,
    page,
    question,
    row,
    supports,
    turn,
    when,
)
from atommem_cli.tasks._own_files import Files, find, splits
from atommem_cli.tasks._rows import each
from atommem_cli.tasks._schema import Mismatch

__all__ = ["Options", "build", "inputs", "splits"]

T = TypeVar("T")
NAME = "records"
_LARGE: dict[str, Any] = {"batch": 8, "wrappers": WRAPPERS}
"""How files of records are read: each may hold thousands of documents."""


class Options(_own.Options):
    """What a recipe may set."""

    by_date: bool = False
    """Whether documents are read in the order of their dates, and not in that of the records."""
    licence: str = "as its owner says"
    """Of the data, in words; the manifest records it."""

    @model_validator(mode="after")
    def _one_order(self) -> Options:
        if self.by_date and self.shuffle:
            raise ValueError("by_date and shuffle: documents have one order")
        return self


def inputs(source: str | None, split: str, validation: str | None) -> dict[str, str]:
    """File name -> sha256 of every file that preparing a split reads.

    Raises:
        UsageError, SourceError, BackendError: they are not there, or begin with what cannot be read.
    """
    here, others = find(source, split), _elsewhere(source, split, validation)
    for files, of_split in ((here, split), (others, "validation")):
        if files is not None:
            _peek(files, of_split)
    return dict(_own.digests(dict.fromkeys((*here.all, *(others.all if others else ())))))


def build(options: Options, request: Request) -> Plan:
    """The tasks of one split: one for each record, or for all documents and questions together.

    Raises:
        UsageError, SourceError: a record is not what it must be.
    """
    files = find(request.source, request.split)
    others = _elsewhere(request.source, request.split, request.validation)
    asked = (others.records or others.questions) if others else ()
    guarded = _own.unseen(request, asked, _texts(others) if others else ())
    told = _told(files, request.split, options, request.scratch)
    return _own.plan(NAME, options.licence, told, options, request, guarded=guarded)


def _elsewhere(source: str | None, split: str, validation: str | None) -> Files | None:
    """The files of validation, for train: those that are given, else those beside its own, if there are any."""
    if split != "train":
        return None
    if validation is not None:
        return find(validation, "validation")
    if source is None or not Path(source).is_dir() or "validation" not in splits(source):
        return None
    found = find(source, "validation")
    return None if found == find(source, split) else found


def _peek(files: Files, split: str) -> None:
    """Read the first of each, so that what is wrong with all of them is said at once."""
    for path in files.records[:1]:
        next(each(path, split, _whole, **_LARGE))
    for path in files.documents[:1]:
        next(_own_tables.pages(path, split))
    for path in files.questions[:1]:
        next(_own_tables.questions(path, split))


def _texts(files: Files) -> Iterator[str]:
    for path in files.records:
        for _, questions in each(path, "validation", _whole, **_LARGE):
            yield from (one.text for one in questions)
    for path in files.questions:
        yield from (one.text for _, one in _own_tables.questions(path, "validation"))


def _told(files: Files, split: str, options: Options, scratch: Path) -> Iterator[Told]:
    numbers = count(1)
    for path in files.records:
        yield from each(path, split, partial(_record, numbers, options), **_LARGE)
    for name, pages, asked in _own_tables.gathered(files, split, scratch) if files.questions else ():
        place = files.documents[0] if len(files.documents) == 1 else files.documents[0].parent
        try:
            read = _in_order(pages, options)
            place = files.questions[0]
            yield _joined(read, asked, f"{name}-" if name else "")
        except Mismatch as wrong:
            raise SourceError(f"{place}: {f'record {name}: ' if name else ''}{wrong}") from None


def _record(numbers: Iterator[int], options: Options, raw: Any) -> Told:
    """One row of a file of records; one without an id goes by its number."""
    number = next(numbers)
    pages, asked = _whole(raw)
    return _joined(_in_order(pages, options), asked, f"{row(raw, 'a record').get('id', number)}-")


def _whole(raw: Any) -> tuple[list[Page], list[Asked]]:
    """The documents and questions of one record."""
    found = row(raw, "a record")
    name = next((name for name in (*DOCUMENTS, *TURNS) if name in found), "")
    wanted = "a record has documents, a list, and questions, a list (data/README.md shows one)"
    there = f"there are: {', '.join(found) or 'none'}; {wanted}"
    of_others = None if name or {*TEXT} & found.keys() else recognised(found, NAME)
    if of_others is not None:
        raise Mismatch(of_others)
    if not name and {*TEXT, "question"} & found.keys():
        raise Mismatch(f"{there}; documents.* and questions.* in one folder are read, too: give the folder as --source")
    if not name:
        raise Mismatch(f"the field documents is missing ({there})")
    asked = found.get("questions", [raw] if "question" in found else None)
    if asked is None:
        raise Mismatch(f"the field questions is missing ({there})")
    for field, value in ((name, found[name]), ("questions", asked)):
        if not isinstance(value, list):
            raise Mismatch(f"the field {field} is no list: {wanted}")
    return _every(found[name], page if name in DOCUMENTS else _said, "document"), _every(asked, question, "question")


def _said(raw: Any) -> Page:
    """One turn of a conversation as a document."""
    date = when(row(raw, "a turn")) if isinstance(raw, Mapping) else ""
    return Page("", "", date, _own.conversation([turn(raw, "a turn")]))


def _every(rows: Sequence[Any], read: Callable[[Any], T], what: str) -> list[T]:
    made = []
    for number, raw in enumerate(rows, start=1):
        try:
            made.append(read(raw))
        except Mismatch as wrong:
            raise Mismatch(f"{what} {number}: {wrong}") from None
    return made


def _joined(pages: list[Page], asked: Iterable[Asked], prefix: str) -> Told:
    """A record's documents, in the order in which they are read, and its questions as they are asked."""
    asked = list(asked)
    _insist_apart(asked, "questions")
    questions = []
    for number, one in enumerate(asked, start=1):
        try:
            facts = supports(one, pages)
        except Mismatch as wrong:
            raise Mismatch(f"question {number}, {one.text!r}: {wrong}") from None
        known = Question(f"{prefix}{one.id or number}", one.text, one.answers, facts, one.kind, stale=one.stale)
        questions.append(known if one.nothing is None else replace(known, unanswerable=True, explanation=one.nothing))
    return Told(tuple(one.document for one in pages), tuple(questions))


def _in_order(pages: list[Page], options: Options) -> list[Page]:
    """The documents that say something, as they are read."""
    pages = _sorted([one for one in pages if one.title or one.text.strip()], options)
    if not pages:
        raise Mismatch("there is no document with a text")
    _insist_apart(pages, "documents")
    return pages


def _insist_apart(them: Iterable[Page | Asked], what: str) -> None:
    twice = [name for name, count in Counter(one.id for one in them if one.id).items() if count > 1]
    if twice:
        raise Mismatch(f"two {what} have the id {twice[0]!r}: each has one of its own, or none")


def _sorted(pages: list[Page], options: Options) -> list[Page]:
    if not options.by_date:
        return pages
    if (bare := next((one for one in pages if not one.date), None)) is not None:
        raise Mismatch(f"by_date: the document {bare.title or bare.text[:40]!r} has no date")
    return sorted(pages, key=lambda one: moment(one.date))
