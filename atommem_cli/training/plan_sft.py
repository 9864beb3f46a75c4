"""What a supervised training would learn from, counted before it starts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from atommem_cli.config.recipe import Recipe
from atommem_cli.runs.tables import Rates, Table
from atommem_cli.training import memory_estimate
from atommem_cli.training.demonstrations import Demonstrations
from atommem_cli.training.plan_tables import DeviceMemory, memory_table
from atommem_cli.training.sft_rows import Example


@dataclass(frozen=True, slots=True)
class SftPlan:
    """What a training will learn from, and how many updates that makes."""

    trajectories: int
    """Of all runs that came to their end."""
    kept: int
    """Whose reward reaches `sft.min_reward`."""
    tasks: int
    """That rows are of; likewise those held out."""
    held_out: int
    """Tasks that are validated on."""
    rows: int
    """Trained on."""
    validation_rows: int
    dropped: int
    """Model calls of kept trajectories that are too long or empty."""
    prompt_tokens: int
    """Of the rows that are trained on, each once; likewise those of completions."""
    completion_tokens: int
    longest: int
    """Tokens of the longest row, validation included."""
    recall_rows: int
    """Of the stage before."""
    updates: int
    """Optimiser steps; those of recall are not among them, and packing makes fewer."""
    processes: int
    sharded: bool
    """Whether these share weights, gradients and optimiser states."""
    epochs: float
    """How often each row is trained on in these updates."""
    memory: DeviceMemory | None
    """Per device, at the longest row; None where the model's configuration is not here."""
    missing: str = ""
    """Why there is no `memory`."""

    @property
    def share(self) -> float:
        """Of trajectories that are kept, in (0, 1]."""
        return self.kept / self.trajectories


def count(
    recipe: Recipe,
    found: Demonstrations,
    training: Sequence[Example],
    validation: Sequence[Example],
    config: Any,
    processes: int,
    *,
    sharded: bool = False,
) -> SftPlan:
    """The plan of a training on these rows.

    Args:
        config: TRL's SFTConfig.
        processes: how many processes train together.
        sharded: they share weights, gradients and optimiser states (FSDP2, ZeRO-3).
    """
    size, longest = config.per_device_train_batch_size, max(row.tokens for row in found.rows)
    updates = _updates(len(training), config, processes)
    memory, missing = memory_estimate.attempt(
        recipe, "sft", tokens=size * longest, processes=processes, sharded=sharded
    )
    held = len({row.task for row in validation})
    return SftPlan(
        trajectories=found.trajectories,
        kept=found.kept,
        tasks=len({row.task for row in training}) + held,
        held_out=held,
        rows=len(training),
        validation_rows=len(validation),
        dropped=found.dropped,
        prompt_tokens=sum(len(row.prompt) for row in training),
        completion_tokens=sum(len(row.completion) for row in training),
        longest=longest,
        recall_rows=recipe.sft.recall.rows if recipe.sft.recall else 0,
        updates=updates,
        processes=processes,
        sharded=sharded,
        epochs=updates * size * config.gradient_accumulation_steps * processes / len(training)
        if config.max_steps > 0
        else config.num_train_epochs,
        memory=memory,
        missing=missing,
    )


def tables(plan: SftPlan, rates: Rates | None = None) -> list[Table]:
    """The plan for the terminal; with a speed, of prompts as they are trained on, the hours, too."""
    held = f", and {plan.validation_rows:,} of {plan.held_out:,} held-out tasks" if plan.held_out else ""
    recall = (("rows of recall before", f"{plan.recall_rows:,}"),) if plan.recall_rows else ()
    lines = (
        ("trajectories kept", f"{plan.kept:,} of {plan.trajectories:,} ({plan.share:.0%})"),
        ("tasks", f"{plan.tasks:,}"),
        ("rows", f"{plan.rows:,}{held}"),
        ("rows dropped", f"{plan.dropped:,}"),
        ("tokens", f"{plan.prompt_tokens:,} of prompts, {plan.completion_tokens:,} of completions"),
        ("longest row", f"{plan.longest:,} tokens"),
        *recall,
        ("updates", f"{plan.updates:,}"),
        *([("hours, without validation", f"{_hours(plan, rates):,.2f}")] if rates and rates.speed else []),
        *([("memory", plan.missing)] if plan.missing else []),
    )
    counted = Table("What would be learned; one row per model call", ("what", "value"), lines)
    return [counted, *([memory_table(plan.memory)] if plan.memory else [])]


def _hours(plan: SftPlan, rates: Rates) -> float:
    return rates.hours(plan.epochs * (plan.prompt_tokens + plan.completion_tokens), 0)


def _updates(rows: int, config: Any, processes: int) -> int:
    """As transformers' Trainer counts them."""
    if config.max_steps > 0:
        return int(config.max_steps)
    size: int = config.per_device_train_batch_size
    accumulated: int = config.gradient_accumulation_steps
    epochs: float = config.num_train_epochs
    batches = rows // size if config.dataloader_drop_last else math.ceil(rows / size)
    own = batches // processes if config.dataloader_drop_last else math.ceil(batches / processes)
    return math.ceil(epochs * max(1, math.ceil(own / accumulated)))
