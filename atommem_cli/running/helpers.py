"""The recipe's further models: whom agents and rewards ask beside the policy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from atommem_cli.config import recipe as recipes
from atommem_cli.config.recipe import Recipe
from atommem_cli.config.schema import Plugin
from atommem_cli.core import seeds
from atommem_cli.core.calls import Generation, Observation
from atommem_cli.core.episode import Call, Policy, ServerPolicy
from atommem_cli.core.errors import UsageError
from atommem_cli.data.chosen_tasks import insist_outdated
from atommem_cli.running import asking
from atommem_cli.scoring import metrics, rewards, staleness
from atommem_cli.scoring.reward import Ask

Models = Mapping[str, Policy | ServerPolicy]
"""By the names under which they are asked."""


def build(recipe: Recipe, wanted: Mapping[str, str], known: Mapping[str, Plugin], models: Models) -> Models:
    """The models that somebody asks.

    Args:
        wanted: their names, and who asks each, for the message.
        known, models: sections of a recipe whose models are there already, and these.

    Raises:
        UsageError: the recipe does not name one of them.
        MissingExtra, BackendError: one cannot be built.
    """
    _insist(recipe, wanted)
    built = {}
    for name in wanted:
        section = recipe.helpers[name]
        lent = models.get(name) if known.get(name) == section else None
        built[name] = lent or recipes.build("policies", section)
    return built


def _insist(recipe: Recipe, wanted: Mapping[str, str]) -> None:
    for name, who in wanted.items():
        if name not in recipe.helpers:
            raise UsageError(
                f"{who} asks a model that it calls {name}, and the recipe names none: "
                f"--set 'helpers.{name}={{name: hf, model: ...}}'"
            )


def check_rewards(recipe: Recipe, command: Literal["sft", "grpo"]) -> None:
    """Refuse rewards that a training cannot work with.

    Raises:
        UsageError: see `rewards.check`; or one asks a model that the recipe does not name.
    """
    check_weights(recipe, getattr(recipe, command).rewards, f"{command}.rewards")


def check_weights(recipe: Recipe, weights: Mapping[str, float], key: str) -> None:
    """Likewise, of weights that stand under a key of the recipe.

    Raises:
        UsageError: see `check_rewards`.
    """
    rewards.check(weights, key, metrics.never(recipe.agent.model_extra))
    if weights.get(staleness.NAME) and key.startswith("grpo"):
        insist_outdated(Path(recipe.task.folder) / recipe.grpo.split, f"{key}: {staleness.NAME}")
    _insist(recipe, of_rewards(weights))


def of_rewards(weights: Mapping[str, float]) -> dict[str, str]:
    """The models that these rewards ask, and which reward does.

    Raises:
        UsageError: there is no such reward.
    """
    return {helper: f"the reward {name}" for name in weights for helper in rewards.helpers(name)}


def asker(recipe: Recipe, models: Models) -> Ask:
    """Asks these models outside any episode. A reply depends on the recipe's seed and the prompt alone."""

    def ask(name: str, observations: Sequence[Observation]) -> list[Generation]:
        told = [[f"{message.role}:{message.content}" for message in one.messages] for one in observations]
        drawn = [seeds.derive(recipe.seed, "helper", name, *texts) for texts in told]
        calls = [Call(None, one, seed) for one, seed in zip(observations, drawn, strict=True)]
        return asking.replies(models[name], calls, asking.section_of(name))

    return ask
