"""Each promise of task sources, rewards and dialects, broken once: a sentence says so, and what to do."""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import BaseModel
from sentences import pattern

from atommem_cli import Document, Question, Section, SourcePlan, Support, Task
from atommem_cli.contracts import ContractBroken, dialects, plugin, promises, rewards, tasks
from atommem_cli.dialects import dialect
from atommem_cli.dialects.dialect import Dialect

_ticks = itertools.count()


class Lax(BaseModel):
    pass


class Key(Section):
    weight: float


def module(options: Any = Section) -> Any:
    return SimpleNamespace(Options=options, build=lambda _: constant)


def task(number: int, **changes: Any) -> Task:
    questions = (Question(f"q{number}", "Where does Ada live?", ("Velt",), (Support(0, "Ada lives in Velt."),)),)
    documents = (Document("", "Ada lives in Velt. She moved."), Document("", f"Number {number}."))
    return replace(Task(f"facts-{number}", "facts", documents, questions), **changes)


def asked(number: int, **changes: Any) -> Task:
    return task(number, questions=(replace(task(number).questions[0], **changes),))


def source(make: Any = task, *, plan: Any = None, **changes: Any) -> tasks.Source:
    """A source that keeps every promise, but for what is changed."""
    plan = plan or (lambda request: SourcePlan("facts", "ours", range(request.limit), make))
    whole = {
        "Options": Section,
        "inputs": lambda source, split, validation: {"facts.jsonl": "0" * 64},
        "build": lambda options, request: plan(request),
        **changes,
    }
    return tasks.Source(SimpleNamespace(**whole), Section(), None, "validation")  # type: ignore[arg-type]


def untitled(number: int) -> Task:
    return task(number, id=f"facts-{next(_ticks)}")


def drawn(request: Any) -> SourcePlan:
    """The tasks depend on how many there are."""
    jobs = random.Random(request.limit).sample(range(100), request.limit)
    return SourcePlan("facts", "ours", jobs, task)


def constant(pairs: Sequence[Any]) -> list[float]:
    return [1.0] * len(pairs)


class Tagged(Dialect):
    """The dialect `tiny`, to be broken."""

    def __init__(self) -> None:
        inner = dialect.load("tiny")
        super().__init__(inner.name, inner._wording, inner.digest)


class Numberless(Tagged):
    def write(self, expects: Any, ops: Any, answer: Any = None) -> str:
        return super().write(expects, [replace(op, target=op.target and 1) for op in ops], answer)


class Mumbling(Tagged):
    def answer(self, reply: str, *marks: Any) -> Any:
        return replace(super().answer(reply, *marks), tagged=False)


class Tidy(Tagged):
    def notes(self, reply: str, *marks: Any) -> Any:
        return tuple(replace(op, text=" ".join(op.text.split())) for op in super().notes(reply, *marks))


class Touchy(Tagged):
    def parse(self, reply: str, *marks: Any) -> Any:
        return super().parse(reply.encode().decode(), *marks)


def blind() -> Dialect:
    """Its prompt of a question does not show what was retrieved."""
    inner = dialect.load("tiny")
    wording = inner._wording.model_copy(update={"reader": {"question": "question : ${question}"}})
    return Dialect("blind", wording, "")


BROKEN: list[tuple[Any, Any, str]] = [
    (
        plugin.unknown_keys_are_errors,
        lambda: module(Lax),
        "Options takes a key that it does not have: der",
    ),
    (
        tasks.inputs_are_files_with_digests,
        lambda: source(inputs=lambda *_: {"a": "b"}),
        "gives {'a': 'b'}: a mapping of",
    ),
    (
        tasks.inputs_are_files_with_digests,
        lambda: source(inputs=lambda *_: {"a": f"{next(_ticks):064x}"}),
        "inputs gives something else when it is called again",
    ),
    (
        tasks.a_plan_says_what_it_is,
        lambda: source(plan=lambda _: SourcePlan("facts", "ours", range(9), task)),
        "9 jobs are planned where at most 3 are asked for",
    ),
    (
        tasks.a_plan_says_what_it_is,
        lambda: source(plan=lambda _: SourcePlan("facts", "", range(2), task)),
        "licence ''",
    ),
    (tasks.a_plan_says_what_it_is, lambda: source(plan=lambda _: None), "build gives None: a `SourcePlan` is wanted"),
    (
        tasks.tasks_are_valid,
        lambda: source(lambda n: task(n, source="other")),
        "the source 'other': an id, and the plan",
    ),
    (tasks.tasks_are_valid, lambda: source(lambda n: task(n, questions=())), "facts-0 has no question: one at least"),
    (
        tasks.tasks_are_valid,
        lambda: source(lambda n: asked(n, answers=())),
        "has the answers (): a text, and a tuple of",
    ),
    (
        tasks.tasks_are_valid,
        lambda: source(lambda n: task(n, id="same")),
        "two tasks have the id 'same': number them, runs are com",
    ),
    (
        tasks.gold_facts_stand_in_their_documents,
        lambda: source(lambda n: asked(n, supporting=(Support(1, "Ada"),))),
        "the gold fact 'Ada' does not stand in document 1: give it verbatim",
    ),
    (
        tasks.gold_facts_stand_in_their_documents,
        lambda: source(lambda n: asked(n, supporting=(Support(7, "A"),))),
        "is in document 7 of 2: they count from 0",
    ),
    (
        tasks.the_same_request_makes_the_same_tasks,
        lambda: source(untitled),
        "is another task when it is made again, aft",
    ),
    (
        tasks.a_task_depends_on_its_name_alone,
        lambda: source(plan=drawn),
        "is another task where more tasks are asked for",
    ),
    (
        tasks.jobs_go_to_other_processes,
        lambda: source(lambda n: task(number=n)),
        "make and its jobs cannot be pickled (.*): use",
    ),
    (
        tasks.tasks_can_be_written_and_read,
        lambda: source(lambda n: task(n, documents=[*task(n).documents])),
        "facts-0 is another task when it was written and read: use the types of",
    ),
    (
        rewards.each_trajectory_gets_a_finite_number,
        lambda: lambda p: [float("nan")] * len(p),
        "gets nan: a finite number",
    ),
    (
        rewards.each_trajectory_gets_a_finite_number,
        lambda: lambda p: [1.0],
        "14 trajectories get 1 numbers: one for each",
    ),
    (
        rewards.no_trajectory_is_no_work,
        lambda: lambda p: [1.0] * (len(p) or 1),
        "an empty batch gives [1.0]: an empty li",
    ),
    (
        rewards.a_reward_is_that_of_its_trajectory,
        lambda: lambda p: [1 / len(p)] * len(p),
        "gets 0.0714286 in a batch and",
    ),
    (rewards.it_needs_no_key, lambda: module(Key), "Options needs weight: give every key a default"),
    (dialects.parse_is_the_inverse_of_write, Numberless, "write puts update .* into '.*', and parse reads update 1 .*"),
    (dialects.answers_come_back, Mumbling, "the answer 'Velt' is written as '<answer> Velt </answer>' and read as"),
    (dialects.notes_come_back, Tidy, "the notes 'two\\nlines' are written as 'two\\nlines' and read as"),
    (dialects.no_reply_raises, Touchy, "`parse` raises UnicodeEncodeError: .*: what a model writes is data"),
    (
        dialects.prompts_show_what_is_asked,
        blind,
        "reader: the prompt shows no memories and no documents and no scratchp",
    ),
]


@pytest.mark.parametrize(("promise", "broken", "sentence"), BROKEN, ids=[sentence for *_, sentence in BROKEN])
def test_a_broken_promise_is_one_sentence(promise: Any, broken: Any, sentence: str) -> None:
    with pytest.raises(ContractBroken, match=pattern(sentence)) as caught:
        promises.check([promise], broken())
    assert "\n" not in str(caught.value)


def test_every_promise_is_broken_once_and_kept_without_the_fault() -> None:
    rooms = (tasks.PROMISES, rewards.PROMISES, rewards.MODULE_PROMISES, dialects.PROMISES, plugin.KEYS)
    assert {promise for promise, _, _ in BROKEN} == {*itertools.chain(*rooms)}
    promises.check(tasks.PROMISES, source())
    rewards.check(constant, module())
    dialects.check(Tagged())
    promises.check(plugin.KEYS, module())
