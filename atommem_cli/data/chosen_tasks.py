"""Prepared tasks as a recipe wants them: with as many of their distractors as it says.

Which distractors a task has was settled when it was prepared; of them the first so many stay. So one folder serves
several numbers, and runs under different ones are paired by question.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from atommem_cli.config.schema import TaskSection
from atommem_cli.core.errors import UsageError
from atommem_cli.core.types import Task
from atommem_cli.data.files import TASKS, TaskFile, read_tasks


def read(section: TaskSection, split: str, limit: int | None) -> Iterator[Task]:
    """The tasks of a split, one at a time, in order; at most `limit` of them.

    Raises:
        SourceError: as `files.read_tasks`.
        UsageError: as `trimmed`.
    """
    for task in read_tasks(Path(section.folder) / split, limit):
        yield trimmed(task, section.distractors)


class ChosenTasks(TaskFile):
    """The tasks of a split by number, read from disk when they are asked for."""

    def __init__(self, section: TaskSection, split: str, limit: int | None) -> None:
        """
        Raises:
            SourceError: as `files.TaskFile`.
        """
        super().__init__(Path(section.folder) / split, limit)
        self._distractors = section.distractors

    def __getitem__(self, number: int) -> Task:
        return trimmed(super().__getitem__(number), self._distractors)


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
        "`atommem prepare stream --set 'hinges={supersede: 1.0}'` do"
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
