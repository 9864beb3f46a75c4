"""The demonstrator that looks first: sound when it is thorough, short of that when it is hasty."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from random import Random

import builders
import pytest

from atommem_cli.core.calls import Expects, Observation
from atommem_cli.core.episode import Limits
from atommem_cli.core.types import (
    Document,
    Event,
    MemoryOp,
    OpKind,
    Outcome,
    Question,
    StopReason,
    Task,
    Trajectory,
)
from atommem_cli.data import distractors
from atommem_cli.data.files import Request
from atommem_cli.policies import scripted
from atommem_cli.policies._sloppy import CAREFUL, Rates
from atommem_cli.policies._thorough import LookingDemonstrator
from atommem_cli.tasks import stream

LIMITS = Limits(reply=100, answer=20, reads=2)
NEVER = Rates(store=0.0, read=0.0, update=0.0, delete=0.0)
FACTS = {
    "mara boss joren .": Event("mara", "boss", "joren"),
    "joren home velt .": Event("joren", "home", "velt"),
    "joren now home dorn .": Event("joren", "home", "dorn"),
    "joren no home .": Event("joren", "home", None),
    "joren pet fox .": Event("joren", "pet", "fox"),
}


def play(script: str, count: int = 100) -> list[tuple[Task, Trajectory]]:
    where, by = builders.store(), builders.agent(dialect="tiny_reads", reread=True)
    tasks = [stream.generate(stream.Options(), 1, "validation", index) for index in range(count)]
    episodes = [builders.episode(task, where, by=by, k=1, size=7, limits=LIMITS) for task in tasks]
    policy = scripted.build(scripted.Options.model_validate({"script": script}))
    return list(zip(tasks, builders.rollout(where).play(policy, episodes), strict=True))


def exact_match(played: Sequence[tuple[Task, Trajectory]]) -> float:
    return sum(one.answers[0].text == task.questions[0].answers[0] for task, one in played) / len(played)


ROOM = Limits(reply=60, answer=60, reads=2)


def manage(script: str, *dropped: OpKind) -> list[tuple[Task, Trajectory]]:
    """The same with AgeMem: worlds of six statements, then six passages about others, and a small context."""
    request = Request("validation", None, 60, 1, None, None, None, Path(), lambda _: None)
    plan = distractors.add(stream.build(stream.Options(docs=6, people=2, passage=5), request), 6, 1, "stream")
    policy = scripted.build(scripted.Options.model_validate({"script": script, "tokenizer": "tiny_agemem"}))
    by, where = (
        builders.agent("agemem", dialect="tiny", retrieval="never", context_tokens=140),
        builders.store(least=0.65),
    )
    tasks = [plan.make(job) for job in plan.jobs]
    episodes = [
        builders.episode(task, where, by=by, k=1, size=7, limits=ROOM, dropped=frozenset(dropped)) for task in tasks
    ]
    for episode in episodes:
        episode.tokenizer = policy.tokenizer
    return list(zip(tasks, builders.rollout(where).play(policy, episodes), strict=True))


def says(
    statement: str,
    rates: Rates = CAREFUL,
    *,
    shown: Sequence[str] = (),
    notes: str = "",
    left: int = 2,
    answering: bool = False,
    path: str = "mara boss home",
) -> str:
    """One reply, to a chunk of one statement or to the question."""
    question = Question("q", f"{path} ?", ("velt",), path=tuple(path.split()))
    about = Task("t", "stream", (Document("", statement, FACTS[statement]),), (question,))
    by = builders.agent(dialect="tiny_reads", reread=True)
    episode = builders.episode(about, builders.store(), by=by, size=1000, limits=LIMITS)
    ops = [MemoryOp(OpKind.CREATE, text) for text in shown] + [MemoryOp(OpKind.SCRATCHPAD, notes)] * bool(notes)
    episode.memory.apply(ops, builders.vectors().vectors_for(episode.memory.texts(ops)))
    episode.memory.shown = episode.memory.entries
    place = {"question": 0} if answering else {"chunk": 0}
    expects = Expects.ANSWER if answering else Expects.OPERATIONS
    seen = Observation((), 20, expects, reads_left=left, **place)
    return LookingDemonstrator(episode, seen, rates, Random(0)).reply()


def test_with_one_entry_shown_thorough_answers_everything_and_the_others_less_than_half() -> None:
    assert exact_match(play("thorough")) == 1.0
    assert 0.3 < exact_match(play("hasty")) < 0.5
    assert exact_match(play("append_only")) < 0.5


def test_it_uses_every_operation_and_none_is_refused() -> None:
    results = [r for _, played in play("thorough") for t in played.transitions for r in t.results]
    assert {r.outcome for r in results if r.op.kind is not OpKind.READ} == {Outcome.OK}
    assert {r.outcome for r in results if r.op.kind is OpKind.READ} == {Outcome.OK, Outcome.NOOP}
    assert set(Counter(str(r.op.kind) for r in results)) == {"create", "read", "update", "delete", "scratchpad"}


def test_a_context_that_it_keeps_clear_is_worth_all_and_one_that_overflows_nothing() -> None:
    assert exact_match(manage("thorough")) > 0.95
    assert 0.2 < exact_match(manage("hasty")) < 0.5
    without = manage("thorough", OpKind.FILTER, OpKind.SUMMARIZE)
    assert {played.stop for _, played in without} == {StopReason.CONTEXT_OVERFLOW}


def test_a_passage_goes_by_the_name_of_whom_it_is_about_and_is_never_stored() -> None:
    for task, played in manage("thorough"):
        late = {document.text for document in task.documents if document.distractor}
        gone = [r.op for step in played.transitions for r in step.results if r.op.kind is OpKind.FILTER]
        assert [op.text for op in gone] == [document.text.split()[0] for document in task.documents[6:]]
        created = {r.op.text for step in played.transitions for r in step.results if r.op.kind is OpKind.CREATE}
        assert not any(text in passage for text in created for passage in late)
    hasty = Counter(r.op.kind for _, played in manage("hasty") for t in played.transitions for r in t.results)
    assert 60 * 6 * 0.05 < hasty[OpKind.SUMMARIZE] < hasty[OpKind.FILTER] < 60 * 6 * 0.25


def test_it_looks_before_it_writes() -> None:
    assert says("joren now home dorn .") == "<read> joren home </read>"
    assert says("joren now home dorn .", shown=["joren home velt"]) == "<read> joren home </read>"
    assert says("joren pet fox .") == "<read> joren pet </read>", "whatever is asked"


@pytest.mark.parametrize(
    ("statement", "shown", "reply"),
    [
        ("joren now home dorn .", ["joren home velt"], "<update> memory 1 : joren home dorn </update>"),
        ("joren no home .", ["joren home velt"], "<delete> memory 1 </delete>"),
        ("joren home velt .", ["mara boss joren"], "<create> joren home velt </create>"),
        ("joren home velt .", ["joren home velt"], ""),
        ("joren no home .", ["mara boss joren"], ""),
    ],
)
def test_then_it_changes_what_it_sees_or_writes_what_is_new(statement: str, shown: list[str], reply: str) -> None:
    assert says(statement, shown=shown, left=1) == reply


@pytest.mark.parametrize("statement", ["joren now home dorn .", "joren no home ."])
def test_its_faults_are_to_leave_what_is_outdated_and_to_store_nothing(statement: str) -> None:
    assert says(statement, NEVER, shown=["joren home velt"], left=1) == ""
    assert says("joren home velt .", NEVER) == ""


def test_the_first_hop_goes_to_the_scratchpad_while_the_second_is_looked_up() -> None:
    def answer(left: int, shown: Sequence[str] = (), notes: str = "") -> str:
        return says("joren pet fox .", left=left, shown=shown, notes=notes, answering=True)

    assert answer(2) == "<read> mara boss </read>"
    noted = "<scratchpad> mara boss joren </scratchpad>\n<read> joren home </read>"
    assert answer(1, ["mara boss joren"]) == noted
    assert answer(0, ["joren home velt"], "mara boss joren") == "<answer> velt </answer>"
    assert answer(0, ["mara boss joren"], "mara boss joren") == "<answer> unknown </answer>"
    assert answer(1, ["joren home velt"]) == "<answer> unknown </answer>", "the link is not known"
    one = says("joren pet fox .", left=1, shown=["joren home velt"], answering=True, path="joren home")
    assert one == "<answer> velt </answer>"
