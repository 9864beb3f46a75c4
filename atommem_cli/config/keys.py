"""Every key of recipes and of `prepare --set`, with type, default and meaning: read from the models themselves."""

from __future__ import annotations

import json
import types
import typing
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Any, Literal

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from atommem_cli.config import plugins
from atommem_cli.config.recipe import Recipe
from atommem_cli.config.schema import Plugin
from atommem_cli.config.validation import section_in
from atommem_cli.core.errors import UsageError, did_you_mean
from atommem_cli.core.field_docs import meanings

RECIPE = "recipe"
"""What stands for a room where the recipe's own keys are meant."""
WHERE = {"policies": "policy", "agents": "agent", "stores": "store", "embedders": "embedder", "tasks": ""}
"""Rooms, and the recipe section that names a plug-in of each; keys of `tasks` are for the --set of `prepare`."""


@dataclass(frozen=True, slots=True)
class Key:
    """One key."""

    name: str
    """As it is written behind `--set`."""
    type: str
    """As a reader of YAML would say it."""
    default: str
    """As it would stand in a recipe; empty where the key is needed."""
    meaning: str


def listed() -> dict[str, list[str]]:
    """What there is to ask about: the recipe's sections, and each room's plug-ins."""
    return {RECIPE: list(Recipe.model_fields), **{room: plugins.available(room) for room in WHERE}}


def meant(word: str, others: Iterable[str] = ()) -> str:
    """The room that a word means: its own name, or the section that names a plug-in of it, as `policy`.

    Args:
        others: further rooms.

    Raises:
        UsageError: there is no such room.
    """
    room = {section: room for room, section in WHERE.items() if section}.get(word, word)
    known = [RECIPE, *WHERE, *others]
    if room not in known:
        raise UsageError(f"{word}: no such room{did_you_mean(word, known)} (there are: {', '.join(known)})")
    return room


def keys(room: str, name: str) -> list[Key]:
    """The keys of one plug-in, or (of `recipe`) of one section.

    Args:
        room: as `meant` gives it.

    Raises:
        UsageError: there is no such plug-in or section.
    """
    known = listed()
    if room == RECIPE:
        if name not in known[RECIPE]:
            hint = did_you_mean(name, known[RECIPE])
            raise UsageError(f"{name}: no such section{hint} (there are: {', '.join(known[RECIPE])})")
        return [key for key in recipe_keys() if key.name.partition(".")[0] == name]
    prefix = f"{WHERE[room]}." if WHERE[room] else ""
    return list(of_model(plugins.load(room, name).Options, prefix))


def recipe_keys() -> list[Key]:
    """The keys of a recipe, those of its plug-ins apart."""
    return list(of_model(Recipe))


def about(room: str, name: str) -> str:
    """The first sentence of a plug-in's documentation."""
    return (plugins.load(room, name).__doc__ or "").strip().partition("\n")[0]


def of_model(model: type[BaseModel], prefix: str = "") -> Iterator[Key]:
    """The keys of any model, those of its sections too; `prefix` stands before each name."""
    said = meanings(model)
    for name, field in model.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel) and not issubclass(inner, Plugin):
            yield from of_model(inner, f"{prefix}{name}.")
            continue
        default = "" if field.is_required() else _yaml(field.get_default(call_default_factory=True))
        yield Key(f"{prefix}{name}", _spelled(field), default, said.get(name, field.description or ""))
        if isinstance(inner, type) and issubclass(inner, Plugin):
            for own in inner.model_fields.keys() - Plugin.model_fields.keys():
                if section := section_in(inner.model_fields[own].annotation):
                    yield from of_model(section, f"{prefix}{name}.{own}.")


def _spelled(field: FieldInfo) -> str:
    bounds = [
        f"{sign} {getattr(one, word)}"
        for one in field.metadata
        for word, sign in (("gt", ">"), ("ge", ">="), ("lt", "<"), ("le", "<="))
        if getattr(one, word, None) is not None
    ]
    return " ".join([_type(field.annotation), ", ".join(bounds)]).strip()


def _type(kind: Any) -> str:
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin is Literal:
        return " | ".join(map(str, inner))
    if origin is typing.Annotated:
        return _spelled(FieldInfo.from_annotation(kind))
    if origin in (typing.Union, types.UnionType):
        return " | ".join(map(_type, inner))
    if origin in (tuple, list):
        return f"list of {_type(inner[0])}"
    if origin is dict:
        return f"mapping of text to {_type(inner[1])}"
    if isinstance(kind, type) and issubclass(kind, Enum):
        return " | ".join(str(one.value) for one in kind)
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        wanted = (*kind.model_fields, "...") if issubclass(kind, Plugin) else tuple(kind.model_fields)
        return f"{{{', '.join(wanted)}}}"
    return _WORDS.get(kind, getattr(kind, "__name__", str(kind)))


_WORDS: dict[Any, str] = {
    type(None): "null", str: "text", int: "whole number", float: "number", bool: "true | false", Any: "anything",
}  # fmt: skip


def _yaml(value: Any) -> str:
    if isinstance(value, BaseModel):
        value = value.model_dump(mode="json")
    return json.dumps(value, ensure_ascii=False, default=str)
