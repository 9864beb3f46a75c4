"""What a task source promises: its module, what it plans and the tasks that it makes; see `sources.SourceModule`."""

from __future__ import annotations

import pickle
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from atommem_cli.contracts import promises
from atommem_cli.contracts.promises import ContractBroken, insist, raised
from atommem_cli.core.safe_text import shown
from atommem_cli.core.types import Question, Task
from atommem_cli.data import task_rules
from atommem_cli.data.files import Plan, Request
from atommem_cli.data.sources import SourceModule

TASKS = 3
"""Made of a source for each look at it."""


@dataclass(frozen=True, slots=True)
class Source:
    """A module with what it is given."""

    module: SourceModule
    options: Any
    source: str | None
    split: str
    made: dict[int, tuple[Plan, list[Task]]] = field(default_factory=dict)

    def tasks(self, limit: int = TASKS) -> tuple[Plan, list[Task]]:
        """The plan of so many tasks, and the tasks; made once."""
        if limit not in self.made:
            with self.planned(limit) as plan:
                self.made[limit] = plan, [plan.make(job) for job in plan.jobs]
        return self.made[limit]

    @contextmanager
    def planned(self, limit: int = TASKS) -> Iterator[Plan]:
        """A plan, as long as its folder for temporary files is there."""
        with tempfile.TemporaryDirectory() as scratch:
            nothing = lambda _: None  # noqa: E731
            request = Request(self.split, self.source, limit, 42, None, None, None, Path(scratch), nothing)
            plan = self.module.build(self.options, request)
            _insist_sound(task_rules.plan_fault(plan))
            yield plan


def check(module: SourceModule, options: Any = None, *, source: str | None = None, split: str = "validation") -> None:
    """Insist on every promise of a task source.

    Args:
        options: None is its `Options` with every default.
        source: a file or folder of records, as `--source` names it; None is the hub.
        split: train or validation.

    Raises:
        ContractBroken: one sentence.
        UsageError, SourceError, BackendError: the source says so of its records.
    """
    promises.check(PROMISES, Source(module, module.Options() if options is None else options, source, split))


def inputs_are_files_with_digests(one: Source) -> None:
    """`inputs` names the files that are read with their sha256, the same ones every time."""
    found = one.module.inputs(one.source, one.split, None)
    _insist_sound(task_rules.inputs_fault(found))
    insist(
        dict(one.module.inputs(one.source, one.split, None)) == dict(found),
        "inputs gives something else when it is called again: digests of contents are wanted, without times",
    )


def a_plan_says_what_it_is(one: Source) -> None:
    """`build` plans one job a task, no more than the limit, and names the source and the licence of its data."""
    plan, _ = one.tasks()
    insist(
        0 < len(plan.jobs) <= TASKS,
        f"{len(plan.jobs)} jobs are planned where at most {TASKS} are asked for, and 1 at least: see request.limit",
    )


def tasks_are_valid(one: Source) -> None:
    """A task has an id of its own, documents with text, and questions, each with an id of its own and an answer."""
    plan, made = one.tasks()
    ids = task_rules.Ids()
    for task in made:
        _insist_sound(task_rules.task_fault(task, plan.source))
        _insist_sound(ids.fault(task.id, [question.id for question in task.questions]))


def gold_facts_stand_in_their_documents(one: Source) -> None:
    """Each gold supporting fact stands verbatim in the document that it names."""
    for task in one.tasks()[1]:
        _insist_sound(task_rules.gold_fault(task))


def the_same_request_makes_the_same_tasks(one: Source) -> None:
    """The same request makes the same tasks, every time and in whatever order they are made."""
    _, made = one.tasks()
    with one.planned() as plan:
        again = [plan.make(job) for job in list(plan.jobs)[::-1]][::-1]
    _insist_same(made, again, "when it is made again, after those that follow it")


def a_task_depends_on_its_name_alone(one: Source) -> None:
    """What a task holds depends on the seed and its own name, not on how many tasks are made."""
    _, fewer = one.tasks(TASKS - 1)
    _, made = one.tasks()
    _insist_same(fewer, made[: len(fewer)], "where more tasks are asked for")


def jobs_go_to_other_processes(one: Source) -> None:
    """`make` and its jobs can be pickled, so that other processes make tasks."""
    _, made = one.tasks()
    with one.planned() as plan:
        try:
            make, jobs = pickle.loads(pickle.dumps((plan.make, list(plan.jobs))))
        except Exception as error:
            sentence = f"make and its jobs cannot be pickled ({raised(error)}): use a function of the module, no lambda"
            raise ContractBroken(sentence) from error
        _insist_same(made, [make(job) for job in jobs], "when make and its jobs were pickled")


def tasks_can_be_written_and_read(one: Source) -> None:
    """A task is the same when it was written to tasks.jsonl and read again."""
    for task in one.tasks()[1]:
        _insist_sound(task_rules.line_fault(task))


def _insist_sound(fault: str) -> None:
    insist(not fault, fault)


def _insist_same(some: list[Task], others: list[Task], when: str) -> None:
    for first, second in zip(some, others, strict=False):
        insist(
            first == second,
            f"{first.id} is another task {when}: draw with the seed and the task's own name alone "
            f"({_differing(first, second)})",
        )
    insist(len(some) == len(others), f"there are {len(others)} tasks instead of {len(some)} {when}")


def _differing(first: Task, second: Task) -> str:
    def asked(questions: tuple[Question, ...]) -> list[str]:
        return [question.text for question in questions]

    if first.id != second.id:
        return f"its id is {shown(second.id)} then"
    return "its documents differ" if asked(first.questions) == asked(second.questions) else "its questions differ"


PROMISES: tuple[promises.Promise[Source], ...] = (
    inputs_are_files_with_digests,
    a_plan_says_what_it_is,
    tasks_are_valid,
    gold_facts_stand_in_their_documents,
    the_same_request_makes_the_same_tasks,
    a_task_depends_on_its_name_alone,
    jobs_go_to_other_processes,
    tasks_can_be_written_and_read,
)
"""All of them."""
