"""Memory-R1: one operation for each fact, and an answer behind the entries that it needs."""

from __future__ import annotations

import json

from builders import Says, agent, episode, rollout, script, store, task

from atommem_cli.core.calls import Expects
from atommem_cli.core.types import MemoryOp, OpKind, Outcome, Trajectory

TWO = task(facts=["Ada was born in Velt.", "Bo lives in Dorn."])
ANSWER = "Bo: Dorn\n" + agent().write(Expects.ANSWER, [], "dorn")
ADD = json.dumps({"memory": [{"text": "Ada: Velt", "event": "ADD"}, {"text": "twice", "event": "ADD"}]})


def facts(*texts: str) -> str:
    return json.dumps({"facts": texts})


def played(*replies: str, **options: object) -> tuple[Trajectory, list[str]]:
    """The trajectory, and the texts in the store at its end."""
    where = store()
    one = episode(TWO, where, by=agent("memory_r1", **options), k=2)
    (trajectory,) = rollout(where).play(Says(script(*replies)), [one])
    return trajectory, [entry.text for entry in one.memory.entries]


def test_each_fact_is_looked_up_and_settled_by_one_operation() -> None:
    update = '{"memory": [{"id": 1, "text": "Ada: Quill", "event": "update"}]}'
    noop = '[{"event": "NOOP"}, {"id": "1", "event": "DELETE"}]'
    gone = '[{"event": "DELETE", "id": "1"}]'
    trajectory, held = played(facts("Ada: Velt", "Ada moved"), ADD, update, facts("Bo", "Cy"), noop, gone, ANSWER)
    steps = trajectory.transitions
    kinds = [(one.observation.expects, one.observation.chunk, one.observation.items) for one in steps]
    assert kinds[:4] == [
        (Expects.FACTS, 0, ()),
        (Expects.OPERATIONS, None, ("Ada: Velt",)),
        (Expects.OPERATIONS, None, ("Ada moved",)),
        (Expects.FACTS, 1, ()),
    ]
    assert "its id:\n1: Ada: Velt\n" in steps[2].observation.messages[-1].content
    assert 'New fact: "Ada moved"' in steps[2].observation.messages[-1].content
    done = [one.op.kind for step in steps for one in step.results if one.outcome is Outcome.OK]
    assert [kind for kind in done if kind is not OpKind.READ] == [OpKind.CREATE, OpKind.UPDATE, OpKind.DELETE]
    assert held == []
    assert trajectory.usage.calls == 8


def test_for_a_question_many_are_looked_up_and_those_that_are_needed_repeated_first() -> None:
    several = [json.dumps([{"text": f"Bo {n}", "event": "ADD"}]) for n in range(4)]
    trajectory, _ = played(facts("a", "b", "c", "d"), *several, facts(), ANSWER, retrieve=3)
    asked = trajectory.transitions[-1].observation
    assert sorted(asked.items) == ["Bo 0", "Bo 1", "Bo 2"]  # of four, three; for a fact two, as `memory.retrieve_k`
    assert asked.messages[-1].content.startswith("Some of the memories below")
    assert [answer.text for answer in trajectory.answers] == ["dorn", "dorn"]


def test_in_a_closed_vocabulary_replies_are_in_the_tags_of_the_dialect() -> None:
    by = agent("memory_r1", dialect="tiny", prompts="tags")
    chosen = [MemoryOp(OpKind.READ, "ada home velt")]
    assert by.write(Expects.ANSWER, chosen, "velt") == "<read> ada home velt </read>\n<answer> velt </answer>"
    assert by.write(Expects.FACTS, [MemoryOp(OpKind.CREATE, "ada home velt")]) == "<create> ada home velt </create>"
    said = "<create> a </create> <create> b <read> c </read> <update> memory 1 : d </update>"
    assert [op.text for op in by.parse(Expects.FACTS, said)] == ["a"]
    trajectory, held = played(
        "<create> ada home velt </create>",
        "<scratchpad> x </scratchpad> <create> ada home velt </create>",
        "<create> ada home dorn </create>",
        "<update> memory 1 : ada home dorn </update>",
        "<read> ada home dorn </read> <answer> dorn </answer>",
        dialect="tiny",
        prompts="tags",
    )
    assert held == ["ada home dorn"]
    shown = [step.observation.messages[-1].content for step in trajectory.transitions]
    assert shown[3] == "memory 1 : ada home velt\nnotes : ada home dorn"
    assert shown[4] == "memory 1 : ada home dorn\nquestion : What ends: Ada? answer"
