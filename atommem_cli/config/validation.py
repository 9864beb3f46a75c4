"""What is wrong with the keys of a recipe, in one sentence that names what was typed."""

from __future__ import annotations

import re
import typing
from collections.abc import Iterator, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from atommem_cli.config.credentials import WITHHELD
from atommem_cli.config.overrides import Overrides
from atommem_cli.config.schema import Plugin, StoreSection
from atommem_cli.core.errors import RecipeError, did_you_mean
from atommem_cli.core.safe_text import cut


def checked(
    model: type[Any], content: dict[str, Any], overrides: Overrides, where: tuple[str, ...], plugin: str
) -> Any:
    """The content of a model, with every default.

    Args:
        where: the keys below which it stands in the recipe.
        plugin: whose options the content is; empty for the recipe itself.

    Raises:
        RecipeError: a key is unknown, missing or wrong.
    """
    try:
        found = model.model_validate(content)
    except ValidationError as error:
        unknown = (e for e in error.errors() if e["type"] == "extra_forbidden")
        first = next(unknown, error.errors()[0])  # a mistyped key may be the one that is missing
        location = [part for part in first["loc"] if isinstance(part, str)]
        told = overrides.told((*where, *first["loc"]))
        if first["type"] == "extra_forbidden":
            of = f" of {plugin}" if plugin else ""
            known = _keys(model, location[:-1])
            there = f" (there are: {', '.join(known)})" if known else " (it has none)"
            hint = did_you_mean(str(first["loc"][-1]), known)
            raise RecipeError(f"{told}: unknown key{of}{hint}{there}") from None
        if first["type"] == "missing" and isinstance(first["loc"][-1], int):  # a list of a fixed length is too short
            parent = first["loc"][:-1]
            length = 1 + max(int(e["loc"][-1]) for e in error.errors() if e["loc"][:-1] == parent)
            told = overrides.told((*where, *parent))
            raise RecipeError(
                f"{told}: {length} values are wanted here (given: {cut(repr(first['input']), 200)})"
            ) from None
        if first["type"] == "missing":
            raise RecipeError(f"{told}: {f'{plugin} needs this key' if plugin else 'this key is needed'}") from None
        if wanted := _PLUGIN if _names_plugin(first) else _WANTED.get(first["type"]):
            raise RecipeError(f"{told}: {wanted} is wanted here (given: {cut(repr(first['input']), 200)})") from None
        given = "" if first["type"] == WITHHELD else f" (given: {cut(repr(first.get('input')), 200)})"
        said = first["msg"].removeprefix("Value error, ")
        raise RecipeError(f"{told}: {said}{meant(first)}{given}") from None
    for place, truth in taken_for_numbers(content, found):
        raise RecipeError(f"{overrides.told((*where, *place))}: a number is wanted here (given: {truth})")
    return found


def meant(error: ErrorDetails) -> str:
    """`; did you mean 'x'?` where one of some words is wanted, and another one was given that is like it."""
    known = re.findall(r"'([^']*)'", str(error.get("ctx", {}).get("expected", "")))
    return did_you_mean(str(error["input"]), known)


def taken_for_numbers(content: Any, found: Any) -> Iterator[tuple[tuple[str | int, ...], bool]]:
    """Where a truth value was taken for a number, which pydantic does, and the value.

    Args:
        content: what was given.
        found: what a model made of it.
    """
    if isinstance(content, bool):
        if not isinstance(found, bool) and isinstance(found, int | float):
            yield (), content
        return
    for key, value in content.items() if isinstance(content, dict) else enumerate(_list(content)):
        inner = getattr(found, str(key), None) if isinstance(found, BaseModel) else _at(found, key)
        for place, truth in taken_for_numbers(value, inner):
            yield (key, *place), truth


def _list(content: Any) -> Sequence[Any]:
    return content if isinstance(content, list) else ()


def _at(found: Any, key: Any) -> Any:
    try:
        return found[key]
    except (LookupError, TypeError):
        return None


_PLUGIN = "the name of a plug-in and its keys, as {name: ...},"
_MAPPING, _LIST = "a mapping of keys to values", "a list"
_WANTED = {"model_type": _MAPPING, "dict_type": _MAPPING, "tuple_type": _LIST, "list_type": _LIST}
"""By pydantic's name of the fault, what should be there."""


_NAMING = (Plugin.__name__, StoreSection.__name__)


def _names_plugin(error: ErrorDetails) -> bool:
    return error["type"] == "model_type" and error.get("ctx", {}).get("class_name") in _NAMING


def _keys(model: type[BaseModel], path: Sequence[str]) -> list[str]:
    for part in path:
        field = model.model_fields.get(part)
        inside = section_in(field.annotation) if field else None
        if inside is None:
            return []
        model = inside
    return list(model.model_fields)


def section_in(kind: Any) -> type[BaseModel] | None:
    """The section that a field holds, or may hold; None where it holds none."""
    found = (one for one in (kind, *typing.get_args(kind)) if isinstance(one, type) and issubclass(one, BaseModel))
    return next(found, None)
