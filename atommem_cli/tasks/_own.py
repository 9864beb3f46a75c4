"""Documents that belong together, with the questions about them, as tasks: a wiki, a conversation, a day's mail.

A source reads its records and tells each one as `Told`; `plan` makes tasks of them. Documents stay as they are told, in
their order, and no others come between: what is read later may correct what was read before.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Annotated, Literal, NamedTuple

from pydantic import Field, TypeAdapter

from atommem_cli.config.schema import Section
from atommem_cli.core.seeds import derive
from atommem_cli.core.types import Document, Question, Support, Task
from atommem_cli.data import split_guard
from atommem_cli.data.files import Filter, Plan, Request, sha256
from atommem_cli.tasks._document_pool import Lines
from atommem_cli.tasks._haystack import FILTER_BATCH, no_task, refusal

Job = tuple[int, int, int, int]
"""A task's index, its record's number, and the first of its questions and the one behind the last."""


class Options(Section):
    """What a recipe may set."""

    questions: Literal["all"] | Annotated[int, Field(ge=1)] = "all"
    """Questions per task at most; a record of more becomes several tasks, which all read the same documents."""
    shuffle: bool = False
    """Whether documents are read in an order that is drawn for each task, and not in that of the records."""


class Told(NamedTuple):
    """Documents that are read together, and the questions about them."""

    documents: tuple[Document, ...]
    """In the order in which they are read: by date, where they have one. A date is seen in title or text alone; see
    `dated`."""
    questions: tuple[Question, ...]
    """Each with an id of its own in all of the split; `Support.document` counts in `documents`."""
    skipped: tuple[str, ...] = ()
    """Why further questions are left out, one word for each."""
    lost: int = 0
    """Supporting facts that point at what is not there."""


def dated(title: str, date: str, text: str) -> Document:
    """A document that shows when it was written, if that is known: behind its title, or above a text without title.

    A date in brackets is no part of a name, which a memory would have to repeat (`fact_matcher`).
    """
    if title:
        return Document(f"{title} ({date})" if date else title, text)
    return Document("", f"Date: {date}\n{text}" if date else text)


def conversation(turns: Iterable[tuple[str, str]]) -> str:
    """What was said, a line for each turn: who, and what."""
    return "\n".join(f"{speaker}: {said}" if speaker else said for speaker, said in turns)


def arranged(told: Told, order: Sequence[int]) -> Told:
    """The same with its documents in another order; gold facts go with them.

    Args:
        order: numbers of documents, each once, as they are to be read.
    """
    place = {number: at for at, number in enumerate(order)}

    def moved(question: Question) -> Question:
        there = tuple(Support(place[one.document], one.text) for one in question.supporting)
        return replace(question, supporting=there)

    documents = tuple(told.documents[number] for number in order)
    return told._replace(documents=documents, questions=tuple(map(moved, told.questions)))


class Unseen(NamedTuple):
    """Questions that training must not ask."""

    digests: set[bytes]
    """See `split_guard.digest`."""
    checked: dict[str, str]
    """See `Plan.checked`."""


def unseen(request: Request, files: Sequence[Path], asked: Iterable[str]) -> Unseen:
    """The questions of validation, for a plan of train; nothing for one of validation.

    Args:
        files: those of validation that are at hand.
        asked: the texts of their questions; read for train alone.

    Raises:
        SourceError: they cannot be read.
    """
    if request.split != "train":
        return Unseen(set(), {})
    checked = {path.name: sha256(path) for path in files}
    digests = {split_guard.digest(text) for text in asked}
    return Unseen(digests | split_guard.beside(request.beside, checked), checked)


def plan(
    source: str,
    licence: str,
    records: Iterable[Told],
    options: Options,
    request: Request,
    *,
    origin: tuple[str, ...] = (),
    guarded: Unseen | None = None,
) -> Plan:
    """The tasks of one split. Records go to disk one by one and are read no further than the limit wants them.

    Args:
        source: the name of the source.
        licence: of the data, in words.
        origin: files of the hub, with their revision.
        guarded: see `unseen`.

    Raises:
        UsageError: there is no question to ask.
    """
    guarded = guarded or Unseen(set(), {})
    prefix = f"{source}-{request.split}"
    skipped: Counter[str] = Counter()
    ids: set[str] = set()
    jobs: list[Job] = []
    shelf = _Shelf(request.scratch / "told")
    read = lost = 0
    for told in records:
        read += len(told.questions) + len(told.skipped)
        lost += told.lost
        skipped.update(told.skipped)
        asked = list(_asked(told.questions, ids, guarded.digests, request.keep, skipped))
        request.progress(read)
        if not asked:
            continue
        number = shelf.add(told._replace(questions=tuple(asked), skipped=()))
        size = len(asked) if options.questions == "all" else options.questions
        for start in range(0, len(asked), size):
            jobs.append((len(jobs), number, start, start + size))
        if request.limit is not None and len(jobs) >= request.limit:
            break
    jobs = jobs[: request.limit]
    if not jobs:
        raise no_task(prefix, skipped)
    maker = Maker(shelf.finish(), source, prefix, options.shuffle, request.seed)
    bank = maker.others if len(maker.lines) > 1 else None
    return Plan(
        source, licence, jobs, maker, read, dict(skipped), lost, 0, origin, {}, guarded.checked, bank,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Maker:
    """Makes one task; small enough to be sent to a worker."""

    lines: Lines
    source: str
    prefix: str
    shuffle: bool
    seed: int

    def __call__(self, job: Job) -> Task:
        index, number, start, stop = job
        name = f"{self.prefix}-{index:05d}"
        told = _TOLD.validate_json(self.lines[number])
        told = told._replace(questions=told.questions[start:stop])
        if self.shuffle:
            order = list(range(len(told.documents)))
            Random(derive(self.seed, name, "documents")).shuffle(order)
            told = arranged(told, order)
        return Task(name, self.source, told.documents, told.questions)

    def others(self, job: Job, rng: Random) -> Iterator[Document]:
        """Documents of other records in random order."""
        numbers = [number for number in range(len(self.lines)) if number != job[1]]
        rng.shuffle(numbers)
        for number in numbers:
            documents = list(_TOLD.validate_json(self.lines[number]).documents)
            rng.shuffle(documents)
            yield from documents


def _asked(
    questions: Sequence[Question], ids: set[str], elsewhere: set[bytes], keep: Filter | None, skipped: Counter[str]
) -> Iterator[Question]:
    """The questions that can be asked, and are wanted; the others are counted."""
    sound = []
    for question in questions:
        if why := refusal(question, ids, elsewhere):
            skipped[why] += 1
        else:
            ids.add(question.id)
            sound.append(question)
    if keep is None:
        yield from sound
        return
    for start in range(0, len(sound), FILTER_BATCH):
        batch = sound[start : start + FILTER_BATCH]
        verdicts = keep(batch)
        skipped["filtered"] += verdicts.count(False)
        yield from (question for question, good in zip(batch, verdicts, strict=True) if good)


_TOLD = TypeAdapter(Told)


class _Shelf:
    """What was told, on disk."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open("wb")
        self._ends = array("Q")

    def add(self, told: Told) -> int:
        """Put down a record; its number."""
        self._file.write(_TOLD.dump_json(told))
        self._ends.append(self._file.tell())
        return len(self._ends) - 1

    def finish(self) -> Lines:
        """Close the file."""
        self._file.close()
        return Lines(self._path, self._ends)


def texts(records: Iterable[Told]) -> Iterator[str]:
    """The questions of records, for `unseen`."""
    return (question.text for told in records for question in told.questions)


def digests(paths: Iterable[Path]) -> Mapping[str, str]:
    """File name -> sha256, as `inputs` gives it; of two files of one name the second one's folder is named, too.

    Raises:
        SourceError: one cannot be read.
    """
    found: dict[str, str] = {}
    for path in paths:
        name = path.name if path.name not in found else f"{path.absolute().parent.name}/{path.name}"
        found[name] = sha256(path)
    return found
