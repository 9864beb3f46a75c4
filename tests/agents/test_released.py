"""The dialect `released` and the released code's rule for the next chunk."""

from __future__ import annotations

from pathlib import Path

from builders import Says, agent, episode, rollout, script, store, task

import atommem_cli
from atommem_cli.config.recipe import load
from atommem_cli.core.calls import Expects
from atommem_cli.core.episode import Agent
from atommem_cli.core.types import MemoryOp, OpKind, Trajectory
from atommem_cli.core.workload import Shape
from atommem_cli.running.costing import bound_episode

TWO = task(facts=["Ada was born in Velt.", "Bo lives in Dorn."])
RELEASED = (Path(atommem_cli.__file__).parent / "dialects" / "released.yaml").read_text("utf-8")


def played(by: Agent, *replies: str) -> Trajectory:
    where = store()
    (trajectory,) = rollout(where).play(Says(script(*replies)), [episode(TWO, where, by=by)])
    return trajectory


def chunks(trajectory: Trajectory) -> list[int | None]:
    return [step.observation.chunk for step in trajectory.transitions if step.observation.question is None]


def say(by: Agent, *ops: MemoryOp) -> str:
    return by.write(Expects.OPERATIONS, ops)


NOTES = MemoryOp(OpKind.SCRATCHPAD, "1. Ada? 2. Bo?")
READ = MemoryOp(OpKind.READ, "Ada")
CREATE = MemoryOp(OpKind.CREATE, "Ada was born in Velt.")


def test_by_default_every_reply_that_does_more_than_read_moves_on() -> None:
    by = agent(dialect="released")
    assert by.spare_calls == 0
    assert chunks(played(by, say(by, NOTES, READ), say(by, READ), "")) == [0, 1]


def test_under_the_released_rule_a_chunk_stays_until_something_is_written() -> None:
    by = agent(dialect="released", advance="write")
    trajectory = played(by, say(by, CREATE), say(by, NOTES, READ), "", say(by, MemoryOp(OpKind.UPDATE, "x", 9)))
    assert chunks(trajectory) == [0, 1, 1, 1]
    again = trajectory.transitions[2].observation.messages[1].content
    assert "Memory 1: Ada was born in Velt." in again  # what was found stands beside the chunk
    assert "Bo lives in Dorn." in again


def test_reads_in_a_row_end_at_their_limit_under_either_rule() -> None:
    for advance in ("reply", "write"):
        by = agent(dialect="released", advance=advance)
        queries = [say(by, MemoryOp(OpKind.READ, f"q{i}")) for i in range(30)]
        trajectory = played(by, *queries)
        assert chunks(trajectory) == [0] * 4 + [1] * 4
        counted = [step.observation.messages[1].content for step in trajectory.transitions[:4]]
        assert [f"Queries in a row so far: {i}. More than 3" in text for i, text in enumerate(counted)] == [True] * 4


def test_a_read_of_what_is_looked_up_already_sees_the_chunk_again_where_the_agent_says_so() -> None:
    for reread, seen in ((False, [0, 0, 1]), (True, [0, 0, 0, 0, 1, 1, 1, 1])):
        by = agent(dialect="tiny", reread=reread)
        assert chunks(played(by, say(by, MemoryOp(OpKind.READ, "q")))) == seen


def test_a_policy_that_never_writes_comes_to_its_end_within_the_bound_of_the_plan() -> None:
    by = agent(dialect="released", advance="write")
    trajectory = played(by, "nothing")
    assert len(chunks(trajectory)) == 2 + by.spare_calls == 42
    bound = bound_episode(load("tiny"), by, Shape(2, 2, 2))
    assert trajectory.usage.calls <= bound.calls_high


def test_an_option_that_is_not_given_is_no_part_of_a_recipe() -> None:
    recipe = load("tiny")
    assert "advance" not in recipe.content["agent"]
    assert "thoughts" not in recipe.content["policy"]
    changed = recipe.changed(["agent.advance=write", 'policy.thoughts=[["<<", ">>"]]'])
    assert changed.content["agent"]["advance"] == "write"
    assert changed.content["policy"]["thoughts"] == [["<<", ">>"]]
    assert changed.digest != recipe.digest


def test_questions_one_per_line_whatever_they_hold(tmp_path: Path) -> None:
    by = agent(dialect="released")
    first = played(by, "").transitions[0].observation.messages[1].content
    assert first.startswith("Questions:\nWhat ends: Ada?\nWhat ends: Bo?\n\nShort memory:\n\nQuery: No query")


def test_shown_memories_are_cut_to_the_tokens_of_the_dialect_and_stay_addressable(tmp_path: Path) -> None:
    path = tmp_path / "short.yaml"
    path.write_text(RELEASED.replace("memory_tokens: 4096", "memory_tokens: 8"), encoding="utf-8")
    by = agent(dialect=str(path))
    ops = [MemoryOp(OpKind.CREATE, f"Ada was born in place {i}") for i in range(3)]
    delete = MemoryOp(OpKind.DELETE, target=3)
    trajectory = played(by, say(by, *ops, MemoryOp(OpKind.READ, "Ada")), say(by, delete), "")
    step = trajectory.transitions[1]
    assert len(step.shown) == 3
    assert "Retrieved memory:\nMemory 1: Ada was born in place\n\n" in step.observation.messages[1].content
    assert [r.entry for r in step.results] == [step.shown[2].id]
