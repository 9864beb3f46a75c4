"""Prepared tasks on disk, and the contract of what makes them.

A prepared folder holds `tasks.jsonl` (one task a line, empty defaults left out) and `manifest.json`, which
is written last: a folder without it is not finished. Neither holds a clock time or an absolute path.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any, Literal, Protocol

from pydantic import BaseModel, ConfigDict, PositiveInt, TypeAdapter, ValidationError

from atommem_cli.config.command_line import preparing
from atommem_cli.core.errors import SourceError
from atommem_cli.core.types import Document, Question, Task

TASKS = "tasks.jsonl"
MANIFEST = "manifest.json"
_ID = re.compile(rb'\{"id":("(?:[^"\\]|\\.)*")')
SPLITS = ("train", "validation")
SPLIT_WORDS = dict.fromkeys(("validation", "dev", "valid", "val"), "validation")
SPLIT_WORDS |= {"train": "train", "training": "train", "test": "test"}
"""Words for the splits, in the names of files and on the command line; no test set is prepared."""


class Filter(Protocol):
    """Decides which questions are worth asking, for example those that a model misses without any document."""

    def __call__(self, questions: Sequence[Question]) -> list[bool]:
        """True for each question to keep, in order; must not depend on what else is in the batch."""

    def describe(self) -> dict[str, str]:
        """What a manifest records about it."""


@dataclass(frozen=True, slots=True)
class Request:
    """What `preparation` hands to a source besides the source's own options."""

    split: str
    """train or validation."""
    source: str | None
    """A file or folder; None is the hub."""
    limit: int | None
    """At most this many tasks; None is no limit."""
    seed: int
    """Of `--seed`; what is drawn depends on it and on the task's name."""
    keep: Filter | None
    """Says which questions to ask (`--closed-book-filter`); None is all."""
    validation: str | None
    """A file or folder of the questions that training must not see, besides those that the source has."""
    beside: Path | None
    """The prepared validation split of the same source, where there is one: such questions, too."""
    scratch: Path
    """An empty folder for temporary files; it outlives the making of tasks."""
    progress: Callable[[int], None]
    """Called with the number of records read so far."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a source returns: which tasks there will be, and how to make one. `make` and `bank` run in other processes,
    so they and the jobs must be small and picklable."""

    source: str
    """The name of the source, which each `Task.source` repeats."""
    licence: str
    """Of the data, in words."""
    jobs: Sequence[Any]
    """One per task, in order; lazily made where that saves memory."""
    make: Callable[[Any], Task]
    """From a job to its task."""
    read: int = 0
    """Questions read."""
    skipped: Mapping[str, int] = field(default_factory=dict)
    """Questions left out, by reason."""
    lost_supporting: int = 0
    """Supporting facts that point at a sentence which is not there."""
    pool: int = 0
    """Different documents of the split."""
    origin: tuple[str, ...] = ()
    """Files of the hub that were read, with their revision."""
    swapped: Mapping[str, int] = field(default_factory=dict)
    """Questions by how far their names are invented (`_swap.Extent`); empty where none are."""
    checked: Mapping[str, str] = field(default_factory=dict)
    """Of train: files and folders of validation whose questions were left out -> their sha256."""
    bank: Callable[[Any, Random], Iterable[Document]] | None = None
    """For `--distractors`: from a job to passages of other questions, as the dice draw them; None: there are none."""


class Spread(BaseModel):
    """A distribution in four numbers; the median is a member (the lower one of two)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    min: int
    median: int
    max: int
    total: int


class Manifest(BaseModel):
    """What is in a prepared folder and where it came from."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_version: Literal[1] = 1
    atommem: str
    """Version of atommem that made it."""
    source: str
    split: str
    licence: str
    origin: tuple[str, ...]
    """Files of the hub, with their revision; empty for local files."""
    inputs: dict[str, str]
    """File name -> sha256 of what was read; empty for the hub and for generated tasks."""
    options: dict[str, Any]
    """Everything that decides the content, as JSON."""
    questions_read: int
    questions_used: int
    questions_skipped: dict[str, int]
    """Reason -> count; what is neither used nor skipped lies behind the limit."""
    supporting_lost: int
    """Supporting facts that point at a sentence which is not there."""
    kinds: dict[str, int]
    """Used questions by `Question.kind`."""
    hinges: dict[str, int]
    """Used questions by `Question.hinge` (`stream`)."""
    pool: int
    """Different documents of the split; 0 for generated tasks."""
    swapped: dict[str, int] = {}
    """Used questions by how far their names are invented; see `Plan.swapped`. Not written where none are."""
    checked: dict[str, str] = {}
    """Of `train`: the files and prepared tasks of validation whose questions were left out -> their sha256 ("hub" for
    the hub's, and for generated tasks why there can be none). Empty: nothing was at hand to compare with."""
    tasks: PositiveInt
    documents: Spread
    """Documents per task."""
    tokens: Spread
    """Tokens per task: its documents, counted one by one, with title and number."""
    sha256: str
    """Of tasks.jsonl."""


@cache
def adapter() -> TypeAdapter[Task]:
    """JSON for tasks."""
    return TypeAdapter(Task)


def read_manifest(folder: str | Path) -> Manifest:
    """The manifest of a prepared folder.

    Raises:
        SourceError: there is none, or it cannot be read.
    """
    path = Path(folder) / MANIFEST
    try:
        return Manifest.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        what = "preparing it did not finish" if path.parent.is_dir() else "there is no such folder"
        if not path.is_absolute() and not path.parent.is_dir():
            what += " where you stand, from where it is looked for"
        raise SourceError(f"{path} is missing: {what}; run {preparing(path.parent)}") from None
    except OSError as error:
        raise SourceError(f"{path} cannot be read: {error.strerror}") from None
    except ValidationError as error:
        raise SourceError(f"{path} is damaged: {_fault(error, 'the file')}; prepare again with --force") from None


def read_tasks(folder: str | Path, limit: int | None = None) -> Iterator[Task]:
    """The tasks of a prepared folder, one at a time, in order; at most `limit` of them.

    Raises:
        SourceError: the folder is not finished, a line is damaged, or lines are missing.
    """
    expected = read_manifest(folder).tasks
    wanted = expected if limit is None else min(limit, expected)
    path = Path(folder) / TASKS
    count = 0
    try:
        with path.open("rb") as lines:
            while count < wanted and (line := lines.readline()):
                count += 1
                yield adapter().validate_json(line)
    except OSError as error:
        raise SourceError(f"{path} cannot be read: {error.strerror}") from None
    except ValidationError as error:
        raise SourceError(f"{path} line {count} is damaged: {_fault(error, 'the line')}") from None
    if count < wanted:
        raise SourceError(f"{path} has {count} tasks where its manifest says {expected}")


class TaskFile:
    """The tasks of a prepared folder by number, read from disk when they are asked for."""

    def __init__(self, folder: str | Path, limit: int | None = None) -> None:
        """
        Args:
            limit: first tasks only; None is all.

        Raises:
            SourceError: see `read_tasks`.
        """
        self._path = Path(folder) / TASKS
        expected = read_manifest(folder).tasks
        wanted = expected if limit is None else min(limit, expected)
        self._offsets = [0]
        try:
            with self._path.open("rb") as lines:
                while len(self._offsets) <= wanted and (line := lines.readline()):
                    self._offsets.append(self._offsets[-1] + len(line))
        except OSError as error:
            raise SourceError(f"{self._path} cannot be read: {error.strerror}") from None
        if len(self) < wanted:
            raise SourceError(f"{self._path} has {len(self)} tasks where its manifest says {expected}")

    def __len__(self) -> int:
        return len(self._offsets) - 1

    @cached_property
    def numbers(self) -> dict[str, int]:
        """The number of each task by its id, which every line begins with.

        Raises:
            SourceError: a line does not.
        """
        found: dict[str, int] = {}
        with self._path.open("rb") as lines:
            for number, line in enumerate(islice(lines, len(self))):
                if (begins := _ID.match(line)) is None:
                    raise SourceError(f"{self._path} line {number + 1} is damaged: it does not begin with an id")
                found[json.loads(begins[1])] = number
        return found

    def __getitem__(self, number: int) -> Task:
        """Task `number`, from 0.

        Raises:
            IndexError: there are not so many.
            SourceError: its line is damaged.
        """
        if not 0 <= number < len(self):
            raise IndexError(number)
        start, end = self._offsets[number : number + 2]
        with self._path.open("rb") as file:
            file.seek(start)
            raw = file.read(end - start)
        try:
            return adapter().validate_json(raw)
        except ValidationError as error:
            raise SourceError(f"{self._path} line {number + 1} is damaged: {_fault(error, 'the line')}") from None


def verify(folder: str | Path) -> Manifest:
    """The manifest, after checking that tasks.jsonl is the file that it describes.

    Raises:
        SourceError: the folder is not finished, or the file has changed.
    """
    manifest = read_manifest(folder)
    path = Path(folder) / TASKS
    if sha256(path) != manifest.sha256:
        raise SourceError(f"{path} is not the file that its manifest describes; prepare again with --force")
    return manifest


def _fault(error: ValidationError, whole: str) -> str:
    """The first fault, and the field it is in, or `whole`."""
    first = error.errors()[0]
    return f"{'.'.join(map(str, first['loc'])) or whole}: {first['msg']}"


def sha256(path: Path) -> str:
    """Digest of a file.

    Raises:
        SourceError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise SourceError(f"{path} cannot be read: {error.strerror}") from None


def dump(manifest: Manifest) -> str:
    """The manifest as it is written."""
    empty = {name for name in ("swapped", "checked") if not getattr(manifest, name)}
    content = manifest.model_dump(mode="json", exclude=empty)
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"
