"""LangMem: entries beside a chunk are edited in one call."""

from __future__ import annotations

import json

from builders import Says, agent, episode, prompt, rollout, script, store, task

from atommem_cli.core.calls import Expects
from atommem_cli.core.types import OpKind, Outcome, Trajectory

TWO = task(facts=["Ada was born in Velt.", "Bo lives in Dorn."])
ANSWER = agent().write(Expects.ANSWER, [], "velt")
SIX = json.dumps({"memory": [{"event": "INSERT", "text": f"Bo lives {n} times"} for n in range(6)]})


def played(*replies: str, **options: object) -> tuple[Trajectory, list[str]]:
    """The trajectory, and the texts in the store at its end."""
    where = store()
    one = episode(TWO, where, by=agent("langmem", **options))
    (trajectory,) = rollout(where).play(Says(script(*replies, ANSWER)), [one])
    return trajectory, [entry.text for entry in one.memory.entries]


def test_five_entries_stand_beside_a_chunk_and_are_edited_in_one_call() -> None:
    edits = [
        {"event": "UPDATE", "id": "2", "text": "Bo moved"},
        {"event": "UPDATE", "id": "2", "text": "Bo moved twice"},
        {"event": "DELETE", "id": 1},
        {"event": "INSERT", "text": "Cy"},
        {"event": "UPDATE", "id": "6", "text": "not shown"},
    ]
    trajectory, held = played(SIX, json.dumps({"memory": edits}))
    assert "id:\nnone\n" in prompt(trajectory, 0)
    assert [f"\n{n}: Bo lives" in prompt(trajectory, 1) for n in range(1, 7)] == [True] * 5 + [False]
    assert "DELETE: an existing memory goes." in prompt(trajectory, 1)
    assert len(held) == 6
    assert {"Bo moved twice", "Cy"} < {*held}
    done = [one.outcome for one in trajectory.transitions[1].results if one.op.kind is not OpKind.READ]
    assert done == [*[Outcome.OK] * 4, Outcome.INVALID_TARGET]
    assert (trajectory.usage.calls, trajectory.usage.reads) == (4, 4)


def test_without_deletes_nothing_is_told_of_them_and_none_runs() -> None:
    gone = json.dumps([{"event": "DELETE", "id": "1"}, {"event": "INSERT", "text": "Cy"}])
    trajectory, held = played(SIX, gone, deletes=False)
    assert "DELETE" not in prompt(trajectory, 1)
    assert (len(held), held[-1]) == (7, "Cy")
    (refused,) = [one.op for one in trajectory.transitions[1].results if one.outcome is Outcome.MALFORMED]
    assert refused.text == '{"event": "DELETE", "id": "1"}'


def test_queries_of_a_model_are_looked_up_in_turn_and_the_nearest_of_each_come_first() -> None:
    texts = ["Ada Velt", "Ada Velt Quill", "Bo Dorn", "Bo Dorn Fenn"]
    insert = json.dumps([{"event": "INSERT", "text": text} for text in texts])
    queries = json.dumps({"queries": ["Ada Velt", "Bo Dorn"]})
    trajectory, _ = played(queries, insert, queries, "[]", query="policy")
    assert [step.observation.expects for step in trajectory.transitions[:2]] == [Expects.FACTS, Expects.OPERATIONS]
    assert "id:\n1: Ada Velt\n2: Bo Dorn\n3: Ada Velt Quill\n4: Bo Dorn Fenn\n" in prompt(trajectory, 3)
    assert trajectory.usage.calls == 6
