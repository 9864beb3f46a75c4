"""Which files of a user's own make a split: records that hold all, or documents here and questions there."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from atommem_cli.core.errors import BackendError, SourceError, UsageError
from atommem_cli.data.files import SPLITS
from atommem_cli.tasks._files import FORMATS, TABLES, files, split_of, suffix

ALL = (*FORMATS, *TABLES)
PAGES = (".md", ".markdown", ".txt")
"""In a folder `documents` and those within it: a document each, and the file's name is its title."""
_UNREAD = (".html", ".htm", ".pdf", ".doc", ".docx", ".odt", ".rtf", ".rst", ".adoc", ".org", ".tex", ".epub")
"""There they would be documents, too; anything else (images, say) is none."""
PLACE = "data/README.md shows what they hold"


class Files(NamedTuple):
    """The files of one split."""

    records: tuple[Path, ...]
    """A document list and a question list in each of their rows; or none, and the other two."""
    documents: tuple[Path, ...] = ()
    questions: tuple[Path, ...] = ()

    @property
    def all(self) -> tuple[Path, ...]:
        """Every one of them."""
        return (*self.records, *self.documents, *self.questions)


def find(source: str | None, split: str) -> Files:
    """The files of a split.

    Raises:
        UsageError: no source is named.
        SourceError: they are not there, or are not known.
        BackendError: the folder cannot be read.
    """
    if source is None:
        raise UsageError(f"records: name your file or folder with --source ({PLACE})")
    path = Path(source)
    if path.is_file() and suffix(path, TABLES):
        raise SourceError(
            f"{path}: a table holds documents or questions, not both: put documents{path.suffix} and "
            f"questions{path.suffix} into one folder, and give that as --source ({PLACE})"
        )
    if not path.is_dir():
        return Files(tuple(files(source, split)))
    documents, questions = _of(path, "documents"), _of(path, "questions")
    if not documents and not questions:
        _insist_read(path)
        if not any(suffix(one) for one in path.iterdir()):
            raise SourceError(
                f"{path}: there are no documents.* and questions.* ({', '.join(ALL)}), no folder documents/ of .md or "
                f".txt, and no records ({PLACE})"
            )
        return Files(tuple(files(source, split)))
    for found, what, other in ((documents, "documents", "questions"), (questions, "questions", "documents")):
        if not found:
            raise SourceError(f"{path}: {other} are there, and no {what}.* ({', '.join(ALL)}; {PLACE})")
    of_split = [one for one in questions if split_of(one) == split]
    return Files(
        (), _one(path, documents, "documents"), _one(path, of_split or _unnamed(path, questions, split), split)
    )


def splits(source: str | None) -> Sequence[str]:
    """The splits that are there: those that files are named after, else validation alone.

    Raises:
        UsageError: no source is named.
    """
    if source is None:
        find(source, "validation")
    path = Path(source or "")
    there, questions = [path], []
    if path.is_dir():
        questions = _of(path, "questions")
        there = questions or [one for one in path.iterdir() if suffix(one)]
    named = {split_of(one) for one in there}
    if questions and None in named:  # beside those of training, say
        named.add("validation")
    return [split for split in SPLITS if split in named] or ["validation"]


def _of(folder: Path, word: str) -> list[Path]:
    """Files whose names begin with a word; of a folder of this name, the pages in it."""
    try:
        there = sorted(folder.iterdir())
        inside = (folder / word).is_dir() and any((folder / word).iterdir())
    except OSError as error:
        raise BackendError(f"{error.filename}: cannot be read: {error.strerror}") from None
    found = [one for one in there if re.split(r"[-._]", one.name.lower())[0] == word and suffix(one, ALL)]
    return found + (_pages(folder / word) if inside else [])


def _pages(folder: Path) -> list[Path]:
    """The pages of a folder, in the order of their paths; what is hidden is none."""
    there = sorted(one for one in folder.rglob("*") if one.is_file())
    seen = [one for one in there if not any(part.startswith(".") for part in one.relative_to(folder).parts)]
    for one in seen:
        if one.suffix.lower() in _UNREAD:
            raise SourceError(f"{one}: this format is not read: save it as one of {', '.join(PAGES)} ({PLACE})")
    return [one for one in seen if one.suffix.lower() in PAGES]


def _insist_read(folder: Path) -> None:
    """Refuse a folder whose documents or questions are in a format that is not read."""
    for one in sorted(folder.glob("[DdQq]*.*")):
        if one.name.lower().split(".")[0] in ("documents", "questions"):
            raise SourceError(f"{one}: this format is not read: save it as one of {', '.join(ALL)} ({PLACE})")


def _unnamed(folder: Path, questions: Sequence[Path], split: str) -> list[Path]:
    """Files of questions that are not another split's by their names."""
    found = [one for one in questions if split_of(one) is None]
    if not found:
        there = ", ".join(one.name for one in questions)
        raise SourceError(f"{folder}: no questions of the split {split} (there are: {there})")
    return found


def _one(folder: Path, found: Sequence[Path], what: str) -> tuple[Path, ...]:
    """The files of one set: a single one, its shards, or a folder of pages."""
    kinds = {"page" if one.suffix.lower() in PAGES else suffix(one, ALL) for one in found}
    families = {re.sub(r"-\d+(-of-\d+)?(?=\.)", "", one.name) for one in found}
    if len(kinds) > 1 or (kinds != {"page"} and len(families) > 1):
        there = ", ".join(one.name for one in found[:6])
        raise SourceError(f"{folder}: {what} are there several times ({there}): leave one of them")
    return tuple(found)
