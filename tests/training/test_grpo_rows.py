"""Rows keep which rollouts they are of, from the batch that was played to the micro-batches that are trained."""

from __future__ import annotations

from dataclasses import replace

from builders import task

from atommem_cli.core.calls import Expects, Generation, Observation
from atommem_cli.core.clock import Clock
from atommem_cli.core.types import StopReason, Trajectory, Transition, Usage
from atommem_cli.training.grpo_rows import TrainingRow, level, rows_of, slots
from atommem_cli.training.rollouts import PlayedBatch


def trajectory(name: str, calls: int) -> Trajectory:
    said = [Generation("x", prompt_ids=tuple(range(1, 9 + i)), token_ids=(7, i)) for i in range(calls)]
    steps = tuple(Transition(Observation((), 5, Expects.OPERATIONS), one, (), (), 0) for one in said)
    return Trajectory(name, name, 0, (), StopReason.ANSWERED, steps, Usage(calls), ())


def test_rollouts_of_one_task_are_one_group_to_the_last_micro_batch() -> None:
    first, second = task("a"), task("b")
    calls = (3, 1, 4, 2, 5)
    played = PlayedBatch(
        [first, first, second, second, replace(first)],
        [trajectory(f"{i}", many) for i, many in enumerate(calls)],
        Clock(),
        0.0,
    )
    assert played.groups == [0, 0, 1, 1, 2]
    made = [
        rows_of(one, float(at), group)
        for at, (one, group) in enumerate(zip(played.trajectories, played.groups, strict=True))
    ]
    dealt = level(slots(made, 1, 2, 40)[0], [[3] * 12, [3] * 12], TrainingRow((0,), (0,), 0.0, weight=0.0))
    trained = [row for slot in dealt for batch in slot for row in batch]
    expected = {float(at): group for at, group in enumerate(played.groups)}
    kept = [row for row in trained if row.weight]
    assert len(kept) == sum(calls)
    assert all(row.group == expected[row.advantage] for row in kept)
    assert {row.group for row in trained if not row.weight} == {-1}
