"""Credit of single operations: what each was worth goes to the tokens that wrote it, and to no others.

A token of an operation has the advantage of its trajectory plus `weight` x (price - centre). A price is the difference
to not writing the operation (`replay.operation_prices`), so not writing one is worth 0. The centre is what operations
of this kind are worth in this task, over all rollouts of the group: of each the mean of its prices, 0 where it has
none. So what every rollout does anyway is neither praised nor blamed, and a rare operation keeps nearly all of its
price, as it would not if the mean were taken over those that wrote one. (Without a centre a Create that should have
been followed by a Delete would be blamed in every rollout, and storing would be unlearned.) Nothing is divided by a
standard deviation: a dense bonus collapses then (arXiv 2607.21273).
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Sequence

from atommem_cli.core.calls import Generation, Observation
from atommem_cli.core.types import OpKind, Trajectory
from atommem_cli.models.spans import tokens_of
from atommem_cli.replay.operation_prices import OperationPrice, prices
from atommem_cli.running.build import Parts
from atommem_cli.scoring import rewards
from atommem_cli.scoring.reward import BatchReward
from atommem_cli.training.distributed import gather
from atommem_cli.training.loop import UNPRICED
from atommem_cli.training.rollouts import Credits, LearningPolicy, PlayedBatch

Centres = dict[tuple[int, OpKind], float]
"""By the number of a group over all ranks, and the kind of operation."""


def centres(priced: Sequence[tuple[int, Sequence[OperationPrice]]], rollouts: int) -> Centres:
    """What operations of each kind are worth in each group.

    Args:
        priced: of every rollout of the groups, its group and its operations.
        rollouts: of a group.
    """
    found: Centres = defaultdict(float)
    for group, ops in priced:
        known: dict[OpKind, list[float]] = defaultdict(list)
        for op in ops:
            if op.price is not None:
                known[op.kind].append(op.price)
        for kind, values in known.items():
            found[group, kind] += sum(values) / len(values) / rollouts
    return found


class OperationCredit:
    """Prices the operations of what was played, and says what each token is credited with."""

    def __init__(self, parts: Parts, policy: LearningPolicy, gold: BatchReward, rollouts: int) -> None:
        """
        Args:
            gold: how likely the gold answers are (`running.gold`).
            rollouts: of a group.
        """
        section = parts.recipe.grpo
        self._parts, self._policy, self._rollouts = parts, policy, rollouts
        self._weight, self._held = section.credit.weight, section.credit.price == "likelihood"
        self._asked = 0
        given = {name: rewards.of(name, self._ask, gold) for name in section.rewards}
        self._value = gold if self._held else rewards.weighted(section.rewards, given)

    def _ask(self, name: str, prompts: Sequence[Observation]) -> list[Generation]:
        self._asked += len(prompts)
        return self._parts.ask(name, prompts)

    def share(self, played: PlayedBatch, worth: Sequence[float], first: int) -> dict[str, float]:
        """Fill in `played.credits`; all ranks do it at once.

        Args:
            worth: the rewards of the trajectories.
            first: the number of this rank's first trajectory over all ranks.

        Returns:
            Metrics of this generation, over all ranks.
        """
        started, scored, self._asked = time.perf_counter(), self._policy.scored, 0
        pairs = list(zip(played.tasks, played.trajectories, strict=True))
        was = None if self._held else worth
        found = prices(
            self._parts, pairs, self._value, was=was, held=self._held, turn=played.turn, asked=self._policy.join
        )
        groups = [(first + at) // self._rollouts for at in range(len(pairs))]
        priced = gather(list(zip(groups, found.episodes, strict=True)))
        centre = centres(priced, self._rollouts)
        played.credits = [
            self._credits(trajectory, ops, group, centre)
            for trajectory, ops, group in zip(played.trajectories, found.episodes, groups, strict=True)
        ]
        asked = found.calls + self._asked + self._policy.scored - scored
        return {
            **metrics([ops for _, ops in priced]),
            "credit/calls": sum(gather([asked])),
            "time/credit": time.perf_counter() - started,
        }

    def _credits(self, trajectory: Trajectory, ops: Sequence[OperationPrice], group: int, centre: Centres) -> Credits:
        found: dict[int, list[float]] = {}
        for op in ops:
            if op.price is None or op.place.step < 0:
                continue
            step = trajectory.transitions[op.place.step]
            ids, span = step.generation.token_ids, step.results[op.place.number].op.span
            if span is None or not step.learned or not ids:
                continue
            each = found.setdefault(op.place.step, [0.0] * len(ids))
            begin, end = tokens_of(ids, step.generation.text, *span, self._policy.text)
            for at in range(begin, min(end, len(ids))):
                each[at] += self._weight * (op.price - centre[group, op.kind])
        return {step: tuple(each) for step, each in found.items()}


def metrics(priced: Sequence[Sequence[OperationPrice]]) -> dict[str, float]:
    """What is seen of the prices of some trajectories."""
    ops = [op for each in priced for op in each]
    known: dict[OpKind, list[float]] = defaultdict(list)
    for op in ops:
        if op.price is not None:
            known[op.kind].append(op.price)
    found = {"credit/priced": sum(map(len, known.values())) / max(1, len(priced))}
    if ops:
        found[UNPRICED] = 1 - sum(map(len, known.values())) / len(ops)
    return found | {f"credit/price/{kind}": sum(prices) / len(prices) for kind, prices in known.items()}
