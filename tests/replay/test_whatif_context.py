"""What-if of an agent with six tools: each may be left out, or written where it was not, in either grammar."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from atommem_cli.config import recipe as recipes
from atommem_cli.core.calls import Expects
from atommem_cli.core.types import MemoryOp, OpKind, Outcome
from atommem_cli.data import preparation
from atommem_cli.embedders import hashing
from atommem_cli.replay import replay, whatif, whatif_tables
from atommem_cli.replay.episode_view import Operation, book
from atommem_cli.replay.interventions import Drop, Forbid, Insert, Replace
from atommem_cli.replay.whatif import WhatIf
from atommem_cli.running.evaluation import evaluate
from atommem_cli.runs.reader import Run

TOOLS = Path(__file__).parents[1] / "support" / "tool_calls.py"
GRAMMARS = ("paper", "tiny")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    preparation.prepare("stream", out=folder, split="validation", limit=12, seed=3, distractors=2)
    return folder


def play(out: Path, data: Path, dialect: str = "paper", policy: Any = None, **agent: Any) -> Run:
    content: dict[str, Any] = {
        "name": "tools",
        "task": {"folder": str(data)},
        "chunk": {"tokens": 8, "overlap": 0, "by": "documents", "most": None},
        "memory": {"retrieve_k": 3},
        "limits": {"reply": 400, "answer": 100, "reads": 4},
        "agent": {"name": "agemem", "dialect": dialect, **agent},
        "policy": policy or {"name": "scripted", "script": "oracle"},
        "store": {"name": "exact"},
        "embedder": {"name": "hashing"},
    }
    evaluate(recipes.resolve(content, [], origin="tools"), out)
    return Run(out)


@pytest.fixture(scope="module", params=GRAMMARS)
def run(request: pytest.FixtureRequest, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return play(tmp_path_factory.mktemp("runs") / request.param, data, request.param)


def written(run: Run, *ops: MemoryOp) -> str:
    return run.agent.write(Expects.OPERATIONS, ops)


def needed(run: Run) -> tuple[str, Operation]:
    """An episode of one fact that was created once, and that creation."""
    for name, line in run.episodes.items():
        question = run.task(line["task"]).questions[0]
        made = [one for one in book(run, name).operations if one.kind is OpKind.CREATE]
        if question.hinge == "create" and len(question.path) == 2 and len(made) == 1:
            return name, made[0]
    raise AssertionError("no such episode")


def em(found: WhatIf) -> float:
    (price,) = found.price["em"]
    return price


def test_the_store_s_tools_left_out_or_written(run: Run) -> None:
    name, made = needed(run)
    (subject, relation, value) = made.text.split()[:3]
    assert em(whatif.price(run, name, Drop(made.number))) == 1.0
    assert em(whatif.price(run, name, Forbid(OpKind.READ))) == 1.0
    other = MemoryOp(OpKind.CREATE, f"{subject} {relation} somewhere")
    assert em(whatif.price(run, name, Replace(made.number, written(run, other)))) == 1.0
    again = whatif.price(run, name, Replace(made.number, written(run, MemoryOp(OpKind.CREATE, made.text))))
    assert (em(again), again.changed) == (0.0, None)
    assert made.entry is not None
    update = MemoryOp(OpKind.UPDATE, f"{subject} {relation} somewhere", made.entry)
    for later in (update, MemoryOp(OpKind.DELETE, target=made.entry)):
        found = whatif.price(run, name, Insert(made.step + 1, written(run, later)))
        assert [result.outcome for result in found.written] == [Outcome.OK]
        assert made.text in found.lost
        assert em(found) == 1.0
        assert value in found.before.answers[0]
    found = whatif.price(run, name, Insert(made.step + 1, written(run, MemoryOp(OpKind.READ, "anything else"))))
    assert [result.outcome for result in found.written] == [Outcome.OK]


def prompt(run: Run, name: str, step: int) -> dict[int, str]:
    """The messages of the context at a step by id, instructions apart, from the journal."""
    there: dict[int, str] = {}
    for line in run.steps(name):
        there |= {i: text for i, role, text in line.get("context", ()) if role != "system"}
        if line["step"] == step:
            return there
        for op in line["ops"]:
            for target in op.get("targets", ()) if op["outcome"] == "ok" else ():
                there.pop(target, None)
    raise AssertionError(step)


def test_a_filter_by_criteria_means_the_messages_that_the_embedder_finds_near(run: Run) -> None:
    name = min(run.episodes)
    there, encoder = prompt(run, name, 4), hashing.build(hashing.Options())
    criteria = max(there.values(), key=len)
    vectors = encoder.embed([criteria], is_query=True) @ encoder.embed(list(there.values()), is_query=False).T
    near = tuple(i for i, cosine in zip(there, vectors[0], strict=True) if cosine >= 0.6)
    assert 0 < len(near) < len(there)
    found = whatif.price(run, name, Insert(4, written(run, MemoryOp(OpKind.FILTER, " ".join(criteria.split())))))
    (result,) = found.written
    assert (result.outcome, result.op.targets) == (Outcome.OK, near)
    assert found.changed == 5
    told = whatif_tables.told(found)
    assert told.startswith("filter [ok] messages ") or told == f"filter [ok] messages {near[0]} at step 4"
    assert told.endswith(" at step 4")
    nothing = whatif.price(run, name, Insert(4, written(run, MemoryOp(OpKind.FILTER, "qqqq xxxx"))))
    assert ([result.outcome for result in nothing.written], nothing.changed) == ([Outcome.NOOP], None)


def test_a_summary_means_its_span_and_stands_in_the_prompts_from_then_on(run: Run) -> None:
    name = min(run.episodes)
    everything = MemoryOp(OpKind.SUMMARIZE, "all was said", meta=(("span", "all"),))
    found = whatif.price(run, name, Insert(4, written(run, everything)))
    (result,) = found.written
    assert (result.outcome, result.op.targets) == (Outcome.OK, tuple(prompt(run, name, 4)))
    assert found.changed == 5
    rows = dict(row[:2] for row in whatif_tables.comparison(found).rows)
    assert rows["context"] == found.before.context
    assert rows["messages in the context"] == str(found.before.messages)


def test_a_clear_or_an_edit_left_out_leaves_its_messages_where_they_were(run: Run) -> None:
    name = min(run.episodes)
    operations = book(run, name).operations
    (clear,) = (one for one in operations if one.kind is OpKind.CLEAR)
    kept = whatif.price(run, name, Drop(clear.number))
    assert kept.changed == clear.step + 1
    assert kept.after.messages > kept.before.messages  # and the facts among them need not be retrieved
    assert kept.after.answers == kept.before.answers
    assert "(clear [ok, by the agent] mes" in whatif_tables.told(kept)
    edits = [one for one in operations if one.kind is OpKind.FILTER and one.outcome is Outcome.OK]
    assert edits
    without = whatif.price(run, name, Forbid(OpKind.FILTER))
    assert whatif_tables.told(without) == "without any filter"
    assert without.after.messages > without.before.messages


def test_every_price_of_an_episode_and_what_the_agent_did_by_itself(run: Run) -> None:
    name, made = needed(run)
    found = whatif.leave_one_out(run, name)
    table = whatif_tables.prices(found)
    kinds = {row[0]: row[2] for row in table.rows}
    mine = {str(one.number): one.automatic for one in book(run, name).operations}
    assert {number: kind.endswith(" (agent)") for number, kind in kinds.items()} == {n: mine[n] for n in kinds}
    assert {row[0] for row in table.rows if row[4] == "+1"} >= {str(made.number)}


def test_a_summary_without_a_text_is_asked_of_the_policy(data: Path, tmp_path: Path) -> None:
    run = play(tmp_path / "run", data, policy={"name": str(TOOLS)})
    for name in sorted(run.episodes)[:6]:
        if not any(line["step"] == 1 for line in run.steps(name)):
            continue
        asked = written(run, MemoryOp(OpKind.SUMMARIZE, meta=(("span", "all"),)))
        found = whatif.price(run, name, Insert(1, asked))
        (result,) = found.written
        if result.outcome is Outcome.OK:
            assert result.op.text
            assert found.asked > 0
            return
    raise AssertionError("no summary was written")


@pytest.mark.parametrize("dialect", GRAMMARS)
def test_filters_by_embedder_and_summaries_by_policy_are_replayed_and_do_not_see_other_episodes(
    dialect: str, data: Path, tmp_path: Path
) -> None:
    """Of both grammars: a run whose policy leaves it to the agent which messages go, and what a summary says."""
    source = (TOOLS.parent / "leaving.py").read_text()
    (tmp_path / "leaving.py").write_text(source)
    agent = {"filter_threshold": 0.3}
    runs = [
        play(tmp_path / str(batch), data, dialect, {"name": str(tmp_path / "leaving.py"), "batch": batch}, **agent)
        for batch in (64, 1)
    ]
    together, alone = ({line["episode"]: line["steps"] for line in run.episodes.values()} for run in runs)
    assert together == alone
    ops = [op for name in runs[0].episodes for step in runs[0].steps(name) for op in step["ops"]]
    for kind in ("filter", "summarize"):
        assert sum(op["kind"] == kind and op["outcome"] == "ok" for op in ops) > 10, kind
    notes = [line for name in runs[0].episodes for line in runs[0].steps(name) if line.get("expects") == "notes"]
    assert len(notes) > 10, "the policy wrote summaries in calls of their own"
    for retrieve in (False, True):
        found = replay.verify(runs[0], retrieve=retrieve)
        assert (found.findings, found.episodes) == ((), 12)
