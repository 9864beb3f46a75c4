"""Raw QA records of local files: as the hub has them, or as the original downloads do; `_hub` reads the hub itself.

Every record is brought into the hub's shape and checked by its layout's schema. A message names the file, the
record and the field.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from atommem_cli.core.errors import SourceError
from atommem_cli.core.types import Question
from atommem_cli.data.files import sha256
from atommem_cli.tasks._files import files
from atommem_cli.tasks._foreign import recognised
from atommem_cli.tasks._rows import each
from atommem_cli.tasks._schema import Mismatch, conform

RawRow = Mapping[str, Any]
_ALIASES = ("answer_aliases", "aliases")
OPTIONAL: Mapping[str, Any] = {"answer_aliases": [str], "aliases": [str], "answer_id": str}
"""Fields that a record of any layout may have: other accepted answers, and the answer's key in a file of aliases."""


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
    """The fields that every record must have, in the hub's shape."""
    optional: Mapping[str, Any]
    """Fields that may be absent; others are not read."""
    normal: Callable[[dict[str, Any]], None]
    """Brings other shapes of the fields into the hub's, in place; leaves alone what it does not know."""
    read: Callable[[RawRow], Record | str]
    """A record, or in a word why it cannot be used."""
    prefer: str = ""
    """Of several originals in a folder, those with this word in their names."""
    aliases: str = ""
    """A file beside the records, or in the folder above, with other names of answers by `answer_id`."""


def answers(row: RawRow) -> tuple[str, ...]:
    """The accepted answers of a record, the first one first."""
    others = [alias.strip() for field in _ALIASES for alias in row.get(field) or ()]
    return tuple(dict.fromkeys([row["answer"].strip(), *filter(None, others)]))


def other_split(layout: Layout, source: str | None, split: str, validation: str | None) -> list[Path]:
    """Local files of the validation split, if `split` is train: those that are given, else those of the folder.

    Raises:
        SourceError: what is given is not there.
    """
    if split != "train":
        return []
    if validation is not None:
        return files(validation, "validation", layout.prefer)
    if source is None or not Path(source).is_dir():
        return []
    try:
        return files(source, "validation", layout.prefer)
    except SourceError:
        return []


def inputs(layout: Layout, source: str | None, split: str, validation: str | None) -> dict[str, str]:
    """File name -> sha256 of every local file that preparing a split reads.

    Raises:
        SourceError: there is none for the split, or its first record cannot be read.
    """
    paths = [] if source is None else files(source, split, layout.prefer)
    others = other_split(layout, source, split, validation)
    for of_split, some in ((split, paths), ("validation", others)):
        next(read_local(layout, some[:1], of_split), None)
    beside = [_aliases_beside(layout, path) for path in paths]
    found: dict[str, str] = {}
    for path in (*paths, *others, *dict.fromkeys(filter(None, beside))):
        name = path.name if path.name not in found else f"{path.absolute().parent.name}/{path.name}"
        found[name] = sha256(path)
    return found


def read_local(layout: Layout, paths: Iterable[Path], split: str) -> Iterator[RawRow]:
    """Rows of local files in the hub's shape, in order; memory does not grow with their number, nothing goes to the
    network.

    Raises:
        SourceError: a file is damaged or its records are of another schema.
    """
    for path in paths:
        names = _names(beside) if (beside := _aliases_beside(layout, path)) else {}
        yield from each(path, split, partial(_row, layout, names), partial(_columns, layout))


def _row(layout: Layout, names: Mapping[str, tuple[str, ...]], raw: Any) -> RawRow:
    """A record in the hub's shape, with the aliases of its answer."""
    row = conformed(layout, raw)
    if more := names.get(row.get("answer_id", ""), ()):
        row["aliases"] = [*row.get("aliases", ()), *more]
    return row


def _columns(layout: Layout, present: Sequence[str]) -> list[str]:
    """Those of a table that are read.

    Raises:
        Mismatch: it is another's.
    """
    if (said := recognised(present, layout.name)) is not None:
        raise Mismatch(said)
    known = {*layout.schema, *layout.optional, *OPTIONAL, "_id"}
    return [name for name in present if name in known]


def conformed(layout: Layout, raw: Any) -> dict[str, Any]:
    """A record in the hub's shape.

    Raises:
        Mismatch: it is none of this layout.
    """
    if not isinstance(raw, Mapping):
        raise Mismatch("the records are not JSON objects")
    row = dict(raw)
    if (of_others := recognised(row, layout.name)) is not None:
        raise Mismatch(of_others)
    if "_id" in row:
        row.setdefault("id", row["_id"])
    row |= {field: [row[field]] for field in _ALIASES if isinstance(row.get(field), str)}
    layout.normal(row)
    try:
        made: dict[str, Any] = conform(row, layout.schema)
    except Mismatch as wrong:
        raise Mismatch(f"{wrong}{_advice(layout, row) if str(wrong).endswith('is missing') else ''}") from None
    for field, kind in {**layout.optional, **OPTIONAL}.items():
        if row.get(field) is not None:
            made[field] = conform(row[field], kind, field)
    return made


def _advice(layout: Layout, row: RawRow) -> str:
    """What to do about a record that lacks a field."""
    missing = [field for field in layout.schema if row.get(field) is None]
    if missing == ["answer"] or (missing and "answer" in missing and {"id", "question"} <= row.keys()):
        return "; a test set without answers cannot be scored: prepare the dev or train file"
    if missing:
        return (
            f"; the records should have {', '.join(layout.schema)} as in {layout.hub} on the hub "
            "(data/README.md shows one, your own can be written so)"
        )
    return ""


def _aliases_beside(layout: Layout, path: Path) -> Path | None:
    if not layout.aliases:
        return None
    places = (path.parent / layout.aliases, path.parent.parent / layout.aliases)
    return next((place for place in places if place.is_file()), None)


def _names(path: Path) -> dict[str, tuple[str, ...]]:
    """Other names by Wikidata id: the aliases and demonyms of 2Wiki's evaluation script v1.1.

    Raises:
        SourceError: the file is damaged.
    """
    schema = {"Q_id": str, "aliases": [str], "demonyms": [str]}
    lines = each(path, "", partial(conform, kind=schema))
    found = {line["Q_id"]: tuple(dict.fromkeys([*line["aliases"], *line["demonyms"]])) for line in lines}
    return {key: names for key, names in found.items() if names}
