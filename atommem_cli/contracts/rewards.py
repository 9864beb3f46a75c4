"""What a reward promises; see `reward.RewardModule`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from pydantic import ValidationError

from atommem_cli.agents import atommem
from atommem_cli.contracts import promises
from atommem_cli.contracts._plays import by_script, play, tasks
from atommem_cli.contracts.promises import ContractBroken, insist
from atommem_cli.core.calls import Generation, Observation
from atommem_cli.core.safe_text import shown
from atommem_cli.core.types import Answer, StopReason, Trajectory
from atommem_cli.scoring.reward import BatchReward, Pair, RewardModule

APART = 1e-9


def check(reward: BatchReward, module: RewardModule | None = None) -> None:
    """Insist on every promise of a reward, on the trajectories of a few small episodes.

    Args:
        module: its module, to look at that, too.

    Raises:
        ContractBroken: one sentence.
    """
    if module is not None:
        promises.check(MODULE_PROMISES, module)
    promises.check(PROMISES, reward)


def ask(_: str, prompts: Sequence[Observation]) -> list[Generation]:
    """In place of a model that a reward asks: its reply depends on the prompt alone."""
    return [Generation(str(len(prompt.messages[-1].content) % 10)) for prompt in prompts]


def judge(_: str, prompts: Sequence[Observation]) -> list[Generation]:
    """In place of `helpers.judge`: likewise, with a verdict that our own rewards read."""
    verdicts = (len(prompt.messages[-1].content) % 2 for prompt in prompts)
    return [Generation(f'{{"score": {one}}} {{"good": {one}}}') for one in verdicts]


def it_needs_no_key(module: RewardModule) -> None:
    """`Options` needs no key: a recipe gives a reward its weight alone."""
    try:
        module.Options()
    except ValidationError as error:
        sentence = f"Options needs {error.errors()[0]['loc'][0]}: give every key a default"
        raise ContractBroken(sentence) from error


def each_trajectory_gets_a_finite_number(reward: BatchReward) -> None:
    """A batch gives one finite number for each trajectory."""
    pairs = _pairs()
    _numbers(reward, pairs)


def no_trajectory_is_no_work(reward: BatchReward) -> None:
    """An empty batch gives an empty list."""
    values = list(reward([]))
    insist(values == [], f"an empty batch gives {shown(values)}: an empty list is wanted")


def a_reward_is_that_of_its_trajectory(reward: BatchReward) -> None:
    """A reward depends on its own trajectory alone: any split of a batch, and any order, gives the same numbers."""
    pairs = _pairs()
    together = _numbers(reward, pairs)
    turned = _numbers(reward, pairs[::-1])[::-1]
    half = len(pairs) // 2
    halves = [*_numbers(reward, pairs[:half]), *_numbers(reward, pairs[half:])]
    single = [value for pair in pairs for value in _numbers(reward, [pair])]
    for number, value in enumerate(together):
        others = (turned[number], halves[number], single[number])
        insist(
            all(abs(value - other) <= APART for other in others),
            f"a trajectory gets {value:g} in a batch and {', '.join(f'{one:g}' for one in others)} in others: compare "
            "it with no other one (the group's mean is taken later), and keep no state",
        )


def _pairs() -> list[Pair]:
    """Trajectories that end well, badly, silently and before they began, each with its task."""
    agent = atommem.build(atommem.Options(dialect="tiny"))
    on = {task.id: task for task in tasks()}
    found = [
        played.trajectory
        for name in ("oracle", "mute", "random", "chaotic")
        for played in play(agent, [*on.values()], by_script(name))
    ]
    first = found[0]
    silent = tuple(Answer("") for _ in first.answers)
    failed = replace(first, transitions=(), opening=(), answers=silent, stop=StopReason.ERROR, error="the call failed")
    cut = replace(found[1], transitions=found[1].transitions[:1], answers=silent, stop=StopReason.CONTEXT_OVERFLOW)
    return [(on[trajectory.task], trajectory) for trajectory in [*found, failed, cut]]


def _numbers(reward: BatchReward, pairs: list[Pair]) -> list[float]:
    values = list(reward(pairs))
    insist(
        len(values) == len(pairs),
        f"{len(pairs)} trajectories get {len(values)} numbers: one for each is wanted, in order",
    )
    for (_, trajectory), value in zip(pairs, values, strict=True):
        insist(
            isinstance(value, int | float) and math.isfinite(value),
            f"{_told(trajectory)} gets {shown(value)}: a finite number is wanted, as a float",
        )
    return [float(value) for value in values]


def _told(trajectory: Trajectory) -> str:
    return f"a trajectory of {len(trajectory.transitions)} calls that ended as {trajectory.stop}"


PROMISES: tuple[promises.Promise[BatchReward], ...] = (
    each_trajectory_gets_a_finite_number,
    no_trajectory_is_no_work,
    a_reward_is_that_of_its_trajectory,
)
"""All of a reward."""

MODULE_PROMISES: tuple[promises.Promise[RewardModule], ...] = (it_needs_no_key,)
"""And of its module."""
