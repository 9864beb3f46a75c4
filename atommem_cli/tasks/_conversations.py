"""Benchmarks of conversations in dated sessions, LoCoMo and LongMemEval: their files, and sessions as documents.

Documents have no title: a session has no name, and what a title names must stand in every memory of a fact
(`fact_matcher`). Its date stands in its text, as the benchmarks' own prompts have it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import Any, Literal, NamedTuple

from atommem_cli.core.errors import SourceError, UsageError
from atommem_cli.core.types import Document, Support
from atommem_cli.data.files import Plan, Request
from atommem_cli.tasks import _own
from atommem_cli.tasks._files import files
from atommem_cli.tasks._own import Told
from atommem_cli.tasks._rows import each

NOT_MENTIONED = "Not mentioned in the conversation"
SAYING_SO = (NOT_MENTIONED, "No information available", "unknown")
"""Accepted answers to what nothing tells: what LoCoMo's script looks for, and what dialects ask for."""
OTHER_KIND = "other_kind"
"""Why a question is left out that `kinds` does not name."""
SPLITS = ("validation",)
"""Both have one set, for evaluation."""


class Options(_own.Options):
    """What a recipe may set."""

    documents: Literal["session", "turn"] = "session"
    """What a document is: a session, or a turn with the date of its session."""


def listed(value: object) -> object:
    """An option that is a list, where one thing alone is given."""
    return (value,) if isinstance(value, str) else value


class Benchmark(NamedTuple):
    """One of them."""

    name: str
    licence: str
    originals: tuple[str, ...]
    """Its files by their names up to the first dot."""
    told: Callable[[Any, int, Any, int], Told]
    """From a record, its number from 0, the options and the seed; raises Mismatch."""
    options: Options
    """Its own, with every default."""
    elsewhere: str = ""
    """Where its file is, if it is not on the hub."""


class Session(NamedTuple):
    """What was said at one time."""

    date: str
    turns: tuple[str, ...]
    """Each with who said it."""


class Written(NamedTuple):
    """Sessions as documents."""

    documents: tuple[Document, ...]
    places: dict[tuple[int, int], Support]
    """Of each turn, by session and turn from 0, as a gold fact."""


def written(sessions: Sequence[Session], of: Literal["session", "turn"]) -> Written:
    """The documents of some sessions, in their order."""
    documents: list[Document] = []
    places = {}
    for number, session in enumerate(sessions):
        if of == "session" and session.turns:
            documents.append(_own.dated("", session.date, "\n".join(session.turns)))
        for at, turn in enumerate(session.turns):
            if of == "turn":
                documents.append(_own.dated("", session.date, turn))
            places[number, at] = Support(len(documents) - 1, turn)
    return Written(tuple(documents), places)


def inputs(benchmark: Benchmark, source: str | None, split: str, validation: str | None) -> dict[str, str]:
    """File name -> sha256 of every local file that preparing a split reads.

    Raises:
        UsageError, SourceError: there is none, or its first record cannot be read.
    """
    if source is None and (benchmark.elsewhere or split == "train"):
        where = benchmark.elsewhere or "validation alone is on the hub"
        raise UsageError(f"{benchmark.name}: {where}; give a file with --source")
    here = _files(benchmark, source, split) if source else []
    others = _files(benchmark, validation, "validation") if validation else []
    for path in (*here, *others):
        next(_records(benchmark, [path], benchmark.options, 0))
    return dict(_own.digests((*here, *others)))


def build(benchmark: Benchmark, options: Options, request: Request, fetched: tuple[Path, str] | None = None) -> Plan:
    """The tasks of one split, one for each record, or several where a task has fewer questions.

    Args:
        fetched: the hub's file, and where it is from.

    Raises:
        UsageError: no question is left to ask.
        SourceError: a record is not what it must be.
    """
    paths = [fetched[0]] if fetched else _files(benchmark, str(request.source), request.split)
    others = _files(benchmark, request.validation, "validation") if request.validation else []
    asked = _own.texts(_records(benchmark, others, options, request.seed))
    return _own.plan(
        benchmark.name,
        benchmark.licence,
        _records(benchmark, paths, options, request.seed),
        options,
        request,
        origin=(fetched[1],) if fetched else (),
        guarded=_own.unseen(request, others, asked),
    )


def _records(benchmark: Benchmark, paths: Iterable[Path], options: Options, seed: int) -> Iterator[Told]:
    numbers = count()
    for path in paths:
        yield from each(path, "", lambda raw: benchmark.told(raw, next(numbers), options, seed), batch=1)


def _files(benchmark: Benchmark, source: str, split: str) -> list[Path]:
    """The file itself; of a folder, the original, or the files of the split.

    Raises:
        SourceError: there is none, or there are several.
    """
    path = Path(source)
    if path.is_file() and "." not in path.name:  # as the hub has had them
        return [path]
    there = sorted(path.iterdir()) if path.is_dir() else []
    found = [one for one in there if one.is_file() and one.name.split(".")[0] in benchmark.originals]
    if len(found) > 1:
        names = ", ".join(one.name for one in found)
        raise SourceError(f"{path}: there are several ({names}): give one of them as --source")
    return found or files(source, split)
