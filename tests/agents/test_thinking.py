"""What a model thinks is no note, no operation and no answer, for any agent."""

from __future__ import annotations

import pytest
from builders import Says, agent, episode, rollout, script, store, task

from atommem_cli.core.types import OpKind, Trajectory

ONE = task(facts=["Ada was born in Velt."])


def played(name: str, *replies: str, **options: object) -> Trajectory:
    where = store()
    by = agent(name, **options)
    (trajectory,) = rollout(where).play(Says(script(*replies)), [episode(ONE, where, by=by)])
    return trajectory


@pytest.mark.parametrize(
    "thought", ["<think>X is Y</think>", "X is Y</think>", "<thinking>X</thinking>", "[THINK]X[/THINK]"]
)
def test_memagent_keeps_its_notes_without_the_thought(thought: str) -> None:
    trajectory = played("memagent", f"{thought}\nAda: Velt", f"{thought}<answer>Velt</answer>")
    prompt = trajectory.transitions[1].observation.messages[0].content
    assert "Ada: Velt" in prompt
    assert "X" not in prompt
    assert trajectory.answers[0].text == "Velt"


@pytest.mark.parametrize("reply", ["", " \n", "<think>cut at its limit", "<think>all</think>"])
def test_memagent_keeps_its_old_notes_where_a_reply_says_nothing(reply: str) -> None:
    where = store()
    two = task(facts=["Ada was born in Velt.", "Bo lives in Dorn."])
    says = Says(script("Ada: Velt", reply, "<answer>Velt</answer>"))
    (trajectory,) = rollout(where).play(says, [episode(two, where, by=agent("memagent"))])
    assert len(trajectory.transitions) == 4
    assert trajectory.transitions[1].results == ()
    assert "Your scratchpad:\nAda: Velt" in trajectory.transitions[2].observation.messages[0].content


def test_drafts_in_a_thought_are_never_run_and_answers_hold_none() -> None:
    draft = "<create_memory>WRONG DRAFT</create_memory> <answer>Rome</answer> hm</think>"
    trajectory = played("atommem", f"{draft}<create_memory>Ada: Velt</create_memory>", f"{draft} Velt")
    ops = [r.op for step in trajectory.transitions for r in step.results]
    assert [(op.kind, op.text) for op in ops] == [(OpKind.CREATE, "Ada: Velt")]
    assert trajectory.answers[0].text == "Velt"
    assert trajectory.answers[0].reply == " Velt"


@pytest.mark.parametrize("name", ["rag", "full_context", "closed_book"])
def test_the_answer_of_every_agent_is_what_it_says(name: str) -> None:
    assert played(name, "Rome?</think>Velt").answers[0].text == "Velt"
    assert played(name, "<reasoning>Rome").answers[0].text == ""
