"""Benchmarks whose records have their own documents and questions: which files, here or on the hub, and the plan."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

from atommem_cli.core.errors import SourceError
from atommem_cli.data.files import SPLITS, Plan, Request
from atommem_cli.tasks import _own
from atommem_cli.tasks._files import files, split_of
from atommem_cli.tasks._hub import fetch
from atommem_cli.tasks._own import Told
from atommem_cli.tasks._rows import each


class Published(NamedTuple):
    """One of them."""

    name: str
    licence: str
    hub: Callable[[Any, str], tuple[str, str]]
    """From options and split to a repository of the hub and a file in it; raises UsageError where there is none."""
    options: _own.Options
    """Its own, with every default."""
    told: Callable[[Any, int, Any, int], Told]
    """From a record, its number from 0, the options and the seed; raises Mismatch."""
    local: Callable[[str, str], list[Path]] = files
    """From a source and a split to its files; raises SourceError."""


def inputs(published: Published, source: str | None, split: str, validation: str | None) -> dict[str, str]:
    """File name -> sha256 of every local file that preparing a split reads.

    Raises:
        UsageError, SourceError: there is none, or its first record cannot be read.
    """
    if source is None:
        published.hub(published.options, split)
    here = [] if source is None else published.local(source, split)
    others = _others(published, source, split, validation)
    for paths in (here, others):
        next(_records(published, paths[:1], published.options, 0), None)
    return dict(_own.digests(dict.fromkeys((*here, *others))))


def splits(source: str | None) -> list[str]:
    """The splits that files are named after, else validation alone: most sets are for evaluation."""
    path = Path(source or "")
    there = [path] if source is None or not path.is_dir() else path.iterdir()
    named = {split_of(one) for one in there}
    return [split for split in SPLITS if split in named] or ["validation"]


def build(published: Published, options: Any, request: Request) -> Plan:
    """The tasks of one split, one for each record, or several where a task has fewer questions.

    Raises:
        UsageError: the set has no such file, or no question is left to ask.
        SourceError: a record is not what it must be.
        BackendError: the hub does not answer.
    """
    origin: tuple[str, ...] = ()
    others = _others(published, request.source, request.split, request.validation)
    if request.source is not None:
        here = published.local(request.source, request.split)
    else:
        of_split = [request.split] if request.split != "train" or others else ["train", "validation"]
        fetched = [fetch(*published.hub(options, split)) for split in of_split]
        here, others = [fetched[0][0]], others or [path for path, _ in fetched[1:]]
        origin = tuple(where for _, where in fetched)
    asked = _own.texts(_records(published, others, options, request.seed))
    guarded = _own.unseen(request, others, asked)
    told = _records(published, here, options, request.seed)
    return _own.plan(published.name, published.licence, told, options, request, origin=origin, guarded=guarded)


def _others(published: Published, source: str | None, split: str, validation: str | None) -> list[Path]:
    """Local files of validation, for train: those that are given, else those of its folder."""
    if split != "train":
        return []
    if validation is not None:
        return published.local(validation, "validation")
    if source is None or not Path(source).is_dir():
        return []
    try:
        found = published.local(source, "validation")
    except SourceError:
        return []
    return [] if found == published.local(source, split) else found


def _records(published: Published, paths: Iterable[Path], options: Any, seed: int) -> Iterator[Told]:
    numbers = count()
    for path in paths:
        yield from each(path, "", lambda raw: published.told(raw, next(numbers), options, seed), batch=1)
