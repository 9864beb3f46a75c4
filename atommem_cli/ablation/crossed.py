"""The numeric settings that an ablation varies as curves: of the base, and of what is left without a component."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from atommem_cli.ablation import varying
from atommem_cli.ablation.reader import Ablation, PlayedArm
from atommem_cli.ablation.variants import CROSSED
from atommem_cli.compare.comparison import Comparison, broken_budget, scored
from atommem_cli.compare.curves import Curves, Scores, curves
from atommem_cli.config import keys
from atommem_cli.config.recipe import Recipe
from atommem_cli.scoring.metrics import lowest


def of(ablation: Ablation, compared: Comparison) -> tuple[Curves, ...]:
    """A set of curves for each key with numbers for values, the recipe's own among them.

    Args:
        compared: the arms of the ablation, by the scorer that counts; those that broke a budget are left out.

    Raises:
        SourceError: a file is damaged.
    """
    return tuple(found for key in dict.fromkeys(_varied(ablation)) if (found := _of_key(ablation, key, compared)))


def _varied(ablation: Ablation) -> Iterator[str]:
    for arm in ablation.arms:
        if arm.varied is not None and _number(arm.varied[1]) is not None and arm.kind in ("vary", "crossed"):
            yield arm.varied[0]


def _of_key(ablation: Ablation, key: str, compared: Comparison) -> Curves | None:
    own = _own(ablation.base.recipe, key)
    if own is None:
        return None
    played: dict[str, dict[float, Scores]] = {}
    for arm in ablation.arms:
        value = own if arm.varied is None else _number(arm.varied[1]) if arm.varied[0] == key else None
        if value is not None and arm.kind in ("base", "component", "vary", "crossed") and not broken_budget(arm.run):
            played.setdefault(_line(ablation, arm), {})[value] = scored(arm.run, compared.scorer)
    return curves(key, compared.title, own, played, lowest(compared.scorer))


def _line(ablation: Ablation, arm: PlayedArm) -> str:
    """The arm whose line it is on."""
    return arm.name.partition(CROSSED)[0] if arm.component else ablation.arms[0].name


def _own(recipe: Recipe, key: str) -> float | None:
    """The number that a recipe has at a key, or that stands for nothing being said; None where that is none."""
    found = varying.at(recipe, key)
    if found is None:
        default = next((one.default for one in keys.recipe_keys() if one.name == key), "")
        found = json.loads(default) if default else None
    return _number(found)


def _number(value: Any) -> float | None:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None
