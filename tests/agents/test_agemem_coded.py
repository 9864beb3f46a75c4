"""AgeMem as its authors coded it, where that differs from their paper (papers.md 2.5)."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from builders import Says, agent, rollout, script, store, task
from hypothesis import given
from hypothesis import strategies as st

from atommem_cli.agents._agemem_sentences import Beginnings
from atommem_cli.config import recipe as recipes
from atommem_cli.core.calls import Expects
from atommem_cli.core.chunking import WordTokenizer, chunk_documents
from atommem_cli.core.episode import Call, Episode, Limits
from atommem_cli.core.memory import Memory
from atommem_cli.core.store import Store
from atommem_cli.core.types import Document, StopReason, Task, Trajectory
from atommem_cli.core.workload import Shape
from atommem_cli.data import preparation
from atommem_cli.replay import replay
from atommem_cli.running.costing import bound_episode
from atommem_cli.running.evaluation import evaluate
from atommem_cli.runs.reader import Run

CODED: dict[str, Any] = {
    "version": "coded",
    "retrieval": "never",
    "again": "calls",
    "sentences": 10,
    "counting": "characters",
    "context_share": 0.8,
    "overflow": "stage",
    "filter": "helper",
    "summary": "helper",
    "results": "tool",
}
ANSWER = "<answer>Velt</answer>"
LONG = " ".join(f"Sentence {n} is about Ada." for n in range(1, 16))


def about() -> Task:
    made = task()
    contexts = (Document("Ada", LONG), Document("Bo", "Bo lives in Dorn. He likes it."))
    late = (Document("Rain", "Rain falls.", distractor=True), Document("Snow", "Snow lies.", distractor=True))
    return replace(made, documents=(*contexts, *late), questions=made.questions[:1])


def play(by: Any, played: Task, size: int = 10_000, where: Store | None = None) -> Episode:
    chunks, _ = chunk_documents(played.documents, WordTokenizer(), size=size, overlap=0, by="documents")
    memory = Memory(f"{played.id}#0", where or store(), k=3, addressing="seen")
    return Episode(played, chunks, memory, by, WordTokenizer(), Limits(reply=100, answer=60, reads=4))


def played(say: Callable[[Call], str], *, stop: StopReason = StopReason.ANSWERED, **changed: Any) -> Trajectory:
    asked = [Says(lambda _: "In short: Ada."), Says(lambda _: '{"2": 1.0}')]
    helpers = dict(zip(("summary", "filter"), asked, strict=True))
    where = store()
    episode = play(agent("agemem", **{**CODED, **changed}), about(), where=where)
    (trajectory,) = rollout(where, helpers=helpers).play(Says(say), [episode])
    assert trajectory.stop is stop
    return trajectory


def calls(name: str, **arguments: Any) -> str:
    return f"<tool_call>{json.dumps([{'name': name, 'arguments': arguments}])}</tool_call>"


def told(trajectory: Trajectory, step: int) -> list[str]:
    return [message.content for message in trajectory.transitions[step].observation.messages]


def test_all_contexts_are_one_message_of_ten_sentences_each() -> None:
    whole = played(script(ANSWER, ANSWER, ANSWER))
    first = told(whole, 0)[1]
    assert "Sentence 10 is about Ada.\n" in first
    assert "Sentence 11" not in first
    assert first.index("Document 1:\nAda") < first.index("Document 2:\nBo\nBo lives in Dorn. He likes it.")
    assert "Rain" not in first
    assert [step.observation.chunk for step in whole.transitions] == [0, 1, None]
    gone = " ".join(f"Sentence {n} is about Ada." for n in range(11, 16))
    assert whole.truncated_tokens == len(WordTokenizer().spans(gone))
    assert played(script(ANSWER), sentences=None).truncated_tokens == 0


def test_nothing_is_retrieved_by_itself() -> None:
    whole = played(script(calls("Add_memory", content="Ada: Velt"), ANSWER, ANSWER, ANSWER))
    assert whole.opening == ()
    assert not any(r.op.kind == "read" for step in whole.transitions for r in step.results)


def test_a_stage_has_five_rounds_as_long_as_tools_are_called() -> None:
    def say(call: Call) -> str:
        return calls("Add_memory", content=f"{call.episode.memory.peak}") if call.episode else ""

    whole = played(say)
    asked = [(step.observation.chunk, step.observation.reads_left) for step in whole.transitions]
    assert asked == [(at, left) for at in (0, 1, 2, None) for left in (4, 3, 2, 1, 0)]
    assert [message.role for message in whole.transitions[1].observation.messages[2:]] == ["assistant", "tool", "user"]
    assert [s.observation.chunk for s in played(script("", "", "", ANSWER)).transitions] == [0, 1, 2, None]
    assert [s.observation.chunk for s in played(script(ANSWER)).transitions] == [0, 1, None]
    assert [s.observation.chunk for s in played(say, again="reads").transitions][:3] == [0, 1, 2]


def test_refused_calls_take_a_round_too() -> None:
    whole = played(script(calls("Fly"), ANSWER))
    assert [step.observation.chunk for step in whole.transitions] == [0, 0, 1, None]


def test_the_context_is_full_beyond_its_share_of_characters_by_four() -> None:
    short: dict[str, Any] = {"overflow": "episode", "sentences": 1}
    *others, last = (sum(map(len, told(played(script("", "", "", ANSWER), **short), step))) for step in range(4))
    assert last > max(others)
    fits = math.ceil(last / 4 / 0.8)
    whole = played(script("", "", "", ANSWER), **short, context_tokens=fits)
    assert (whole.transitions[3].observation.room, whole.transitions[3].observation.limit) == (
        0,
        math.floor(0.8 * fits),
    )
    over = played(script("", ""), **short, context_tokens=fits - 1, stop=StopReason.CONTEXT_OVERFLOW)
    assert over.transitions[3].observation.room == -1


def test_a_full_context_ends_the_stage() -> None:
    free = played(script("", "", "", ANSWER))
    before = sum(map(len, told(free, 0))) / 4
    whole = played(script(calls("Add_memory", content="x" * 400), "", ANSWER), context_tokens=int(before) + 60,
                   context_share=1.0)  # fmt: skip
    asked = [step.observation.chunk for step in whole.transitions]
    assert asked[:2] == [0, 1]  # the second round of stage 1 had no room
    ended = played(
        script(calls("Add_memory", content="x" * 400)), context_tokens=int(before) + 60, context_share=1.0,
        overflow="episode", stop=StopReason.CONTEXT_OVERFLOW,
    )  # fmt: skip
    assert [step.observation.chunk for step in ended.transitions] == [0, 0]


def test_other_models_filter_and_sum_up() -> None:
    def say(call: Call) -> str:
        if call.observation.question is not None:
            return ANSWER
        if call.observation.chunk == 0:
            return ANSWER
        tool = {4: ("Clear_context", {"criteria": "rain"}), 3: ("Summary_context", {"span": "all"})}
        name, arguments = tool.get(call.observation.reads_left, ("", {}))
        return calls(name, **arguments) if name else ANSWER

    whole = played(say)
    assert [step.to for step in whole.transitions[1:5]] == ["policy", "filter", "policy", "summary"]
    assert all(step.observation.expects is Expects.NOTES for step in whole.transitions if step.to != "policy")


@given(st.text(alphabet="ab.!? \n\"')", max_size=60), st.integers(1, 4), st.integers(1, 12))
def test_what_is_kept_is_a_beginning_with_so_many_ends(text: str, most: int, size: int) -> None:
    made = replace(task(), documents=(Document("", "x"), Document("T", text or "y"), Document("", "z")))
    episode = play(agent("agemem"), made, size)
    shown = [Beginnings(episode, most).of(chunk) for chunk in episode.chunks]
    assert "".join(shown).count("z") == 1
    whole = "".join(chunk.text for chunk in episode.chunks)
    whole, cut = ("".join(one.split()) for one in (whole, "".join(shown)))
    at = 0
    for letter in cut:  # nothing is added, and the order stays
        at = whole.index(letter, at) + 1


def test_runs_of_it_are_bounded_and_replayed(tmp_path: Path) -> None:
    tools = {"name": str(Path(__file__).parents[1] / "support" / "tool_calls.py")}
    options = {"docs": 8, "questions": 1, "style": "rich"}
    preparation.prepare("stream", out=tmp_path, split="validation", options=options, distractors=3, limit=8)
    content: dict[str, Any] = {
        "name": "coded",
        "task": {"folder": str(tmp_path)},
        "chunk": {"tokens": 100_000, "overlap": 0, "by": "documents", "most": None},
        "memory": {"retrieve_k": 3},
        "limits": {"reply": 400, "answer": 400, "reads": 4},
        "agent": {"name": "agemem", **CODED, "context_tokens": 1_500},
        "policy": tools,
        "helpers": {"filter": tools, "summary": tools},
        "store": {"name": "exact"},
        "embedder": {"name": "hashing"},
    }
    chosen = recipes.resolve(content, [], origin="coded")
    assert recipes.resolve(chosen.model_dump(mode="json"), [], origin="coded") == chosen
    evaluate(chosen, tmp_path / "run")
    assert replay.verify(Run(tmp_path / "run")).findings == ()
    lines = [json.loads(line) for line in (tmp_path / "run" / "episodes.jsonl").open()]
    bound = bound_episode(chosen, agent("agemem", **CODED), Shape(4, 4, 1))
    assert all(line["chunks"] == 4 and line["usage"]["calls"] <= bound.calls_high for line in lines)


def test_defaults_say_nothing_of_it() -> None:
    told: Any = agent("agemem")
    assert not {"again", "sentences", "counting", "context_share", "overflow"} & {*told.options.model_dump()}
