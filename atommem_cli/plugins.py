"""Plug-ins: a file of a plural folder is a plug-in, its name is its name in a recipe.

A plug-in module has a pydantic model `Options` (the keys a recipe may set) and a function `build`.
Files whose name begins with `_` are shared helpers of their room.
"""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType

from pydantic import BaseModel

from atommem_cli.errors import UsageError, did_you_mean


def available(room: str) -> list[str]:
    """Names of the plug-ins in a room ("agents", "policies", ...), sorted."""
    package = importlib.import_module(f"atommem_cli.{room}")
    return sorted(m.name for m in pkgutil.iter_modules(package.__path__) if not m.name.startswith("_"))


def load(room: str, name: str) -> ModuleType:
    """The module of one plug-in.

    Raises:
        UsageError: no such plug-in; the message lists what exists and the nearest name.
    """
    names = available(room)
    if name not in names:
        raise UsageError(f"no {name!r} in {room}{did_you_mean(name, names)} (there are: {', '.join(names)})")
    return importlib.import_module(f"atommem_cli.{room}.{name}")


def keys(room: str, name: str) -> tuple[str, ...]:
    """The recipe keys of one plug-in; none where there is no such plug-in."""
    if name not in available(room):
        return ()
    options: type[BaseModel] = load(room, name).Options
    return tuple(options.model_fields)


def operational(options: type[BaseModel]) -> frozenset[str]:
    """Keys that say where and how fast, and change no result: see `sections.OPERATIONAL`."""
    return frozenset(
        name
        for name, field in options.model_fields.items()
        if isinstance(field.json_schema_extra, dict) and field.json_schema_extra.get("operational") is True
    )
