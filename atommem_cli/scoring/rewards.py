"""Named rewards of whole trajectories. A recipe weighs and sums them.

Every scorer of `metrics.SCORERS` is a reward under its own name: the mean over the task's questions, so
`em` is AtomMem's terminal reward, correct answers / questions (papers.md 1.5), with official matching.

One of one's own is a plug-in, of a file or of an installed package (entry points `atommem.rewards`): its `Options` need
no key, and `build(options)` gives a function from a batch of (task, trajectory) to one number each. One that asks
models names them as `helpers`, as the recipe's section does, and has `build(options, ask)`: it is called once a batch,
so that it can ask about all of them at once.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from statistics import fmean
from typing import cast

from pydantic import ValidationError

from atommem_cli.config import plugins
from atommem_cli.core.calls import Expects, Generation, Observation
from atommem_cli.core.errors import UsageError
from atommem_cli.core.safe_text import cut
from atommem_cli.core.types import Outcome, Task, Trajectory, Transition
from atommem_cli.scoring import agemem_coded, agemem_judged, agemem_paper, grades, metrics
from atommem_cli.scoring.reward import Ask, BatchReward, Pair, Reward, RewardModule

LIKELIHOOD = "likelihood"
"""The reward that asks the model which learns: see `running.gold`."""
ROOM = "rewards"
"""Of plug-ins from outside."""

_MOST = 1e18
"""Of a weight: TRL sums in float32, and takes an advantage that is not finite for 0."""
_DEFECTS = frozenset({Outcome.MALFORMED, Outcome.UNCLOSED, Outcome.INVALID_TARGET, Outcome.STALE_TARGET})


def of_scorer(name: str) -> Reward:
    """A scorer's mean over the questions of the task, in its range; unanswered questions count 0."""
    scorer = metrics.SCORERS[name]

    def reward(task: Task, trajectory: Trajectory) -> float:
        pairs = zip(trajectory.answers, task.questions, strict=True)
        return fmean(scorer(answer, question) for answer, question in pairs)

    return reward


def form(_: Task, trajectory: Trajectory) -> float:
    """Share of model calls whose reply does what its step is for, without a defect, in [0, 1]; 0 without a call.

    While reading that is an operation, of notes new notes, of a question an operation or an answer: a reply that is
    empty, or a thought alone, earns nothing. Defects are operations that are malformed, unclosed, or of an entry that
    was not shown or is gone.
    """
    steps = trajectory.transitions
    if not steps:
        return 0.0
    return fmean(
        _does_something(step, trajectory) and not any(result.outcome in _DEFECTS for result in step.results)
        for step in steps
    )


def _does_something(step: Transition, trajectory: Trajectory) -> bool:
    question = step.observation.question
    answered = question is not None and bool(trajectory.answers[question].text.strip())
    return bool(step.results) or (step.observation.expects is Expects.ANSWER and answered)


def tagged(_: Task, trajectory: Trajectory) -> float:
    """Share of questions whose answer stands in answer tags, in [0, 1]."""
    return fmean(answer.tagged for answer in trajectory.answers)


def likelihood(_: Task, __: Trajectory) -> float:
    """Mean log-likelihood per token of the gold answers, given what questions show, from -10 to 0; of `grpo` alone.

    Raises:
        UsageError: there is no model that learns.
    """
    raise UsageError(_NO_LEARNER)


_NO_LEARNER = f"{LIKELIHOOD} asks the model that learns: it is for grpo.rewards alone"
REWARDS: dict[str, Reward] = {
    **{name: of_scorer(name) for name in metrics.SCORERS},
    "format": form,
    "tagged": tagged,
    **agemem_paper.REWARDS,
    **agemem_coded.REWARDS,
    LIKELIHOOD: likelihood,
}
"""By name, as a recipe's `rewards` takes them."""
JUDGED = agemem_judged.REWARDS
"""Likewise, those that ask the model `helpers.judge`: each is built with what asks."""
OWN = (*REWARDS, *JUDGED)
"""Names of those that come with atommem."""
PARTS = {agemem_paper.NAME: agemem_paper.PARTS, agemem_coded.NAME: agemem_coded.PARTS, **agemem_judged.PARTS}
"""What composite rewards are made of, by name."""


def check(weights: Mapping[str, float], key: str, never: Mapping[str, str]) -> None:
    """Refuse unknown names, a sum that is always 0, weights that no sum holds, and what can never be anything else.

    Args:
        key: where in the recipe they stand, for the message.
        never: rewards that are 0 whatever is answered, and why (`metrics.never`).

    Raises:
        UsageError: one sentence.
    """
    if LIKELIHOOD in weights and not key.startswith("grpo"):
        raise UsageError(f"{key}: {_NO_LEARNER}")
    for name in weights:
        try:
            of(name)
        except UsageError as error:
            raise UsageError(f"{key}: {error}") from None
    for name in weights.keys() & never.keys():
        if weights[name]:
            raise UsageError(f"{key}: {name} {never[name]}: name another one, or another agent.dialect")
    for name, weight in weights.items():
        if abs(weight) > _MOST:
            raise UsageError(f"{key}: {name} weighs {weight:g}, and a training's sums hold no more than {_MOST:g}")
    if not any(weights.values()):
        raise UsageError(f"{key}: name at least one reward with a weight other than 0")


def with_parts(weights: Mapping[str, float]) -> dict[str, float]:
    """These weights, and a weight of 0 for each part of a composite among them: so that its mean is told."""
    parts = [part for name in weights for part in PARTS.get(name, ())]
    return {**weights, **{part: 0.0 for part in parts if part not in weights}}


def available() -> list[str]:
    """Names of the rewards, sorted: those that come with atommem, and those of installed packages."""
    return sorted({*OWN, *(point.name for point in plugins.outside(ROOM, OWN))})


def about(name: str) -> str:
    """The first sentence of a reward's documentation; of a scorer, the scorer's.

    Raises:
        UsageError: there is no such reward.
    """
    if name in JUDGED:
        return agemem_judged.ABOUT[name]
    one: object = metrics.SCORERS.get(name) or REWARDS.get(name) or module_of(name)
    return (one.__doc__ or "").strip().partition("\n")[0]


def helpers(name: str) -> tuple[str, ...]:
    """The models that a reward asks.

    Raises:
        UsageError: there is no such reward.
    """
    if name in OWN:
        return (agemem_judged.HELPER,) if name in JUDGED else ()
    return tuple(getattr(module_of(name), "helpers", ()))


def prompts(name: str) -> dict[str, str]:
    """Digests of the instructions that a reward of atommem's own gives a model, by file; 16 hexadecimal digits."""
    return {f"{file}.txt": grades.digest(file)[:16] for file in agemem_judged.PROMPTS} if name in JUDGED else {}


def of(name: str, ask: Ask | None = None, gold: BatchReward | None = None) -> BatchReward:
    """The reward of a name.

    Args:
        ask: for one that asks models; without it, it can be built and not called.
        gold: what `LIKELIHOOD` is, where a model learns.

    Raises:
        UsageError: there is none, or it cannot be built; and when it is called, it does not give a finite number for
            each trajectory.
    """
    if name == LIKELIHOOD and gold:
        return gold
    if name in REWARDS:
        reward = REWARDS[name]
        return lambda pairs: [reward(task, trajectory) for task, trajectory in pairs]
    if name in JUDGED:
        return JUDGED[name](ask or _nobody)
    module = module_of(name)
    try:
        theirs = made(module, ask)
    except ValidationError:
        raise UsageError(f"the reward {name}: its Options need a key, and a recipe gives a reward none") from None

    def checked(pairs: Sequence[Pair]) -> list[float]:
        values = list(theirs(pairs))
        if len(values) != len(pairs) or not all(isinstance(v, int | float) and math.isfinite(v) for v in values):
            raise UsageError(f"the reward {name} gives {cut(repr(values), 200)} for {len(pairs)} trajectories")
        return [float(value) for value in values]

    return checked


def _nobody(_: str, __: Sequence[Observation]) -> list[Generation]:
    raise UsageError("a judged reward was built to be looked at alone: nobody can be asked")


def made(module: RewardModule, ask: Ask | None) -> BatchReward:
    """The reward of a module; see `of`."""
    return module.build(module.Options(), *([ask] if getattr(module, "helpers", ()) else []))


def module_of(name: str) -> RewardModule:
    """The module of a reward of one's own.

    Raises:
        UsageError: there is none.
    """
    return cast("RewardModule", plugins.given(ROOM, name, OWN))


def total(weights: Mapping[str, float], ask: Ask | None = None) -> Callable[[Task, Trajectory], float]:
    """The weighted sum, of one trajectory; `ask` as for `of`."""
    found = weighted(weights, {name: of(name, ask) for name in weights})
    return lambda task, trajectory: found([(task, trajectory)])[0]


def weighted(weights: Mapping[str, float], given: Mapping[str, BatchReward]) -> BatchReward:
    """The weighted sum of rewards by name, of several trajectories."""

    def summed(pairs: Sequence[Pair]) -> list[float]:
        return total_of(weights, {name: given[name](pairs) for name in weights})

    return summed


def total_of(weights: Mapping[str, float], values: Mapping[str, Sequence[float]]) -> list[float]:
    """The weighted sums of what rewards by name gave several trajectories."""
    each = zip(*(values[name] for name in weights), strict=True)
    return [sum(weight * value for weight, value in zip(weights.values(), one, strict=True)) for one in each]
