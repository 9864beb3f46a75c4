"""From trajectories to micro-batches: advantages belong to trajectories, rows to their model calls.

A slot is what TRL calls one gradient accumulation step. It used to be one padded batch; here it is a list of
micro-batches of rows of similar length, each within a budget of padded tokens.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Literal

import numpy as np

from atommem_cli.core.calls import Finish
from atommem_cli.core.types import StopReason, Trajectory
from atommem_cli.models.prefix_trees import in_order, nodes, shared

Unit = Literal["token", "step", "trajectory"]


@dataclass(frozen=True, slots=True)
class TrainingRow:
    """One model call, as it is trained."""

    prompt: tuple[int, ...]
    completion: tuple[int, ...]
    """At least one token."""
    advantage: float
    """Of the whole trajectory."""
    weight: float = 1.0
    """Of each of its tokens in the loss; 0 for a filler, which changes nothing."""
    logprobs: tuple[float, ...] = ()
    """Of each completion token as the sampler had them; empty where it did not say."""
    group: int = -1
    """Which rollouts of one task in this batch it is of: their prompts begin alike. -1 for a filler."""
    credits: tuple[float, ...] = ()
    """What each completion token has beside the advantage; empty: none of them anything."""

    @property
    def tokens(self) -> int:
        return len(self.prompt) + len(self.completion)

    @property
    def learns(self) -> bool:
        """Whether it has a gradient of its own."""
        return abs(self.advantage) > NOTHING or any(abs(credit) > NOTHING for credit in self.credits)


NOTHING = 1e-6
"""An advantage up to here is rounding: the mean of equal rewards need not be one of them in float32."""
Slot = list[list[TrainingRow]]
"""Micro-batches of one gradient accumulation step."""


@dataclass(frozen=True, slots=True)
class Counts:
    """What the loss is normalised by: over all ranks, before rows without a gradient are left out."""

    tokens: int
    steps: int
    trajectories: int

    def weight(self, unit: Unit, row_tokens: int, trajectory_tokens: int) -> float:
        """Weight of a row's tokens. The weights of all tokens sum to `tokens`, so that a loss that is
        normalised by `tokens` is the mean over tokens, over steps, or over trajectories."""
        if unit == "step":
            return self.tokens / (self.steps * row_tokens)
        if unit == "trajectory":
            return self.tokens / (self.trajectories * trajectory_tokens)
        return 1.0


def rows_of(
    trajectory: Trajectory,
    advantage: float,
    group: int = 0,
    *,
    mask_truncated: bool = False,
    credits: Mapping[int, tuple[float, ...]] = MappingProxyType({}),
) -> list[TrainingRow]:
    """The trained rows of one trajectory, weights still 1; calls that wrote nothing have none.

    Args:
        group: see `TrainingRow.group`.
        mask_truncated: leave out replies that their limit cut off, and trajectories that their budget or the
            window ended (TRL's `mask_truncated_completions`, for trajectories).
        credits: see `TrainingRow.credits`; by the number of the call.
    """
    if mask_truncated and trajectory.stop is not StopReason.ANSWERED:
        return []
    return [
        TrainingRow(
            call.prompt_ids,
            call.token_ids,
            advantage,
            logprobs=call.logprobs,
            group=group,
            credits=credits.get(number, ()),
        )
        for number, call in ((at, step.generation) for at, step in enumerate(trajectory.transitions) if step.learned)
        if call.token_ids and not (mask_truncated and call.finish is Finish.LENGTH)
    ]


def weighted(rows: Sequence[TrainingRow], unit: Unit, counts: Counts) -> list[TrainingRow]:
    """The rows of one trajectory with the weights of their tokens."""
    total = sum(len(row.completion) for row in rows)
    return [replace(row, weight=counts.weight(unit, len(row.completion), total)) for row in rows]


def micro_batches(rows: Sequence[TrainingRow], most_tokens: int, *, share: bool = False) -> list[list[TrainingRow]]:
    """Rows that are trained together, each batch of at most `most_tokens`; a row longer than that is alone.

    Args:
        share: rows that begin alike stand together, and a token that they share counts once (`prefix_trees`). Else
            rows of similar length do, longest first, and padding counts: prompts are padded on the left and completions
            on the right, each to the longest of the batch.
    """
    if share:
        return _alike(rows, most_tokens)
    batches: list[list[TrainingRow]] = []
    prompt = completion = 0
    for row in sorted(rows, key=lambda row: (row.tokens, len(row.prompt)), reverse=True):
        prompt, completion = max(prompt, len(row.prompt)), max(completion, len(row.completion))
        if not batches or (len(batches[-1]) + 1) * (prompt + completion) > most_tokens:
            batches.append([])
            prompt, completion = len(row.prompt), len(row.completion)
        batches[-1].append(row)
    return batches


def _alike(rows: Sequence[TrainingRow], most_tokens: int) -> list[list[TrainingRow]]:
    batches: list[list[TrainingRow]] = []
    size, last = 0, np.zeros(0, np.int64)
    for row in (rows[at] for at in in_order([(*row.prompt, *row.completion) for row in rows])):
        ids = np.array((*row.prompt, *row.completion))
        new = len(ids) - shared(last, ids)
        if not batches or size + new > most_tokens:
            batches.append([])
            size, new = 0, len(ids)
        batches[-1].append(row)
        size, last = size + new, ids
    return batches


def cost(batch: Sequence[TrainingRow], *, share: bool) -> int:
    """Tokens that a batch takes: with its padding, or with each shared one once."""
    if share:
        ids = [(*row.prompt, *row.completion) for row in batch]
        return nodes(ids[at] for at in in_order(ids))
    return len(batch) * (max(len(row.prompt) for row in batch) + max(len(row.completion) for row in batch))


def slots(
    trajectories: Sequence[Sequence[TrainingRow]],
    updates: int,
    per_update: int,
    most_tokens: int,
    *,
    share: bool = False,
) -> tuple[list[Slot], int]:
    """Deal whole trajectories to updates, in turn, and each update's micro-batches to its slots.

    Args:
        trajectories: the rows of each, in an order that no length has chosen.
        updates: optimiser steps that share this generation.
        per_update: gradient accumulation steps of each.
        most_tokens, share: see `micro_batches`.

    Returns:
        `updates * per_update` slots of micro-batches, of about equal cost, some maybe empty; and what they cost in all.
    """
    dealt: list[Slot] = []
    total = 0
    for update in range(updates):
        mine = [row for rows in trajectories[update::updates] for row in rows]
        bins: list[Slot] = [[] for _ in range(per_update)]
        load = [0] * per_update
        batches = [(cost(batch, share=share), batch) for batch in micro_batches(mine, most_tokens, share=share)]
        for spent, batch in sorted(batches, key=lambda pair: pair[0], reverse=True):
            lightest = load.index(min(load))
            bins[lightest].append(batch)
            load[lightest] += spent
        dealt += bins
        total += sum(load)
    return dealt, total


def level(
    dealt: Sequence[Sequence[Sequence[TrainingRow]]], shape: Sequence[Sequence[int]], filler: TrainingRow
) -> list[Slot]:
    """Fill up with fillers, so that every rank has the same micro-batches of the same number of rows.

    Metrics are gathered per row, and sharded forward passes are collective.

    Args:
        shape: rows of each micro-batch of each slot (`common_shape`).
    """
    full = []
    for slot, sizes in zip(dealt, shape, strict=True):
        batches = [*slot, *([[]] * (len(sizes) - len(slot)))]
        full.append([[*batch, *[filler] * (size - len(batch))] for batch, size in zip(batches, sizes, strict=True)])
    return full


def common_shape(shapes: Sequence[Sequence[Sequence[int]]]) -> list[list[int]]:
    """Of each slot's micro-batches the most rows on any rank; every slot has one micro-batch at least."""
    common = []
    for slot in zip(*shapes, strict=True):
        most = max(1, *(len(sizes) for sizes in slot)) if slot else 1
        common.append([max(1, *(sizes[i] for sizes in slot if i < len(sizes)), 1) for i in range(most)])
    return common


def sizes(made: int, dealt: Sequence[Slot], spent: int) -> tuple[int, int, int, int]:
    """Rows that were made, rows that are trained, their tokens, and what the tokens take."""
    rows = [row for slot in dealt for batch in slot for row in batch]
    return made, len(rows), sum(row.tokens for row in rows), spent


def metrics(made: int, rows: int, tokens: int, spent: int, *, share: bool) -> dict[str, float]:
    """What is seen of an update's `sizes`, over all ranks."""
    found: dict[str, float] = {"batch/rows": rows}
    if made:
        found["batch/skipped"] = 1 - rows / made
    if spent:
        found |= (
            {"batch/nodes": spent, "batch/shared": tokens / spent} if share else {"batch/padding": 1 - tokens / spent}
        )
    return found
