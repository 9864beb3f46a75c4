"""The file of a dialect: every key with its meaning, and what a dialect cannot be without."""

from __future__ import annotations

import functools
import hashlib
import os
import re
from collections.abc import Collection
from importlib import resources
from itertools import takewhile
from pathlib import Path
from string import Template
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, PositiveInt, ValidationError, model_validator

from atommem_cli.config import plugins
from atommem_cli.core.errors import UsageError, did_you_mean
from atommem_cli.core.safe_text import cut, visible
from atommem_cli.core.types import MEMORY_OPS, OpKind
from atommem_cli.core.yaml_file import read_yaml

FIELDS = frozenset(
    {"questions", "question", "scratchpad", "query", "memories", "documents", "chunk"}
    | {"reads_left", "reads_done", "reads_most"}
)
"""What a section of a prompt may show, as `${name}`.

`reads_left`: how many more replies in a row may only read; given while there are some. `reads_done`: how many have
been, from 0, and `reads_most`: how many may be; given in every call in which one can read.
"""
_NEEDED = {"reading": "chunk", "notes": "chunk", "reader": "question", "closed_book": "question"}
_TAG = re.compile(r"[A-Za-z_][\w:.-]*")


class Wording(BaseModel):
    """A dialect file, checked. One that says `like: NAME` has what it does not say from that shipped one, and may put
    the parts of a section in another `order`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    tags: dict[str, str]
    """Tag per kind of operation on the memory, and `answer`."""
    boxed: bool
    r"""Whether the answer stands in \boxed{} inside its tags."""
    memory: str
    """One shown entry; fields number (from 1) and text."""
    memory_tokens: PositiveInt | None = None
    """Most tokens of the shown entries together; the rest is cut off at the end, as in AtomMem's code (papers.md
    1.2). A number whose text is cut off can still be addressed, as there. null cuts nothing."""
    spaced: bool = False
    """Whether tags and payloads stand apart by spaces, and sections by single lines (closed vocabularies)."""
    numbered: bool = True
    """Whether several questions are numbered; else one per line."""
    nothing: str
    """Stands for an empty field: scratchpad, query, retrieval."""
    placeholders: dict[str, str] = {}
    """Stands for one empty field in place of `nothing`, by the field's name; may be empty itself."""
    told: tuple[str, ...] = ("reading",)
    """Sections whose calls begin with the system message: reading, notes, reader; in each for agents alone that run
    the operations of a reply there."""
    system: str
    """Fields manual and example; empty for none."""
    manual: dict[OpKind, str]
    example: dict[OpKind, str]
    reading: dict[str, str]
    """Sections of the user message, in order, each with fields as `${chunk}`; likewise below."""
    notes: dict[str, str]
    reader: dict[str, str]
    closed_book: dict[str, str]

    @model_validator(mode="after")
    def _whole(self) -> Self:
        """
        Raises:
            ValueError: begins with the key.
        """
        wanted = {*MEMORY_OPS, "answer"}
        if odd := sorted(wanted ^ self.tags.keys()):
            raise ValueError(f"tags: one for each of {', '.join(sorted(wanted))}, and no other (see {odd[0]})")
        for key, tag in self.tags.items():
            if not _TAG.fullmatch(tag):
                raise ValueError(f"tags.{key}: {tag!r} is no name of a tag (letters, digits, _ : . -)")
        if len({tag.lower() for tag in self.tags.values()}) < len(self.tags):
            raise ValueError("tags: two of them are the same")
        insist_fields("memory", self.memory, {"number", "text"})
        if sorted(template(self.memory).get_identifiers()) != ["number", "text"]:
            raise ValueError("memory: shows an entry, so it needs ${number} and ${text}")
        insist_fields("system", self.system, {"manual", "example"})
        for key in self.placeholders:
            if key not in FIELDS:
                raise ValueError(f"placeholders.{key}: no such field{did_you_mean(key, FIELDS)}")
        for key in self.told:
            if key not in ("reading", "notes", "reader"):
                raise ValueError(f"told: no {key!r}{did_you_mean(key, _NEEDED)}")
        for section, needed in _NEEDED.items():
            texts: dict[str, str] = getattr(self, section)
            for name, text in texts.items():
                insist_fields(f"{section}.{name}", text, FIELDS)
            if not any(needed in template(text).get_identifiers() for text in texts.values()):
                raise ValueError(f"{section}: nothing shows ${{{needed}}}")
        return self


def find(name: str) -> tuple[Wording, str]:
    """A dialect's wording, and the sha256 of its file (16 hexadecimal digits).

    Args:
        name: one of `dialects/`; one of an installed package, by an entry point of the group `atommem.dialects` that
            is the path of its file; or the path of a file that ends in .yaml or .yml, from the working folder.

    Raises:
        UsageError: there is none of that name, or the file is no dialect; names the file and the key.
    """
    return _read(_place(name), name)


def available() -> list[str]:
    """Names of the dialects, sorted: those that come with atommem, and those of installed packages."""
    return sorted({*shipped(), *(point.name for point in plugins.outside("dialects", shipped()))})


def about(name: str) -> str:
    """What a dialect is: the first sentence of the comment at the head of its file.

    Raises:
        UsageError: as `find`.
    """
    find(name)
    lines = takewhile(lambda line: line.startswith("#"), _place(name).read_text(encoding="utf-8").splitlines())
    whole = " ".join(line.lstrip("# ") for line in lines)
    return whole.partition(". ")[0].rstrip(".") + "." if whole else ""


def _place(name: str) -> Path:
    if name.endswith((".yaml", ".yml")):
        return Path(name)
    if name in shipped():
        return Path(str(resources.files("atommem_cli") / "dialects" / f"{name}.yaml"))
    _, path = plugins.entry("dialects", name, shipped(), ".yaml")
    if not isinstance(path, str | os.PathLike):
        raise UsageError(f"dialect {name}: its entry point is not the path of a file but {visible(repr(path))}")
    return Path(path)


@functools.cache
def shipped() -> tuple[str, ...]:
    """The names of the dialects that come with atommem, sorted."""
    folder = resources.files("atommem_cli") / "dialects"
    return tuple(sorted(f.name.removesuffix(".yaml") for f in folder.iterdir() if f.name.endswith(".yaml")))


def _read(path: Path, name: str) -> tuple[Wording, str]:
    content = read_yaml(path, name)
    if not isinstance(content, dict):
        raise UsageError(f"{name}: a dialect is a mapping of keys, as in the shipped ones ({', '.join(shipped())})")
    made = path.read_bytes()
    if "like" in content:
        content, model = _alike(content, name)
        made += model.encode()
    try:
        wording = Wording.model_validate(content)
    except ValidationError as error:
        raise UsageError(f"{name}: {_sentence(error)}") from None
    return wording, hashlib.sha256(made).hexdigest()[:16]


def _alike(content: dict[str, Any], name: str) -> tuple[dict[str, Any], str]:
    """A dialect in terms of another one, written out; and the digest of that one.

    Raises:
        UsageError: there is no other one, or the order of a section is not one of its parts.
    """
    given = {**content}
    model, order = given.pop("like"), given.pop("order", {})
    if not isinstance(model, str) or model not in shipped():
        raise UsageError(f"{name}: like: name one of {', '.join(shipped())} (given: {cut(repr(model), 80)})")
    whole, digest = find(model)
    if "like" in read_yaml(_place(model), model):
        raise UsageError(f"{name}: like: {model} is like another one itself: name that")
    made = {**whole.model_dump(mode="json"), **given}
    for section, parts in order.items() if isinstance(order, dict) else [("order", order)]:
        there = made.get(section) if section in _NEEDED else None
        if not isinstance(there, dict) or not isinstance(parts, list) or sorted(map(str, parts)) != sorted(there):
            wanted = ", ".join(there) if isinstance(there, dict) else f"a section ({', '.join(_NEEDED)}) and its parts"
            raise UsageError(f"{name}: order.{section}: each of these once is wanted: {wanted}")
        made[section] = {part: there[part] for part in parts}
    return made, digest


def _sentence(error: ValidationError) -> str:
    unknown = (e for e in error.errors() if e["type"] == "extra_forbidden")
    first = next(unknown, error.errors()[0])  # a mistyped key may be the one that is missing
    key = ".".join(str(part) for part in first["loc"] if part != "[key]")
    if first["type"] == "extra_forbidden":
        return f"{key}: unknown key{did_you_mean(key, Wording.model_fields)}"
    if first["type"] == "missing":
        return f"{key}: this key is needed"
    if first["type"] == "value_error":
        return " ".join(str(first["ctx"]["error"]).split())
    return f"{key}: {first['msg']} (given: {str(first.get('input'))[:80]!r})"


def insist_fields(key: str, text: str, known: Collection[str]) -> None:
    """Insist that a text has no fields but these.

    Raises:
        ValueError: it has, or a $ begins none; the sentence begins with the key.
    """
    parsed = template(text)
    if not parsed.is_valid():
        raise ValueError(f"{key}: a $ that begins no field; write $$ for the sign")
    for field in parsed.get_identifiers():
        if field not in known:
            raise ValueError(f"{key}: no field ${{{field}}}{did_you_mean(field, known)}")


@functools.cache
def template(text: str) -> Template:
    """A text with fields as `${name}`."""
    return Template(text)


@functools.cache
def pieces(text: str) -> tuple[str, ...]:
    """A template as fixed text and fields in turn: `(text, field, text, ..., text)`."""
    found = [""]
    at = 0
    for match in Template.pattern.finditer(text):
        name = match["named"] or match["braced"]
        found[-1] += text[at : match.start()] + ("" if name else "$")
        at = match.end()
        if name:
            found += [name, ""]
    found[-1] += text[at:]
    return tuple(found)
