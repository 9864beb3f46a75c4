"""Benchmarks of conversations in dated sessions, LoCoMo and LongMemEval: their files, and sessions as documents.

Documents have no title: a session has no name, and what a title names must stand in every memory of a fact
(`fact_matcher`). Its date stands in its text, as the benchmarks' own prompts have it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from atommem_cli.core.errors import SourceError
from atommem_cli.core.types import Document, Support
from atommem_cli.tasks import _own
from atommem_cli.tasks._files import files

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


def local(originals: Sequence[str], source: str, split: str) -> list[Path]:
    """The file itself; of a folder, the original, or the files of the split.

    Args:
        originals: names up to the first dot.

    Raises:
        SourceError: there is none, or there are several.
    """
    path = Path(source)
    if path.is_file() and "." not in path.name:  # as the hub has had them
        return [path]
    there = sorted(path.iterdir()) if path.is_dir() else []
    found = [one for one in there if one.is_file() and one.name.split(".")[0] in originals]
    if len(found) > 1:
        names = ", ".join(one.name for one in found)
        raise SourceError(f"{path}: there are several ({names}): give one of them as --source")
    return found or files(source, split)
