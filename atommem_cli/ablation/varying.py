"""Arms that give a key of the recipe another value: any key that changes results, whoever reads it."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from atommem_cli.config.recipe import Recipe
from atommem_cli.core.errors import RecipeError, UsageError
from atommem_cli.core.yaml_file import parse_yaml

TRAINED = ("sft", "grpo")
"""Sections that a policy learns by: who changes them has to train it again."""
_FIXED = {
    "name": "it changes no result",
    "ablate": "it says which arms there are",
    "eval": "arms are scored alike",
    "task.folder": "arms are compared on the same tasks; task.distractors takes fewer of the prepared ones",
    "task.split": "arms are compared on the same tasks",
    "task.limit": "arms are compared on the same tasks",
    "memory.drop": "--drop, or ablate.drop, does",
    "memory.how": "--how, or ablate.how, does",
}
"""Keys, or whole sections, that no arm may change, and why."""
_LONGEST = 40
"""Characters of a value in the name of an arm."""


def asked(given: Sequence[str]) -> dict[str, list[Any]]:
    """What `--vary KEY=VALUE,VALUE` means, as the recipe has it.

    Raises:
        UsageError: it is not of that form.
    """
    found: dict[str, list[Any]] = {}
    for one in given:
        key, equals, text = one.partition("=")
        if not equals or not key.strip() or not text.strip():
            raise UsageError(f"--vary {one}: expected KEY=VALUE,VALUE, as in agent.filter_threshold=0.4,0.5")
        values = parse_yaml(f"[{text}]", f"--vary {key}", UsageError)
        found.setdefault(key.strip(), []).extend(values)
    return found


def recipes(recipe: Recipe) -> Iterator[tuple[str, Any, Recipe]]:
    """Key, value and changed recipe of every arm of `ablate.vary`, in order.

    Raises:
        UsageError: a key that no arm may change, that is none, or a value that it cannot have.
    """
    for key, values in recipe.ablate.vary.items():
        for prefix in (key, key.partition(".")[0]):
            if prefix in _FIXED:
                raise UsageError(f"ablate.vary: {key} cannot be varied: {_FIXED[prefix]}")
        if recipe.ablate.cross and trains(key):
            raise UsageError(f"ablate.cross: {key} has the policy learn anew, so it cannot be crossed with components")
        for value in values:
            try:
                yield key, value, recipe.changed([change(key, value)])
            except RecipeError as error:
                raise UsageError(f"ablate.vary: {str(error).removeprefix('--set ')}") from None


def change(key: str, value: Any) -> str:
    """An arm as an override."""
    return f"{key}={json.dumps(value)}"


def trains(key: str) -> bool:
    """Whether the policy has to learn anew where the key changes."""
    return key.partition(".")[0] in TRAINED


def named(key: str, value: Any) -> str:
    """The name of an arm, also that of its folder."""
    said = re.sub(r"[^A-Za-z0-9._+-]+", "-", told(value)).strip("-.")
    if len(said) > _LONGEST or not said:
        digest = hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
        said = "-".join(filter(None, (said[:_LONGEST].strip("-."), digest[:4])))
    return f"{re.sub(r'[^A-Za-z0-9._+-]+', '-', key)}-{said}"


def told(value: Any) -> str:
    """A value in a sentence: `em 1.0, format 0.1`; one that holds nothing is `none`."""
    if value in ({}, [], ""):
        return "none"
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {told(inner)}" for key, inner in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(told, value))
    return value if isinstance(value, str) else json.dumps(value)


def at(recipe: Recipe, key: str) -> Any:
    """What a recipe has at a key; None where it has none."""
    content: Any = recipe.model_dump(mode="json")
    for part in key.split("."):
        content = content.get(part) if isinstance(content, Mapping) else None
    return content
