"""Raw QA records, from the hub or from local files, through `datasets` in both cases.

From a layout's schema the explicit `features` are made (without them, a column whose first lists are empty
would be read as null), and every record is checked by it. A message names the file and the field.
"""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from atommem_cli.errors import SourceError
from atommem_cli.taskfiles import SPLITS, sha256
from atommem_cli.tasks._schema import feature, mismatch
from atommem_cli.types import Question

FORMATS = {".jsonl": "json", ".json": "json", ".jsonl.gz": "json", ".json.gz": "json", ".parquet": "parquet"}


class Record(NamedTuple):
    """One question with its own paragraphs."""

    question: Question
    """Without supporting facts; they are below, as they point into `documents`."""
    documents: tuple[tuple[str, str], ...]
    """Title and text."""
    supporting: tuple[tuple[int, str], ...]
    """Index into `documents`, and the sentence or paragraph verbatim."""
    gold: tuple[int, ...]
    """Indices into `documents` of those that the answer rests on, each once."""
    lost: int
    """Supporting facts that point at a sentence which is not there."""


@dataclass(frozen=True, slots=True)
class Layout:
    """One data set."""

    name: str
    hub: str
    config: str | None
    licence: str
    schema: Mapping[str, Any]
    """The fields that every record must have."""
    optional: Mapping[str, Any]
    """Fields that may be absent; others are not read."""
    read: Callable[[Mapping[str, Any]], Record | str]
    """A record, or in a word why it cannot be used."""

    @property
    def fields(self) -> dict[str, Any]:
        return {**self.schema, **self.optional}


def files(source: str, split: str) -> list[Path]:
    """The local files of a split, in order: the file itself, or a folder's `<split>.jsonl`, `<split>-*.parquet` ...

    Raises:
        SourceError: there is none, or there are several formats, or the file is another split's by its name.
    """
    path = Path(source)
    if path.is_file():
        if _suffix(path) is None:
            raise SourceError(f"{path}: unknown format; known are {', '.join(FORMATS)}")
        if (named := _split(path)) in SPLITS and named != split:
            raise SourceError(f"{path}: this is the split {named}, and {split} is to be prepared")
        return [path]
    if not path.is_dir():
        raise SourceError(f"{path}: there is no such file or folder")
    found = sorted(p for p in path.iterdir() if _suffix(p) and _split(p) == split)
    if not found:
        raise SourceError(f"{path}: no file of the split {split} ({split}.jsonl, {split}-*.parquet, ...)")
    if len({_suffix(p) for p in found}) > 1:
        raise SourceError(f"{path}: {split} is there in several formats ({', '.join(p.name for p in found)})")
    return found


def other_split(source: str | None, split: str) -> list[Path]:
    """Local files of the validation split, if `split` is train and they are there; else none."""
    if split != "train" or source is None or not Path(source).is_dir():
        return []
    try:
        return files(source, "validation")
    except SourceError:
        return []


def digests(source: str | None, split: str) -> dict[str, str]:
    """File name -> sha256 of every local file that preparing a split reads."""
    if source is None:
        return {}
    return {path.name: sha256(path) for path in (*files(source, split), *other_split(source, split))}


def read_local(layout: Layout, paths: Iterable[Path], scratch: Path) -> Iterator[Mapping[str, Any]]:
    """Rows of local files, in order; memory does not grow with their number, nothing goes to the network.

    Raises:
        SourceError: a file is damaged or its records are of another schema.
    """
    from datasets import Features, load_dataset

    for path in paths:
        number = 0
        try:
            present = _present(path)
            arguments: dict[str, Any] = {"features": Features(_features(layout, present, path))}
            if FORMATS[_suffix(path) or ""] == "parquet":
                arguments["columns"] = list(arguments["features"])
            with _quiet():
                rows = load_dataset(
                    FORMATS[_suffix(path) or ""],
                    data_files=_literal(path),
                    split="train",
                    streaming=True,
                    cache_dir=str(scratch),
                    **arguments,
                )
                for number, row in enumerate(rows, start=1):
                    if wrong := mismatch(row, layout.schema):
                        raise SourceError(f"{path}: record {number}: {wrong}")
                    yield row
        except SourceError:
            raise
        except Exception as error:
            raise SourceError(_diagnose(path, layout, error)) from error
        if not number:
            raise SourceError(f"{path}: there is no record in it")


def read_hub(layout: Layout, split: str) -> tuple[Iterator[Mapping[str, Any]], tuple[str, ...]]:
    """Rows of the hub's data set (kept in the usual cache), and the files they come from, with revision.

    Raises:
        SourceError: the hub cannot be reached, or its schema has changed.
    """
    from datasets import Features, load_dataset

    where = f"{layout.hub}{f' ({layout.config})' if layout.config else ''}"
    try:
        table = load_dataset(layout.hub, layout.config, split=split)
    except Exception as error:
        raise SourceError(
            f"cannot load {where} from the hub ({type(error).__name__}; is there a network?): "
            "give a local copy with --source"
        ) from error
    _require(layout, table.column_names, where)
    fields = {name: kind for name, kind in layout.fields.items() if name in table.column_names}
    features = Features({name: feature(kind) for name, kind in fields.items()})
    rows = table.select_columns(list(fields)).to_iterable_dataset().cast(features)
    origin = tuple(sorted(map(str, table.info.download_checksums or ())))

    def checked() -> Iterator[Mapping[str, Any]]:
        for number, row in enumerate(rows, start=1):
            if wrong := mismatch(row, layout.schema):
                raise SourceError(f"{where}, {split}: record {number}: {wrong}")
            yield row

    return checked(), origin


def _suffix(path: Path) -> str | None:
    return next((end for end in sorted(FORMATS, key=len, reverse=True) if path.name.endswith(end)), None)


def _split(path: Path) -> str:
    """What a file's name says it is: the word before the first dot or dash."""
    return re.split(r"[-.]", path.name)[0]


def _literal(path: Path) -> str:
    """The path for `data_files`, which takes patterns: what is special in them stands for itself."""
    return re.sub(r"([*?\[])", r"[\1]", str(path.absolute()))


def _features(layout: Layout, present: Iterable[str], path: Path) -> dict[str, Any]:
    """Features of a file: our fields as the schema has them; fields that JSON must carry along, as they come."""
    from datasets import Json

    present = list(present)
    _require(layout, present, str(path))
    known = {name: feature(kind) for name, kind in layout.fields.items() if name in present}
    if FORMATS[_suffix(path) or ""] == "parquet":
        return known
    return known | {name: Json() for name in present if name not in known}


def _require(layout: Layout, present: Iterable[str], where: str) -> None:
    missing = [name for name in layout.schema if name not in set(present)]
    if missing:
        raise SourceError(
            f"{where}: the field {missing[0]} is missing; the records should be as in {layout.hub} on the hub"
        )


def _present(path: Path) -> list[str]:
    """Names of the fields of a file's first record."""
    if FORMATS[_suffix(path) or ""] == "parquet":
        from pyarrow import parquet

        return list(parquet.read_schema(path).names)
    for _, record in _raw(path):
        if not isinstance(record, dict):
            raise SourceError(f"{path}: the records are not JSON objects")
        return list(record)
    raise SourceError(f"{path}: there is no record in it")


def _raw(path: Path) -> Iterator[tuple[str, Any]]:
    """The JSON records of a file, each with the place where it stands; plain `json`, to say what is wrong where."""
    with gzip.open(path, "rb") if path.name.endswith(".gz") else path.open("rb") as file:
        if file.peek(1)[:1] == b"[":
            for number, record in enumerate(json.load(file), start=1):
                yield f"record {number}", record
            return
        for number, line in enumerate(file, start=1):
            if line.strip():
                try:
                    yield f"line {number}", json.loads(line)
                except ValueError as error:
                    raise ValueError(f"line {number} is not JSON ({error})") from None


def _diagnose(path: Path, layout: Layout, error: Exception) -> str:
    """One sentence about a file that `datasets` could not read."""
    if FORMATS[_suffix(path) or ""] == "json":
        try:
            for place, record in _raw(path):
                if wrong := mismatch(record, layout.schema):
                    return f"{path}: {place}: {wrong}"
        except (ValueError, EOFError, OSError) as damage:
            return f"{path} is damaged: {' '.join(str(damage).split())}"
    return f"{path} cannot be read ({type(error).__name__}: {' '.join(str(error).split())[:200]})"


@contextmanager
def _quiet() -> Iterator[None]:
    """`datasets` logs what it also raises."""
    from datasets.utils import logging

    before = logging.get_verbosity()
    logging.set_verbosity(logging.CRITICAL)
    try:
        yield
    finally:
        logging.set_verbosity(before)
