"""`--set section.key=value`: what a command line changes in a recipe, and how errors name what was typed."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from atommem_cli.config import plugins
from atommem_cli.config.schema import Plugin, StoreSection
from atommem_cli.core.errors import RecipeError
from atommem_cli.core.safe_text import has_halves, visible
from atommem_cli.core.yaml_file import parse_yaml

JUDGE = "eval", "judge"
"""The section of the policy that judges."""
ROOMS = {
    ("agent",): "agents",
    ("policy",): "policies",
    ("store",): "stores",
    ("embedder",): "embedders",
    JUDGE: "policies",
}
"""The sections that name a plug-in, and its room; those of `helpers` come on top (`room_of`)."""


def own_keys(path: tuple[str, ...]) -> frozenset[str]:
    """Keys of a section that names a plug-in which are the section's own, whatever the plug-in."""
    return frozenset(StoreSection.model_fields if path == ("store",) else Plugin.model_fields)


def room_of(path: tuple[str, ...]) -> str | None:
    """The room of the plug-in that a section names; None where it names none."""
    if len(path) == 2 and path[0] == "helpers":
        return ROOMS["policy",]
    return ROOMS.get(path)


def plugin_sections(content: Mapping[str, Any]) -> Iterator[tuple[tuple[str, ...], str, dict[str, Any]]]:
    """Path, room and content of every section of a recipe that names a plug-in."""
    for path in [*ROOMS, *(("helpers", name) for name in content.get("helpers", {}))]:
        section: Any = content
        for key in path:
            section = section[key]
        if section is not None:
            yield path, ROOMS["policy",] if path[0] == "helpers" else ROOMS[path], section


class Overrides:
    """A recipe's content on its way from file to recipe, and which of its keys the command line set."""

    def __init__(self, content: dict[str, Any], origin: str) -> None:
        self.content = content
        self._origin = origin
        self._set: dict[tuple[str, ...], str] = {}

    def apply(self, change: str) -> None:
        """Set one key from `section.key=value`, the value in YAML.

        Another name of a plug-in takes the options of the one before away, as far as they are not its own, too.

        Raises:
            RecipeError: it is not of that form, or a key before the last has no keys of its own.
        """
        key, equals, text = change.partition("=")
        if not equals or not all(map(str.strip, key.split("."))):
            raise RecipeError(f"--set {change}: expected section.key=value")
        value = parse_yaml(text, f"--set {key}", RecipeError)
        path = tuple(key.strip().split("."))
        section = self.content
        for part in path[:-1]:
            inner = section.get(part)
            if inner is None:
                inner = section[part] = {}
            if not isinstance(inner, dict):
                raise RecipeError(f"--set {change}: {part} has no keys of its own")
            section = inner
        room = room_of(path[:-1]) if path[-1] == "name" else None
        if room is not None and value != section.get("name"):
            self._rename(section, path[:-1], room, value)
        section[path[-1]] = value
        self._set[path] = change

    def _rename(self, section: dict[str, Any], where: tuple[str, ...], room: str, name: Any) -> None:
        known = {*own_keys(where), *(plugins.keys(room, name) if isinstance(name, str) else ())}
        for key in [key for key in section if key not in known]:
            if not any(path[: len(where) + 1] == (*where, key) for path in self._set):
                del section[key]

    def told(self, key: tuple[Any, ...]) -> str:
        """The beginning of a sentence about a key: the override that set it, or recipe and key."""
        dotted = ".".join(map(str, key)) or "recipe"
        setters = [change for path, change in self._set.items() if key[: len(path)] == path[: len(key)]]
        if not setters:
            return f"{self._origin}: {dotted}"
        typed = setters[-1].partition("=")[0].strip()
        return f"--set {typed}: {dotted}" if typed != dotted else f"--set {dotted}"

    def insist_plain(self) -> None:
        """
        Raises:
            RecipeError: somewhere in the content stands infinity, what is no number at all, half a surrogate pair, or
                what YAML alone has (a date, bytes).
        """
        for key, value in _leaves(self.content, ()):
            if isinstance(value, float) and not math.isfinite(value):
                raise RecipeError(f"{self.told(key)}: {value} is no number that a recipe can hold")
            for text in filter(has_halves, (part for part in (*key, value) if isinstance(part, str))):
                raise RecipeError(f"{self.told(key)}: {visible(text)!r} holds half a character, which no file can")
            if not isinstance(value, str | int | float | None):
                kind = type(value).__name__
                raise RecipeError(f"{self.told(key)}: a recipe holds text and numbers, no {kind}: put it in quotes")


def _leaves(value: Any, where: tuple[Any, ...]) -> Iterator[tuple[tuple[Any, ...], Any]]:
    if isinstance(value, Mapping | list | tuple):
        for key, inner in value.items() if isinstance(value, Mapping) else enumerate(value):
            yield from _leaves(inner, (*where, key))
    else:
        yield where, value
