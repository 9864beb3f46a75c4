"""What AgeMem's paper pays and what its code pays for the same episodes: kinds of an audit, values worked out by hand.

Two facts are read in stage 1 and two distractors in stage 2, one message each; then the question. Of the code's final
context, replies of stages 2 and 3 are part alone.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any

import pytest
from builders import Says, agent, episode, rollout, script, store, task

from atommem_cli.core.episode import Limits
from atommem_cli.core.types import Document, OpKind, StopReason, Task, Trajectory
from atommem_cli.running.player import Budget
from atommem_cli.scoring import rewards

FACT, OTHER = "Ada was born in Velt.", "Bo lives in Dorn."
RAIN = "Rain falls over the hill."


def call(name: str, **arguments: Any) -> dict[str, Any]:
    return {"name": name, "arguments": arguments}


def calls(*made: dict[str, Any]) -> str:
    return f"<tool_call>{json.dumps(made)}</tool_call>"


def adds(*texts: str) -> str:
    return calls(*(call("Add_memory", content=text) for text in texts))


NONE, ANSWER = calls(), "<answer>Velt</answer>"
SILENT = (NONE, NONE, NONE, NONE)
"""Replies of stages 1 and 2."""
WORSE = call("Update_memory", memory_id=7, content=FACT)
NOTHING_NEAR = call("Filter_context", criteria="zzz")


def look(k: int) -> str:
    return calls(call("Retrieve_memory", query=FACT, top_k=k))


def often(text: str, times: int) -> list[str]:
    return [f"{'So ' * n}{text}" for n in range(times)]


def stream(questions: int = 1) -> Task:
    made = task(facts=(FACT, OTHER))
    late = (Document("", RAIN, distractor=True), Document("", "Snow lies.", distractor=True))
    return Task(made.id, made.source, (*made.documents, *late), made.questions[:questions])


@dataclass
class Case:
    """An episode, and what its parts are worth."""

    replies: tuple[str, ...]
    paper: dict[str, float]
    coded: dict[str, float]
    questions: int = 1
    dropped: frozenset[OpKind] = frozenset()
    agent: dict[str, Any] = field(default_factory=dict)
    budget: Budget = field(default_factory=Budget)
    stop: StopReason = StopReason.ANSWERED


def played(case: Case) -> tuple[Task, Trajectory]:
    where, about = store(), stream(case.questions)
    by = agent("agemem", **{"context_tokens": 2000, **case.agent})
    limits = Limits(reply=200, answer=60, reads=3)
    one = episode(about, where, by=by, size=5, dropped=case.dropped, limits=limits)
    (trajectory,) = rollout(where, budget=case.budget).play(Says(script(*case.replies)), [one])
    assert trajectory.stop is case.stop
    return about, trajectory


def worth(name: str, pair: tuple[Task, Trajectory]) -> float:
    (value,) = rewards.of(name)([pair])
    return value


THOUGHT = "<think>No Retrieve_memory, no Filter_context, no Add_memory.</think>"
AUDIT = {
    # maintenance
    "an update of an entry that is not there": Case(
        (*SILENT, calls(WORSE), ANSWER), {"maintenance": 0}, {"maintenance": 1}
    ),
    "a delete that is not confirmed": Case(
        (adds(FACT), NONE, NONE, NONE, look(1), calls(call("Delete_memory", memory_id=1, confirmation=False)), ANSWER),
        {"maintenance": 0, "storage": 1},
        {"maintenance": 1, "storage": 0},
    ),
    "the words of the report, in a thought": Case(
        (*SILENT, f"<think>memory_updated: True</think>{ANSWER}"), {"maintenance": 0}, {"maintenance": 1}
    ),
    "a correction in stage 1": Case(
        (adds("Ada was born in Dorn."), calls(call("Update_memory", memory_id=1, content=FACT)), NONE, NONE, ANSWER),
        {"maintenance": 1, "storage": 1},
        {"maintenance": 0, "storage": 0},
    ),
    # context
    "a tool of the context, named in a thought": Case(
        (*SILENT, f"<think>no Filter_context</think>{ANSWER}"),
        {"preventive": 0},
        {"preventive": 1, "tool": 0.2 + 0.2 + 0.2},  # one call in three replies
    ),
    "a filter that finds nothing": Case(
        (*SILENT, calls(NOTHING_NEAR), ANSWER), {"preventive": 0}, {"preventive": 1}
    ),
    "a filter in stage 1": Case(
        (NONE, calls(call("Filter_context", messages=[2])), NONE, NONE, ANSWER), {"preventive": 1}, {"preventive": 0}
    ),
    "the question itself filtered out with the answer": Case(
        # Message 1 is the instructions, 2 to 5 stage 1, 6 to 9 stage 2.
        (*SILENT, f"{calls(call('Filter_context', messages=[10]))}{ANSWER}"),
        {"preservation": 0, "preventive": 1},
        {"preservation": 1, "preventive": 1},
    ),
    "a filter, and an overflow all the same": Case(
        (NONE, NONE, calls(call("Filter_context", messages=[6])), "raining " * 900, ANSWER),
        {"preventive": 1, "compression": 0, "task": -1},
        {"preventive": 0, "compression": 0},
        agent={"context_tokens": 900},
        stop=StopReason.CONTEXT_OVERFLOW,
    ),
    # storage
    "adds of stage 1": Case((adds(FACT), NONE, NONE, NONE, ANSWER), {"storage": 1}, {"storage": 0}),
    "one fact added three times": Case(
        (NONE, NONE, adds(*often(FACT, 3)), NONE, ANSWER), {"storage": 1 / 3, "coverage": 1}, {"storage": 1}
    ),
    "adds beyond the tenth": Case(
        (NONE, NONE, adds(*often(FACT, 10), *often(RAIN, 10)), NONE, ANSWER), {"storage": 1 / 20}, {"storage": 1}
    ),
    "an add that is refused": Case(
        (NONE, NONE, adds(FACT), NONE, ANSWER),
        {"storage": 0},
        {"storage": 1},
        dropped=frozenset({OpKind.CREATE}),
    ),
    "one fact of two": Case(
        (NONE, NONE, adds(FACT), NONE, ANSWER, ANSWER),
        {"storage": 0.5, "precision": 1, "coverage": 0.5, "task": 0.5},
        {"storage": 1},
        questions=2,
    ),
    "added, and deleted before the question": Case(
        (NONE, NONE, adds(FACT), calls(call("Delete_memory", memory_id=1, confirmation=True)), ANSWER),
        {"storage": 0, "precision": 1, "maintenance": 1},
        {"storage": 1, "maintenance": 1},
    ),
    # retrieval
    "the good entry shown again and again": Case(
        (adds(FACT, RAIN), NONE, NONE, NONE, look(1), look(1), look(2), ANSWER),
        {"relevance": 0.5},
        {"relevance": 3 / 4},
        agent={"retrieval": "never"},
    ),
    # the code's reward for tools, which the paper has not
    "names of tools that no call is made of": Case(
        (*SILENT, f"{THOUGHT}{ANSWER}"), {}, {"tool": 0.2 + 0.2 + 0.2 + 0.1 + 0.2}
    ),
    "a call without effect in each reply": Case(
        (NONE, NONE, calls(WORSE), calls(WORSE), calls(WORSE), ANSWER), {"maintenance": 0}, {"tool": 0.2 + 0.2 / 3}
    ),
    "much work in few replies": Case(
        (NONE, NONE, f"{adds(*often(FACT, 9), RAIN)}<answer>ready</answer>", ANSWER),
        {"coverage": 1},
        {"tool": -0.1 + 0.1 + 0.2 / 10},
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", AUDIT)
def test_what_the_code_pays_and_the_paper_does_not(kind: str) -> None:
    pair = played(AUDIT[kind])
    found = {name: worth(f"agemem_{name}", pair) for name in AUDIT[kind].paper}
    assert found == pytest.approx(AUDIT[kind].paper)
    told = {name: worth(f"agemem_coded_{name}", pair) for name in AUDIT[kind].coded}
    assert told == pytest.approx(AUDIT[kind].coded)


def test_the_room_that_is_left_is_counted_in_tokens_or_guessed_from_characters() -> None:
    """Words of one letter are four times as many tokens as the code believes."""
    pair = played(Case((*SILENT, ANSWER), {}, {}, agent={"context_tokens": 600}))
    prompt = pair[1].transitions[-1].observation.messages
    words = sum(len(re.findall(r"\w+|[^\w\s]", message.content)) for message in prompt)
    said = "\n".join([*(message.content for message in prompt), ANSWER])
    assert worth("agemem_compression", pair) == pytest.approx(1 - words / 600)
    assert worth("agemem_coded_compression", pair) == pytest.approx(1 - len(said) / 4 / 600)


def test_the_composites_are_their_parts_weighed() -> None:
    """Stage 1 writes the fact and corrects it; a Filter in stage 2; the question is looked up and answered."""
    correct = calls(call("Update_memory", memory_id=1, content=FACT), call("Add_memory", content=RAIN))
    tidy = calls(call("Filter_context", messages=[6]))
    pair = played(Case((adds("Ada was born in Dorn."), correct, NONE, tidy, look(1), ANSWER), {}, {}))
    parts = {name: worth(name, pair) for name in rewards.with_parts({"agemem_paper": 1.0, "agemem_coded": 0.0})}
    paper = {"task": 1, "preventive": 1, "preservation": 1, "precision": 1 / 2, "coverage": 1, "storage": 1 / 2}
    paper |= {"maintenance": 1, "relevance": 1}
    assert {name: parts[f"agemem_{name}"] for name in paper} == paper
    coded = {"preventive": 1, "preservation": 1, "storage": 0, "maintenance": 0, "relevance": 1}
    assert {name: parts[f"agemem_coded_{name}"] for name in coded} == coded
    # Stages 2 and 3 have four replies, with a Filter and a Retrieve.
    assert parts["agemem_coded_tool"] == pytest.approx(0.2 + 0.2 + 0.2 + 0.2)
    context = (parts["agemem_compression"] + 1 + 1) / 3
    assert parts["agemem_paper"] == pytest.approx((1 + context + (1 / 2 + 1 + 1) / 3) / 3)
    context = (parts["agemem_coded_compression"] + 1 + 1) / 3
    assert parts["agemem_coded"] == pytest.approx(0.5 + 0.2 * 0.8 + 0.15 * context + 0.15 * (0 + 0 + 1) / 3)


def test_what_falls_below_is_clipped_in_the_code_alone() -> None:
    """The rounds run out in stage 2: nothing is answered (-1), and -1 beside it."""
    cut = {"budget": Budget(calls=3), "stop": StopReason.STEP_LIMIT}
    pairs = [played(Case((reply,), {}, {}, **cut)) for reply in (NONE, calls(NOTHING_NEAR))]
    assert [worth("agemem_task", pair) for pair in pairs] == [worth("budget", pair) for pair in pairs] == [-1, -1]
    assert [worth("agemem_paper", pair) for pair in pairs] == pytest.approx([-4 / 3, -4 / 3])
    assert [worth("agemem_coded_tool", pair) for pair in pairs] == pytest.approx([0, 0.6])
    assert [worth("agemem_coded", pair) for pair in pairs] == [-1, -1]


def test_a_composite_is_told_with_all_its_parts() -> None:
    told = rewards.with_parts({"agemem_coded": 1.0, "agemem_task": 0.5})
    assert told == {"agemem_coded": 1.0, "agemem_task": 0.5} | dict.fromkeys(
        ("agemem_coded_tool", "agemem_coded_compression", "agemem_coded_preventive", "agemem_coded_preservation",
         "agemem_coded_storage", "agemem_coded_maintenance", "agemem_coded_relevance", "budget"), 0.0)  # fmt: skip
    assert list(told)[:2] == ["agemem_coded", "agemem_task"]
    assert rewards.with_parts({"em": 1.0}) == {"em": 1.0}
