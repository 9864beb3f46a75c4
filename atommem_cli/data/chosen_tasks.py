"""Prepared tasks as a recipe wants them: with as many of their distractors as it says, and noise for their stores.

Which distractors a task has was settled when it was prepared; of them the first so many stay. So one folder serves
several numbers, and runs under different ones are paired by question.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from atommem_cli.config.recipe import Recipe
from atommem_cli.core.errors import UsageError
from atommem_cli.core.types import Task
from atommem_cli.data.files import TASKS, TaskFile, read_tasks
from atommem_cli.data.noise import Noise


def read(recipe: Recipe, split: str, limit: int | None) -> Iterator[Task]:
    """The tasks of a split, one at a time, in order; at most `limit` of them.

    Raises:
        SourceError: as `files.read_tasks`.
        UsageError: as `trimmed` and `Noise`.
    """
    chosen = _Choice(recipe, split)
    for task in read_tasks(Path(recipe.task.folder) / split, limit):
        yield chosen(task)


class ChosenTasks(TaskFile):
    """The tasks of a split by number, read from disk when they are asked for."""

    def __init__(self, recipe: Recipe, split: str, limit: int | None) -> None:
        """
        Raises:
            SourceError: as `files.TaskFile`.
        """
        super().__init__(Path(recipe.task.folder) / split, limit)
        self._choice = _Choice(recipe, split)

    def __getitem__(self, number: int) -> Task:
        return self._choice(super().__getitem__(number))


class _Choice:
    """What a recipe makes of the tasks of a split."""

    def __init__(self, recipe: Recipe, split: str) -> None:
        self._distractors = recipe.task.distractors
        section = recipe.store.noise
        wanted = section is not None and section.entries > 0
        self._noise = Noise(section, Path(recipe.task.folder) / split, recipe.seed) if section and wanted else None

    def __call__(self, task: Task) -> Task:
        chosen = trimmed(task, self._distractors)
        return replace(chosen, noise=self._noise.of(chosen)) if self._noise else chosen


def insist_outdated(folder: Path, what: str) -> None:
    """Insist that questions of a split say which answers are outdated.

    Args:
        what: key and name of what goes by it, for the message.

    Raises:
        UsageError: none does.
    """
    try:
        with (folder / TASKS).open("rb") as lines:
            if any(_OUTDATED in line for line in lines):
                return
    except OSError:  # who reads the tasks says so
        return
    raise UsageError(
        f"{what} goes by answers that are outdated, and no question of {folder} says which are: tasks of "
        "`atommem prepare stream --set 'hinges={supersede: 1.0}'` do, memory_agent_bench (sh), or records with stale"
    )


_OUTDATED = b'"stale":["'
"""Within a text the quotation marks would be escaped."""


def trimmed(task: Task, most: int | None) -> Task:
    """A task with the first `most` of its distractors; None is all.

    Raises:
        UsageError: it has fewer.
    """
    if most is None:
        return task
    late = [number for number, document in enumerate(task.documents) if document.distractor]
    if len(late) < most:
        raise UsageError(
            f"task.distractors: {most} are asked for, and {task.id} was prepared with {len(late)}: "
            f"`atommem prepare ... --distractors {most}`"
        )
    gone = {*late[most:]}
    kept = tuple(document for number, document in enumerate(task.documents) if number not in gone)
    return replace(task, documents=kept)  # they come last, so no supporting fact points elsewhere now
