"""Demonstrations: the good trajectories of finished evaluations, as rows to train on (papers.md 1.6)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from atommem_cli.config.recipe import Recipe
from atommem_cli.core.calls import UNANSWERED
from atommem_cli.core.errors import RunMismatch, UsageError
from atommem_cli.core.types import Task, Trajectory
from atommem_cli.models.words import Words
from atommem_cli.replay import replay
from atommem_cli.running import helpers
from atommem_cli.runs.reader import Run
from atommem_cli.scoring import rewards
from atommem_cli.training import sft_rows


@dataclass(slots=True)
class Demonstrations:
    """What the runs of a recipe hold."""

    rows: list[sft_rows.Example] = field(default_factory=list)
    """One per model call of a kept trajectory, in the order of runs, tasks and steps."""
    trajectories: int = 0
    """That came to their end, failed ones apart."""
    kept: int = 0
    dropped: int = 0
    """Model calls of kept trajectories that are no row: longer than the limit or the window, or empty."""
    best: float = float("-inf")
    """The highest reward of all trajectories."""


def collect(recipe: Recipe, words: Words, longest: int | None) -> Demonstrations:
    """Play the runs again and keep every model call of each good trajectory.

    Args:
        longest: tokens of prompt and completion together, above which a row is dropped; None is no limit
            but the model's window.

    Raises:
        UsageError: no run is named, one is no run, or nothing is good enough.
        RunMismatch: a run is of another agent or other tasks, or cannot be played again as it was.
        SourceError: tasks are missing or damaged.
    """
    found = Demonstrations()
    limit = min((length for length in (longest, words.window) if length is not None), default=None)
    models = helpers.build(recipe, helpers.of_rewards(recipe.sft.rewards), {}, {})
    worth = rewards.total(recipe.sft.rewards, helpers.asker(recipe, models))
    for task, trajectory in _played(recipe):
        reward = worth(task, trajectory)
        found.trajectories += 1
        found.best = max(found.best, reward)
        if reward < recipe.sft.min_reward:
            continue
        found.kept += 1
        for step in (one for one in trajectory.transitions if one.learned):
            asked = step.generation.finish not in UNANSWERED
            row = sft_rows.row(task.id, words.prompt(step), words.completion(step)) if asked else None
            if row is None or not row.completion or (limit is not None and row.tokens > limit):
                found.dropped += 1
            else:
                found.rows.append(row)
    _insist(recipe, found, limit)
    return found


def _played(recipe: Recipe) -> Iterator[tuple[Task, Trajectory]]:
    runs = []
    for path in {Path(name).expanduser().resolve(): Path(name).expanduser() for name in recipe.sft.runs}.values():
        run = Run(path)
        _same_agent(recipe, run)
        run.check()
        runs.append(run)
    if not runs:
        raise UsageError(
            "sft.runs: name the folder of at least one run to learn from; "
            "`atommem eval --policy scripted:sloppy --set task.split=train` makes one"
        )
    for run in runs:
        yield from replay.play(run)


def _same_agent(recipe: Recipe, run: Run) -> None:
    theirs, ours = ({**one.agent.model_dump(), "drop": sorted(one.memory.untold)} for one in (run.recipe, recipe))
    for key in {**theirs, **ours}:
        if theirs.get(key) != ours.get(key):
            name = "memory.drop" if key == "drop" else f"agent.{key}"
            raise RunMismatch(
                f"{run.path}: its {name} is {_shown(theirs.get(key))} and the recipe's {_shown(ours.get(key))}: "
                "a model learns from its own kind of prompts only"
            )


def _shown(value: object) -> str:
    return ", ".join(map(str, value)) or "empty" if isinstance(value, list) else str(value)


def _insist(recipe: Recipe, found: Demonstrations, limit: int | None) -> None:
    runs = ", ".join(recipe.sft.runs)
    if not found.trajectories:
        raise UsageError(f"{runs}: no episode has come to its end yet, so there is nothing to learn from")
    if not found.kept:
        raise UsageError(
            f"{runs}: none of {found.trajectories} trajectories reaches sft.min_reward {recipe.sft.min_reward:g}; "
            f"the best has {found.best:g}"
        )
    if not found.rows:
        raise UsageError(f"{runs}: every one of {found.dropped} model calls is longer than {limit} tokens or empty")
