"""Mem0: facts, what is looked up for them, and what becomes of the memory; each of its quirks, as it is and mended."""

from __future__ import annotations

import json

import pytest
from builders import Says, agent, episode, rollout, script, store, task

from atommem_cli.core.calls import Expects
from atommem_cli.core.types import OpKind, Outcome, Trajectory

TWO = task(facts=["Ada was born in Velt.", "Bo lives in Dorn."])
ANSWER = agent().write(Expects.ANSWER, [], "velt")
NOTHING = ""


def facts(*texts: object) -> str:
    return json.dumps({"facts": texts})


def events(*items: dict[str, object]) -> str:
    return json.dumps({"memory": items})


def played(*replies: str, helper: Says | None = None, **options: object) -> tuple[Trajectory, list[str]]:
    """The trajectory, and the texts in the store at its end."""
    where = store()
    one = episode(TWO, where, by=agent("mem0", **options))
    helpers = {} if helper is None else {"extractor": helper}
    (trajectory,) = rollout(where, helpers=helpers).play(Says(script(*replies, ANSWER)), [one])
    return trajectory, [entry.text for entry in one.memory.entries]


def outcomes(trajectory: Trajectory) -> list[tuple[OpKind, Outcome]]:
    done = [result for step in trajectory.transitions for result in step.results]
    return [(one.op.kind, one.outcome) for one in done if one.op.kind is not OpKind.READ]


ADDED = events({"id": "0", "text": "Ada: Velt", "event": "ADD"}, {"id": "1", "text": "Bo: Dorn", "event": "ADD"})


def test_facts_are_looked_up_one_by_one_and_settled_in_one_call() -> None:
    changes = events(
        {"id": "1", "text": "Ada: Quill", "event": "UPDATE", "old_memory": "Ada: Velt"},
        {"id": "0", "text": "Bo: Dorn", "event": "DELETE"},
        {"id": "7", "text": "Cy: Fenn", "event": "ADD"},
        {"id": "0", "text": "Bo: Dorn", "event": "NONE"},
    )
    trajectory, held = played(facts("Ada: Velt", "Bo: Dorn"), ADDED, facts("Bo moved", "Ada moved"), changes)
    steps = trajectory.transitions
    assert [(one.observation.expects, one.observation.chunk) for one in steps[:4]] == [
        (Expects.FACTS, 0),
        (Expects.OPERATIONS, None),
        (Expects.FACTS, 1),
        (Expects.OPERATIONS, None),
    ]
    prompt = steps[3].observation.messages[-1].content
    assert "id:\n0: Bo: Dorn\n1: Ada: Velt\n" in prompt  # as found: for the first fact the nearest is Bo's
    assert 'New facts:\n["Bo moved", "Ada moved"]' in prompt
    assert "id:\nnone\n" in steps[1].observation.messages[-1].content
    assert held == ["Ada: Quill", "Cy: Fenn"]
    assert trajectory.usage.calls == 6
    assert trajectory.usage.reads == 6  # four facts, two questions
    assert "Ada: Quill" in steps[-1].observation.messages[-1].content


def test_without_facts_there_is_nothing_to_settle() -> None:
    trajectory, held = played(facts(), "no facts here")
    assert (trajectory.usage.calls, held) == (4, [])


def test_facts_may_be_objects_and_stand_in_talk() -> None:
    first = 'Sure [1]: {"facts": [{"fact": "a\nb"}, {"text": "c"}, {"x": 1}, 5, null, " "]} as asked [2]'
    trajectory, _ = played(first, NOTHING, facts())
    assert trajectory.transitions[1].observation.items == ("a\nb", "c")


@pytest.mark.parametrize(("mended", "held"), [("lost", ["Ada: Velt", "Bo: Dorn"]), ("applied", ["Bo: Dorn"])])
def test_a_delete_without_a_text(mended: str, held: list[str]) -> None:
    bare = events({"id": "0", "event": "DELETE"})
    trajectory, left = played(facts("Ada: Velt"), ADDED, facts("Ada: Velt"), bare, textless_delete=mended)
    assert left == held
    assert outcomes(trajectory)[2:] == [(OpKind.DELETE, Outcome.MALFORMED if mended == "lost" else Outcome.OK)]


@pytest.mark.parametrize(
    ("mended", "held", "became"),
    [
        ("lost", ["Ada: Velt", "Bo: Dorn"], [Outcome.INVALID_TARGET] * 4),
        ("added", ["Ada: Quill", "Cy: Fenn", "Di: Holm"], [Outcome.OK] * 4),
    ],
)
def test_an_id_that_was_not_shown(mended: str, held: list[str], became: list[Outcome]) -> None:
    changes = events(
        {"id": "2", "text": "Cy: Fenn", "event": "UPDATE"},
        {"id": "a", "text": "Di: Holm", "event": "UPDATE"},
        {"id": 0, "text": "Ada: Quill", "event": "UPDATE"},
        {"id": 1, "text": "Bo: Dorn", "event": "DELETE"},
    )
    trajectory, left = played(facts("x"), ADDED, facts("Ada: Velt"), changes, unknown_id=mended)
    assert sorted(left) == held
    assert [outcome for _, outcome in outcomes(trajectory)[2:]] == became


def test_what_to_do_with_a_contradiction_and_what_a_fact_is_are_told() -> None:
    as_it_is, _ = played(facts("x"))
    mended, _ = played(facts("x"), extraction="facts", contradiction="update")
    told = [[one.observation.messages for one in run.transitions[:2]] for run in (as_it_is, mended)]
    assert "likes and dislikes" in told[0][0][0].content
    assert "every fact" in told[1][0][0].content
    assert "a fact contradicts an entry, or asks for its removal" in told[0][1][0].content
    assert "or a fact contradicts it: it keeps its id" in told[1][1][0].content


def test_what_is_no_event_is_seen_in_the_journal() -> None:
    odd = events({"text": "a", "event": "add"}, {"text": "", "event": "ADD"}, {"text": 5, "event": "ADD"})
    trajectory, held = played(facts("x"), odd[:-2] + ', "b", 3]}')
    assert held == []
    assert outcomes(trajectory) == [(OpKind.CREATE, Outcome.MALFORMED)] * 5


def test_an_entry_may_be_updated_twice_and_not_after_it_is_gone() -> None:
    changes = events(
        {"id": "0", "text": "one", "event": "UPDATE"},
        {"id": "0", "text": "two", "event": "UPDATE"},
        {"id": "1", "text": "-", "event": "DELETE"},
        {"id": "1", "text": "three", "event": "UPDATE"},
        {"id": "0", "text": "four", "event": "UPDATE"},
        {"id": "1", "text": "five", "event": "UPDATE"},
    )
    trajectory, held = played(facts("x"), ADDED, facts("Ada: Velt"), changes)
    assert held == ["four"]
    assert [outcome for _, outcome in outcomes(trajectory)[2:]] == [
        *[Outcome.OK] * 3,
        Outcome.STALE_TARGET,
        Outcome.OK,
        Outcome.STALE_TARGET,
    ]


def test_another_model_may_take_the_facts_out() -> None:
    helper = Says(script(facts("Ada: Velt"), facts()))
    trajectory, held = played(ADDED, helper=helper, extractor="helper")
    assert held == ["Ada: Velt", "Bo: Dorn"]
    assert [step.to for step in trajectory.transitions] == ["extractor", "policy", "extractor", "policy", "policy"]


def test_the_release_that_adds_shows_what_is_near_and_adds_what_is_new() -> None:
    first = events({"id": "0", "text": "Ada: Velt"}, {"id": "1", "text": "Bo: Dorn"}, {"id": "2", "text": "Ada: Velt"})
    second = events({"text": "Bo: Dorn"}, {"text": "Bo: Quill"}, {"id": "0", "text": ""})
    trajectory, held = played(first, second, variant="add_only")
    assert held == ["Ada: Velt", "Bo: Dorn", "Bo: Quill"]
    shown = trajectory.transitions[1].observation.messages[-1].content
    assert "Memory as it is:\n0: Bo: Dorn\n1: Ada: Velt\n" in shown
    assert "Bo lives in Dorn." in shown
    assert (trajectory.usage.calls, trajectory.usage.reads) == (4, 4)
    assert agent("mem0", variant="add_only").describe()["source"] == "mem0ai 2.2.1"
