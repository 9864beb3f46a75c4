"""Plug-ins: agents, policies, stores, embedders, task sources. A plug-in is a module with a pydantic model `Options`
(the keys a recipe may set) and a function `build`, some with more: `modules` says what.

One comes from a room of this package, under the name of its file (those that begin with `_` are shared helpers); from
an installed package, by an entry point of the group `atommem.ROOM`, as `atommem.agents`; or from a file, by its path,
which ends in .py. What comes with atommem keeps its name, whatever else is installed; `hidden` says what it hides.
"""

from __future__ import annotations

import functools
import hashlib
import importlib
import importlib.util
import inspect
import pkgutil
import sys
from collections.abc import Collection
from importlib.metadata import Distribution, EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

from pydantic import BaseModel

from atommem_cli.config import modules
from atommem_cli.core.errors import UsageError, did_you_mean
from atommem_cli.core.safe_text import visible

ROOMS = ("agents", "policies", "stores", "embedders", "tasks")
"""The kinds of plug-in, each a package of its own."""


def available(room: str) -> list[str]:
    """Names of the plug-ins in a room, sorted: those that come with atommem, and those of installed packages."""
    return sorted({*_shipped(room), *(point.name for point in outside(room))})


def load(room: str, name: str) -> ModuleType:
    """The module of one plug-in.

    Args:
        name: of `available`, or the path of a file that ends in .py, from the working folder.

    Raises:
        UsageError: there is no such plug-in (the message lists what exists and the nearest name), it cannot be
            imported, it is none of this room, or two installed packages give it.
    """
    shipped = _shipped(room)
    return importlib.import_module(f"atommem_cli.{room}.{name}") if name in shipped else given(room, name, shipped)


def given(room: str, name: str, shipped: Collection[str]) -> ModuleType:
    """The module of a plug-in from outside, of a file or of an installed package.

    Args:
        shipped: names in the room that come with atommem.

    Raises:
        UsageError: as `load`.
    """
    if is_file(name):
        return _whole(room, name, _of_file(Path(name).expanduser(), name))
    point, module = entry(room, name, shipped, ".py")
    return _whole(room, f"{name} of {origin(point)}", module)


def entry(room: str, name: str, shipped: Collection[str], ending: str) -> tuple[EntryPoint, Any]:
    """The one entry point of that name, and what it stands for.

    Args:
        shipped: names in the room that come with atommem.
        ending: of files that can be named instead, for the message.

    Raises:
        UsageError: as `load`.
    """
    points = outside(room, shipped)
    named = [point for point in points if point.name == name]
    if not named:
        names = sorted({*shipped, *(point.name for point in points)})
        raise UsageError(
            f"no {name!r} in {room}{did_you_mean(name, names)} (there are: {', '.join(names)}; or a path that ends in "
            f"{ending})"
        )
    if len(named) > 1:
        raise UsageError(f"{name!r} in {room} is given by {' and by '.join(map(origin, named))}: uninstall one of them")
    return named[0], _of_point(named[0], room)


def is_file(name: str) -> bool:
    """Whether a name is the path of a plug-in's file."""
    return name.endswith(".py")


def outside(room: str, shipped: Collection[str] | None = None) -> list[EntryPoint]:
    """The entry points of installed packages whose names are not those of what comes with atommem.

    Args:
        shipped: these names; None is the modules of the room.
    """
    own = _shipped(room) if shipped is None else shipped
    return [point for point in _points(room) if point.name not in own]


def hidden(room: str) -> list[str]:
    """Plug-ins of installed packages that cannot be used, because what comes with atommem has their name."""
    shipped = _shipped(room)
    return [f"{point.name} of {origin(point)}" for point in _points(room) if point.name in shipped]


def distribution(room: str, name: str, shipped: Collection[str] | None = None) -> Distribution | None:
    """The installed package that gives a plug-in; None for one of atommem's own, and for a file.

    Args:
        shipped: see `outside`.
    """
    own = _shipped(room) if shipped is None else shipped
    if is_file(name) or name in own:  # to look at everything that is installed takes time
        return None
    return next((point.dist for point in outside(room, own) if point.name == name), None)


def origin(point: EntryPoint) -> str:
    """An entry point's package and its version, as `mine 1.2`."""
    return visible(f"{point.dist.name} {point.dist.version}" if point.dist else point.value)


def packages() -> frozenset[str]:
    """The top-level modules of installed packages that give plug-ins."""
    return frozenset(point.module.partition(".")[0] for room in (*ROOMS, "rewards") for point in _points(room))


def keys(room: str, name: str) -> tuple[str, ...]:
    """The recipe keys of one plug-in; none where there is no such plug-in."""
    try:
        options: type[BaseModel] = load(room, name).Options
    except UsageError:
        return ()
    return tuple(options.model_fields)


def operational(options: type[BaseModel]) -> frozenset[str]:
    """Keys that say where and how fast, and change no result: see `schema.OPERATIONAL`."""
    return frozenset(
        name
        for name, field in options.model_fields.items()
        if isinstance(field.json_schema_extra, dict) and field.json_schema_extra.get("operational") is True
    )


def _shipped(room: str) -> frozenset[str]:
    return _modules_in(tuple(importlib.import_module(f"atommem_cli.{room}").__path__))


@functools.lru_cache(maxsize=64)
def _modules_in(folders: tuple[str, ...]) -> frozenset[str]:
    return frozenset(m.name for m in pkgutil.iter_modules(folders) if not m.name.startswith("_"))


def _points(room: str) -> tuple[EntryPoint, ...]:
    """One each, however often a package lies on the path."""
    return _points_on(room, tuple(sys.path))


@functools.lru_cache(maxsize=64)
def _points_on(room: str, _: tuple[str, ...]) -> tuple[EntryPoint, ...]:
    """To look at everything that is installed takes time: once for each path."""
    found = {(origin(point), point.name): point for point in entry_points(group=f"atommem.{room}")}
    return tuple(found[key] for key in sorted(found))


def _of_point(point: EntryPoint, room: str) -> Any:
    try:
        return point.load()
    except Exception as error:
        raise UsageError(
            f"the plug-in {point.name!r} of {room} cannot be imported from {origin(point)}: "
            f"{visible(f'{type(error).__name__}: {error}')}"
        ) from error


def files() -> tuple[str, ...]:
    """Paths of the files from which plug-ins have come, for `restore` in another process."""
    return tuple(
        str(module.__file__) for name, module in sys.modules.items() if name.startswith(_OF_FILE) and module.__file__
    )


def restore(paths: Collection[str]) -> None:
    """Import plug-ins from files, so that what another process sends of them can be read."""
    for path in paths:
        _of_file(Path(path), path)


_OF_FILE = "atommem_plugin_"


def _of_file(path: Path, named: str) -> ModuleType:
    """The module of a file; of one that has changed, again. Modules beside it can be imported by their names."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UsageError(f"{named}: cannot be read: {error.strerror}") from None
    place = str(path.resolve())
    name = f"{_OF_FILE}{path.stem}_{hashlib.sha256(place.encode() + content).hexdigest()[:12]}"
    if name in sys.modules:
        return sys.modules[name]
    if (folder := str(path.resolve().parent)) not in sys.path:
        sys.path.append(folder)
    spec = importlib.util.spec_from_file_location(name, place)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise UsageError(f"{named}: cannot be imported: {visible(f'{type(error).__name__}: {error}')}") from error
    return module


def _whole(room: str, said: str, module: Any) -> ModuleType:
    options = getattr(module, "Options", None)
    whole = inspect.isclass(options) and issubclass(options, BaseModel)
    functions = modules.FUNCTIONS.get(room, ("build",))
    lacking = [] if whole else ["a pydantic model Options"]
    lacking += [f"a function {name}" for name in functions if not callable(getattr(module, name, None))]
    if not isinstance(module, ModuleType) or lacking:
        missing = " and ".join(lacking) or "being a module"
        raise UsageError(f"{said}: is no plug-in of {room}: it lacks {missing}")
    return module
