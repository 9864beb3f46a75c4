"""Rows of a local file, one at a time, and in one sentence what is wrong with one: which file, which row, which field.

JSON as `_json` reads it, parquet, and csv as `_csv` does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from atommem_cli.core.errors import SourceError
from atommem_cli.tasks import _csv, _json
from atommem_cli.tasks._files import TABLES, suffix
from atommem_cli.tasks._schema import Mismatch

Columns = Callable[[Sequence[str]], Sequence[str]]
"""From all columns of a table to those that are read."""
T = TypeVar("T")
BATCH = 256
"""Rows of a parquet file that are read at once."""


def each(
    path: Path,
    split: str,
    read: Callable[[Any], T],
    columns: Columns = list,
    *,
    batch: int = BATCH,
    wrappers: Sequence[str] = _json.QUESTIONS,
) -> Iterator[T]:
    """What `read` makes of each row of a file, in order; memory does not grow with their number.

    Args:
        split: the one to take where a wrapper of JSON records holds several.
        read: from a row to what is made of it; raises Mismatch where it cannot be.
        columns: of a parquet file.
        batch: rows of a parquet file that are read at once.
        wrappers: keys of an object around all records of a JSON file.

    Raises:
        SourceError: the file is damaged, holds nothing, or one of its rows is not what it must be.
    """
    place = ""
    try:
        for where, raw in _rows(path, split, columns, batch, wrappers):
            place = where
            yield read(raw)
    except Mismatch as wrong:
        raise SourceError(f"{path}: {f'{place}: ' if place else ''}{wrong}") from None
    except RecursionError:
        raise SourceError(f"{path} is damaged: a record is nested too deeply") from None
    except _damage() as damage:
        raise SourceError(_said(path, damage)) from damage
    if not place:
        raise SourceError(f"{path}: there is no record in it")


def _rows(path: Path, split: str, columns: Columns, batch: int, wrappers: Sequence[str]) -> Iterator[tuple[str, Any]]:
    """The rows of a file, each with the place where it stands ("line 3", "record 3")."""
    if suffix(path, TABLES) is not None:
        yield from _csv.rows(path)
        return
    if suffix(path) != ".parquet":
        yield from _json.records(path, split, wrappers)
        return
    from pyarrow import parquet

    try:
        table = parquet.ParquetFile(path)
    except Exception as error:
        raise SourceError(
            f"{path} cannot be read ({type(error).__name__}: {' '.join(str(error).split())[:200]})"
        ) from error
    with table:
        number = 0
        for some in table.iter_batches(batch_size=batch, columns=list(columns(table.schema_arrow.names))):
            for row in some.to_pylist():
                yield f"record {(number := number + 1)}", row


def _damage() -> tuple[type[Exception], ...]:
    """Errors that a damaged file is read with."""
    from lzma import LZMAError
    from zlib import error as ZlibError

    from pyarrow import ArrowException

    return ValueError, EOFError, OSError, LZMAError, ZlibError, ArrowException


_INSTEAD = {
    b"version https://git-lfs": "what Git LFS keeps in its place (`git lfs pull` fetches the file)",
    b"<!doctype html": "a page of HTML (a download that failed)",
    b"<html": "a page of HTML (a download that failed)",
}
"""How what lies in the place of a file begins."""


def _instead(path: Path) -> str:
    """What lies in the place of the file, if that can be seen; else empty."""
    with path.open("rb") as file:
        head = file.read(64).lstrip().lower()
    return next((what for begin, what in _INSTEAD.items() if head.startswith(begin)), "")


def _said(path: Path, damage: Exception) -> str:
    if isinstance(damage, OSError) and damage.errno:
        return f"{path} cannot be read: {damage.strerror}"
    if what := _instead(path):
        return f"{path} is {what}, and not the file itself"
    return f"{path} is damaged: {' '.join(str(damage).split())[:200] or type(damage).__name__}"
