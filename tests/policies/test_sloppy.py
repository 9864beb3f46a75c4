"""The demonstrator: sound when it is careful, short of that when it is sloppy, blind to what its prompt hides."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from random import Random

import builders
import pytest
import raw_records

from atommem_cli.config import recipe as recipes
from atommem_cli.core.calls import Expects, Observation
from atommem_cli.core.episode import Call, Episode, Limits
from atommem_cli.core.errors import UsageError
from atommem_cli.core.types import Document, Event, MemoryOp, OpKind, Outcome, Question, Task, Trajectory
from atommem_cli.data import preparation
from atommem_cli.policies import scripted
from atommem_cli.policies._sloppy import CAREFUL, SLOPPY, Demonstrator, Rates
from atommem_cli.running import evaluation
from atommem_cli.tasks import stream

LIMITS = Limits(reply=100, answer=20, reads=1)
NEVER = Rates(store=0.0, read=0.0, update=0.0, delete=0.0)
FACTS = {
    "mara boss joren .": Event("mara", "boss", "joren"),
    "joren home velt .": Event("joren", "home", "velt"),
    "mara home quill .": Event("mara", "home", "quill"),
    "joren now home dorn .": Event("joren", "home", "dorn"),
    "joren no home .": Event("joren", "home", None),
    "joren pet fox .": Event("joren", "pet", "fox"),
}


def world(*statements: str, path: str = "mara boss home") -> Task:
    documents = tuple(Document("", text, FACTS[text]) for text in statements)
    question = Question("q", f"{path} ?", ("velt",), path=tuple(path.split()))
    return Task("t", "stream", documents, (question,))


def says(
    about: Task,
    rates: Rates = CAREFUL,
    *,
    shown: Sequence[str] = (),
    hidden: Sequence[str] = (),
    query: str = "",
    answering: bool = False,
    seed: int = 0,
) -> str:
    """One reply, to the first chunk (which holds everything) or to the question."""
    episode = builders.episode(about, builders.store(), by=builders.agent(dialect="tiny"), size=1000)
    memory = episode.memory
    ops = [*(MemoryOp(OpKind.CREATE, text) for text in [*shown, *hidden]), MemoryOp(OpKind.READ, query)]
    memory.apply(ops, builders.vectors().vectors_for(memory.texts(ops)))
    memory.shown = memory.entries[: len(shown)]
    place = {"question": 0} if answering else {"chunk": 0}
    expects = Expects.ANSWER if answering else Expects.OPERATIONS
    return Demonstrator(episode, Observation((), 20, expects, **place), rates, Random(seed)).reply()


def play(script: str, count: int = 200, seed: int = 1) -> list[tuple[Task, Trajectory]]:
    where = builders.store()
    by = builders.agent(dialect="tiny")
    tasks = [stream.generate(stream.Options(), seed, "validation", index) for index in range(count)]
    episodes = [builders.episode(task, where, by=by, k=4, size=8, limits=LIMITS) for task in tasks]
    policy = scripted.build(scripted.Options.model_validate({"script": script}))
    return list(zip(tasks, builders.rollout(where).play(policy, episodes), strict=True))


def exact_match(played: Sequence[tuple[Task, Trajectory]]) -> float:
    right = [trajectory.answers[0].text == task.questions[0].answers[0] for task, trajectory in played]
    return sum(right) / len(right)


def test_careful_answers_everything_and_sloppy_less_than_half() -> None:
    assert exact_match(play("careful")) == 1.0
    assert 0.3 < exact_match(play("sloppy")) < 0.5


@pytest.mark.parametrize("script", ["careful", "sloppy"])
def test_every_operation_is_used_and_none_is_refused(script: str) -> None:
    results = [r for _, played in play(script) for t in played.transitions for r in t.results]
    assert {r.outcome for r in results} == {Outcome.OK}
    assert set(Counter(str(r.op.kind) for r in results)) == {"create", "read", "update", "delete"}


def test_what_may_lie_on_the_path_is_stored_in_one_form() -> None:
    everything = world("mara boss joren .", "joren home velt .", "mara home quill .", "joren pet fox .")
    assert says(everything, query="mara boss home") == (
        "<create> mara boss joren </create>\n<create> joren home velt </create>"
    )


def test_it_asks_for_its_entries_once() -> None:
    nothing = world("joren pet fox .")
    assert says(nothing) == "<read> mara boss home </read>"
    assert says(nothing, query="mara boss home") == ""


def test_what_is_shown_is_updated_or_deleted_by_its_number() -> None:
    shown = ["mara boss joren", "joren home velt"]
    changed, gone = world("joren now home dorn ."), world("joren no home .")
    assert says(changed, shown=shown, query="x") == "<update> memory 2 : joren home dorn </update>"
    assert says(gone, shown=shown, query="x") == "<delete> memory 2 </delete>"
    assert says(world("joren home velt ."), shown=shown, query="x") == "", "said again, nothing changes"


def test_its_faults_are_a_second_entry_and_an_entry_that_stays() -> None:
    shown = ["joren home velt"]
    assert says(world("joren now home dorn ."), NEVER, shown=shown, query="x") == "<create> joren home dorn </create>"
    assert says(world("joren no home ."), NEVER, shown=shown, query="x") == ""
    assert says(world("mara boss joren ."), NEVER, query="x") == ""


def test_the_last_word_of_a_chunk_counts() -> None:
    both = world("joren home velt .", "joren now home dorn .")
    assert says(both, query="x") == "<create> joren home dorn </create>"
    assert says(world("joren home velt .", "joren no home ."), query="x") == ""


def test_the_second_hop_is_looked_up_and_then_answered() -> None:
    about = world("mara boss joren .")
    first = {"shown": ["mara boss joren", "joren home velt"], "query": "mara boss home", "answering": True}
    assert says(about, **first) == "<read> joren home </read>"  # type: ignore[arg-type]
    second = {**first, "shown": ["joren home velt", "joren home dorn"], "query": "joren home"}
    assert says(about, **second) == "<answer> velt </answer>", "the best-ranked entry is believed"  # type: ignore[arg-type]
    assert says(about, query="mara boss home", answering=True) == "<answer> unknown </answer>"


def test_one_hop_is_answered_at_once() -> None:
    about = world("mara home quill .", path="mara home")
    assert says(about, shown=["mara home quill"], query="mara home", answering=True) == "<answer> quill </answer>"


@pytest.mark.parametrize("answering", [False, True])
def test_it_decides_from_what_its_prompt_shows_alone(answering: bool) -> None:
    """Entries it does not see, statements of later chunks and the gold answer change nothing."""
    about = world("mara boss joren .", "joren now home dorn .")
    later = replace(
        about,
        documents=(*about.documents, Document("", "joren no home .", FACTS["joren no home ."])),
        questions=(replace(about.questions[0], answers=("unknown",)),),
    )
    place = {"shown": ["mara boss joren"], "query": "mara boss home", "answering": answering}
    for seed in range(20):
        plain = says(about, SLOPPY, seed=seed, **place)  # type: ignore[arg-type]
        assert says(about, SLOPPY, seed=seed, hidden=["joren home velt"], **place) == plain  # type: ignore[arg-type]
    first, second = (_first_chunk(task) for task in (about, later))
    assert first.chunks[0].text == second.chunks[0].text == "mara boss joren .\njoren now home dorn ."
    seen = Observation((), 20, Expects.OPERATIONS, chunk=0)
    assert (
        Demonstrator(first, seen, CAREFUL, Random(0)).reply() == Demonstrator(second, seen, CAREFUL, Random(0)).reply()
    )


def _first_chunk(about: Task) -> Episode:
    return builders.episode(about, builders.store(), by=builders.agent(dialect="tiny"), size=9)


def test_a_reply_depends_on_the_call_alone() -> None:
    policy = scripted.build(scripted.Options(script="sloppy"))
    episode = builders.episode(world("mara boss joren ."), builders.store(), by=builders.agent(dialect="tiny"))
    calls = [Call(episode, Observation((), 20, Expects.OPERATIONS, chunk=0), seed) for seed in range(200)]
    replies = [reply.text for reply in policy.generate(calls)]
    assert [policy.generate([call])[0].text for call in reversed(calls)] == replies[::-1]
    stored = sum("<create>" in reply for reply in replies) / len(replies)
    assert stored == pytest.approx(SLOPPY.store, abs=0.1)


@pytest.mark.parametrize("name", ["memagent", "rag", "full_context", "closed_book"])
def test_agents_that_do_not_ask_again_get_an_answer_at_once(name: str) -> None:
    where = builders.store()
    episode = builders.episode(world("mara boss joren ."), where, by=builders.agent(name, dialect="tiny"))
    policy = scripted.build(scripted.Options(script="careful"))
    (played,) = builders.rollout(where).play(policy, [episode])
    assert [answer.text for answer in played.answers] == ["unknown"]


def test_tasks_that_it_does_not_know_are_refused_before_a_folder_is_made(tmp_path: Path) -> None:
    raw_records.write(tmp_path / "raw/validation.jsonl", [raw_records.hotpot(number) for number in range(3)])
    preparation.prepare("hotpotqa", source=str(tmp_path / "raw"), out=tmp_path / "tasks", options={"docs": 6})
    changes = [f"task.folder={tmp_path / 'tasks'}", "policy={name: scripted, script: sloppy}"]
    with pytest.raises(UsageError, match=r"policy\.script: sloppy knows tasks of `stream` alone, not hotpotqa"):
        evaluation.evaluate(recipes.load("smoke", changes), tmp_path / "run")
    assert not (tmp_path / "run").exists()
