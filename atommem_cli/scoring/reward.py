"""What a reward is, and what the module of one of one's own holds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from atommem_cli.config.modules import PluginModule
from atommem_cli.core.calls import Generation, Observation
from atommem_cli.core.types import Task, Trajectory

Pair = tuple[Task, Trajectory]
Reward = Callable[[Task, Trajectory], float]
"""Of one trajectory."""
BatchReward = Callable[[Sequence[Pair]], list[float]]
"""Of several: one finite number each, in order."""
Ask = Callable[[str, Sequence[Observation]], list[Generation]]
"""Asks a model of the recipe's `helpers`, by name: one reply per prompt, in order."""


class RewardModule(PluginModule, Protocol):
    """The module of a reward of one's own. Its `Options` need no key: a recipe gives a reward its weight alone.

    One that asks models has their names, as `helpers`.
    """

    def build(self, options: Any, /, *ask: Ask | None) -> BatchReward:
        """The reward.

        Args:
            ask: for one with `helpers`, and for no other: asks one of them, about all of a batch at once. None where
                the reward is built only to be looked at.

        Raises:
            UsageError, MissingExtra, BackendError: it cannot be built; one sentence.
        """
