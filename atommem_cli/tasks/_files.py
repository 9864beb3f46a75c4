"""Which local files make a split: by the names of the hub and by those of the original downloads."""

from __future__ import annotations

import re
from pathlib import Path

from atommem_cli.core.errors import BackendError, SourceError
from atommem_cli.data.files import SPLIT_WORDS, SPLITS

COMPRESSED = (".gz", ".bz2", ".xz")
FORMATS = (".jsonl", ".json", ".parquet")
TABLES = (".csv", ".tsv")
"""Formats that hold one kind of row, without lists; read by `records` alone."""
_ARCHIVES = (".zip", ".tar", ".tgz", ".7z", ".rar", ".zst", ".tar.gz", ".tar.bz2", ".tar.xz")
_OTHERS = (*TABLES, ".xlsx", ".txt", ".arrow", ".pkl")
_SHARD = re.compile(r"-\d+(-of-\d+)?(?=\.)")


def files(source: str, split: str, prefer: str = "") -> list[Path]:
    """The local files of a split, in order: the file itself, or those of a folder.

    In a folder, `<split>.jsonl`, `<split>-*.parquet` and the like, or an original download, whose name has the
    split as one of its words (`hotpot_dev_distractor_v1.json`); `dev` and `valid` are validation.

    Args:
        prefer: a word of the name that chooses among several sets of one split.

    Raises:
        SourceError: there is none, or there are several, or the file is another split's by its name.
        BackendError: the folder cannot be read.
    """
    path = Path(source)
    if path.is_file():
        if suffix(path) is None:
            raise SourceError(f"{path}: {_unknown(path)}")
        if (named := split_of(path)) in SPLITS and named != split:
            raise SourceError(f"{path}: this is the split {named}, and {split} is to be prepared")
        return [path]
    if not path.is_dir():
        raise SourceError(f"{path}: there is no such file or folder")
    try:
        there = sorted(path.iterdir())
    except OSError as error:
        raise BackendError(f"{path}: cannot be read: {error.strerror}") from None
    found = [one for one in there if suffix(one) and split_of(one) == split]
    if not found:
        raise SourceError(f"{path}: no file of the split {split} ({_nothing(path, there, split)})")
    families: dict[str, list[Path]] = {}
    for one in found:
        families.setdefault(_family(one), []).append(one)
    if len(families) > 1:
        families = {name: shards for name, shards in families.items() if prefer in _words(name)} or families
    if len(families) > 1:
        raise SourceError(f"{path}: {split} is there several times ({_names(found)}): give one of them as --source")
    (shards,) = families.values()
    if len({suffix(one) for one in shards}) > 1:
        raise SourceError(
            f"{path}: {split} is there in several formats ({_names(shards)}): give one of them as --source"
        )
    return shards


def suffix(path: Path, formats: tuple[str, ...] = FORMATS) -> str | None:
    """A known ending of a file's name (`.jsonl`, `.json.gz`, ...); None where it has none."""
    packed = next((end for end in COMPRESSED if path.name.lower().endswith(end)), "")
    bare = path.name.lower().removesuffix(packed)
    kind = next((end for end in formats if bare.endswith(end)), None)
    return None if kind is None or (packed and kind == ".parquet") else kind + packed


def split_of(path: Path) -> str | None:
    """The split that a file's name has as one of its words, the first of them; "test" is one, too."""
    return next((SPLIT_WORDS[word] for word in _words(path.name) if word in SPLIT_WORDS), None)


def _words(name: str) -> list[str]:
    return re.split(r"[-._]", name.lower())


def _family(path: Path) -> str:
    """What the shards of one set have in common; files whose names begin with the split are shards of each other."""
    name = path.name.lower()
    first = re.split(r"[-.]", name)[0]
    return first if first in SPLIT_WORDS else _SHARD.sub("", name)


def _names(paths: list[Path]) -> str:
    return ", ".join(path.name for path in paths)


def _unknown(path: Path) -> str:
    known = f"{', '.join(FORMATS)}, and the first two with {', '.join(COMPRESSED)}"
    name = path.name.lower()
    if name.endswith(_ARCHIVES):
        return f"an archive: unpack it and give the folder or file in it (known are {known})"
    if name.endswith(_OTHERS):
        tables = " (tables of one's own are read by `records`)" if name.endswith(TABLES) else ""
        return f"unknown format; known are {known}: save its records as JSON lines, as data/README.md shows{tables}"
    return f"unknown format; known are {known}"


def _nothing(path: Path, there: list[Path], split: str) -> str:
    """What to do where a folder holds no file of a split."""
    if any(suffix(one) and split_of(one) == "test" for one in there):
        return f"a test set is there, whose answers are not public: it cannot be scored; {split}.jsonl, ... is wanted"
    inner = [
        one.name for one in there if one.is_dir() and any(split_of(p) == split and suffix(p) for p in one.iterdir())
    ]
    if inner:
        return f"one is in {path / inner[0]}: give that as --source"
    packed = [one.name for one in there if one.name.lower().endswith((*_ARCHIVES, *_OTHERS))]
    if packed:
        return f"{packed[0]}: {_unknown(Path(packed[0]))}"
    also = ", dev*.json" if split == "validation" else ""
    return f"{split}.jsonl, {split}-*.parquet{also}, or a file with `{split}` as a word of its name"
