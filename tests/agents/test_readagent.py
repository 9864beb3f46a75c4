"""ReadAgent: gists, pages, and what is looked up."""

from __future__ import annotations

from builders import Says, agent, episode, prompt, rollout, script, store, task

from atommem_cli.core.calls import Expects
from atommem_cli.core.episode import Agent
from atommem_cli.core.types import OpKind, Trajectory
from atommem_cli.policies import scripted

TWO = task(facts=["Ada was born in Velt.", "Bo lives in Dorn."])
ANSWER = agent().write(Expects.ANSWER, [], "velt")


def played(by: Agent, *replies: str) -> Trajectory:
    where = store()
    (trajectory,) = rollout(where).play(Says(script(*replies)), [episode(TWO, where, by=by)])
    return trajectory


def test_gists_are_the_scratchpad_and_pages_come_back_where_they_are_named() -> None:
    trajectory = played(agent("readagent"), "Ada: Velt", "Bo: Dorn", "[2, 9]", ANSWER, "[]", ANSWER)
    assert [(step.observation.expects, step.observation.chunk) for step in trajectory.transitions[:3]] == [
        (Expects.NOTES, 0),
        (Expects.NOTES, 1),
        (Expects.CHOICE, None),
    ]
    assert "Page 1: Ada: Velt\nPage 2: Bo: Dorn" in prompt(trajectory, 2)
    assert "lives in" in prompt(trajectory, 3)
    assert "was born" not in prompt(trajectory, 3)  # a page that nobody named
    assert "Page 1: Ada: Velt" in prompt(trajectory, 3)
    assert "lives in" not in prompt(trajectory, 5)  # of the other question
    assert trajectory.answers[0].text == "velt"
    kinds = [result.op.kind for step in trajectory.transitions for result in step.results]
    assert kinds == [OpKind.CREATE, OpKind.SCRATCHPAD] * 2


def test_one_at_a_time_each_page_is_seen_before_the_next_is_named() -> None:
    by = agent("readagent", lookup="sequential")
    trajectory = played(by, "a", "b", "[1]", "[2]", ANSWER, "[1]", "nothing more", ANSWER)
    assert "Pages looked up already:" not in prompt(trajectory, 2)
    assert "was born" in prompt(trajectory, 3)
    assert "was born" in prompt(trajectory, 4)
    assert "lives in" in prompt(trajectory, 4)
    assert "lives in" not in prompt(trajectory, 7)
    assert trajectory.usage.calls == 8


def test_a_page_without_a_gist_is_there_all_the_same() -> None:
    trajectory = played(agent("readagent"), "", "b", "[1]", ANSWER, "[1]", ANSWER)
    assert "Page 1: \nPage 2: b" in prompt(trajectory, 2)
    assert "was born" in prompt(trajectory, 3)


def test_a_script_writes_no_gist_of_what_its_page_does_not_show() -> None:
    by, where = scripted.build(scripted.Options(script="append_only")), store()
    (trajectory,) = rollout(where).play(by, [episode(TWO, where, by=agent("readagent"))])
    assert "Page 1: Ada was born in Velt.\nPage 2: Bo lives in Dorn." in prompt(trajectory, 2)
