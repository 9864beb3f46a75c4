"""`atommem grpo --plan`: what a training would take, before anything loads but the model's tokenizer.

Tokens are counted on a sample of the training tasks. The low figures come from episodes that are really
played, by a policy that says nothing: one call per chunk and question, in the prompts as they are rendered,
with an empty memory. The high figures use up every read and every token of a reply, and add two whole
replies to each prompt: one for the scratchpad, one for what is retrieved. `plan_sharing` says what rows share,
`plan_credit` what it takes to price operations.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from statistics import fmean
from typing import Any

from atommem_cli.config.recipe import Recipe
from atommem_cli.config.schema import chunks_of
from atommem_cli.core.episode import Agent
from atommem_cli.core.types import Chunk, Task
from atommem_cli.core.workload import shape_of
from atommem_cli.data import chosen_tasks
from atommem_cli.data.files import verify
from atommem_cli.running import helpers
from atommem_cli.running.costing import EpisodeBound, Prompts, bound_episode, prompts
from atommem_cli.training import curriculum, learners, memory_estimate, plan_credit, plan_sharing, trl_config
from atommem_cli.training.plan_sharing import Sharing
from atommem_cli.training.plan_tables import Bound, GrpoPlan

SAMPLE = 64
"""Training tasks whose chunks are counted."""
PLAYED = 4
"""Of them, how many are played for the length of their prompts."""


def grpo(recipe: Recipe, *, processes: int = 1, sharded: bool = False) -> GrpoPlan:
    """Plan a GRPO training.

    Args:
        sharded: weights, gradients and optimiser states are shared out (FSDP2, ZeRO-3).

    Raises:
        UsageError: the policy has no weights here, the tasks are not prepared, or a number of the recipe is
            none that a training can work with.
        MissingExtra: the model's tokenizer is not here.
    """
    learners.check(recipe)
    helpers.check_rewards(recipe, "grpo")
    curriculum.check(recipe)
    folder, section = Path(recipe.task.folder) / recipe.grpo.split, recipe.grpo
    trainer = trl_config.plan(recipe, trl_config.together(processes))
    learners.check_lora(section.lora, "grpo.lora")
    there = verify(folder).tasks
    tasks = min(section.limit or there, there)
    rollouts, trajectories, per_generation = batches(trainer, processes)
    apart = plan_sharing.refused(recipe)
    bounds, measured, shared = _episodes(recipe, min(tasks, SAMPLE), share=not apart)
    rows = Bound(fmean(b.calls_low for b in bounds), fmean(b.calls_high for b in bounds))
    prompt, new = Bound(measured.shown, measured.shown + measured.remembered), fmean(b.new_tokens_high for b in bounds)
    tokens = Bound(trajectories * rows.low * prompt.low, trajectories * (rows.high * prompt.high + new))
    nodes = shared.nodes(trajectories // rollouts, rollouts, prompt, rows, new) if shared else None
    computed, most = nodes or tokens, section.micro_batch_tokens
    memory, missing = memory_estimate.attempt(
        recipe,
        "grpo",
        tokens=most,
        scored=math.ceil(most * trajectories * new / computed.high),
        processes=processes,
        sharded=sharded,
    )
    return GrpoPlan(
        tasks=tasks,
        sampled=min(tasks, SAMPLE),
        processes=processes,
        sharded=sharded,
        rollouts=rollouts,
        trajectories=trajectories,
        updates=_updates(trainer, tasks * rollouts // trajectories * per_generation),
        updates_per_generation=per_generation,
        rows=rows,
        prompt=prompt,
        tokens=tokens,
        replies=trajectories * new,
        beginning=shared.beginning if shared else None,
        nodes=nodes,
        apart=apart,
        micro_batches=Bound(*(math.ceil(size / (processes * most)) for size in (computed.low, computed.high))),
        pricing=plan_credit.pricing(recipe, bounds, measured, trajectories),
        phases=curriculum.told(section),
        memory=memory,
        missing=missing,
    )


def batches(trainer: Mapping[str, Any], processes: int) -> tuple[int, int, int]:
    """Rollouts per task, trajectories per generation, and updates per generation, as TRL derives them."""
    rollouts, slots = _given(trainer, "num_generations"), _given(trainer, "gradient_accumulation_steps")
    at_once = _given(trainer, "per_device_train_batch_size") * processes
    generations = trainer.get("generation_batch_size")
    steps = generations // at_once if generations else trainer.get("steps_per_generation") or slots
    return rollouts, at_once * steps, max(1, steps * _given(trainer, "num_iterations") // slots)


def _updates(trainer: Mapping[str, Any], per_epoch: int) -> int:
    """Optimiser steps: `max_steps`, or whole generations of every epoch (TRL leaves out the incomplete one)."""
    most: int = _given(trainer, "max_steps")
    return most if most > 0 else math.ceil(_given(trainer, "num_train_epochs") * per_epoch)


@cache
def _defaults() -> dict[str, Any]:
    from trl.trainer.grpo_config import GRPOConfig

    return {name: spec.default for name, spec in GRPOConfig.__dataclass_fields__.items()}


def _given(trainer: Mapping[str, Any], name: str) -> Any:
    return trainer[name] if name in trainer else _defaults()[name]


def _episodes(recipe: Recipe, sampled: int, *, share: bool) -> tuple[list[EpisodeBound], Prompts, Sharing | None]:
    """Of some tasks what an episode may take, how long its prompts are, and what rollouts share."""
    tokenizer = recipe.tokenizer()
    agent: Agent = recipe.build("agent")
    bounds: list[EpisodeBound] = []
    first: list[tuple[Task, tuple[Chunk, ...], int]] = []
    for task in chosen_tasks.read(recipe, recipe.grpo.split, sampled):
        chunks, cut = chunks_of(recipe.chunk, task.documents, tokenizer)
        bounds.append(bound_episode(recipe, agent, shape_of(chunks, len(task.questions))))
        if len(first) < PLAYED:
            first.append((task, chunks, cut))
    measured = prompts(recipe, tokenizer, first)
    return bounds, measured, plan_sharing.sharing(recipe, tokenizer, first) if share else None
