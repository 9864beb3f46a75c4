"""What an operation was worth, where the truth is known."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from demos import contents
from fake_server import Server, completion
from fake_server import error as refusal

from atommem_cli.config import recipe as recipes
from atommem_cli.config.recipe import Recipe
from atommem_cli.core.errors import RunMismatch, UsageError
from atommem_cli.core.types import OpKind, Outcome, StopReason, Task
from atommem_cli.data import preparation
from atommem_cli.replay import whatif, whatif_tables
from atommem_cli.replay.episode_view import Operation, book
from atommem_cli.replay.interventions import Drop, Forbid, Insert, Intervention, Replace, intervention
from atommem_cli.replay.whatif import WhatIf
from atommem_cli.running import costing, evaluation
from atommem_cli.runs.reader import Run


@pytest.fixture(scope="module")
def tasks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Thirty `stream` tasks of one question each."""
    folder = tmp_path_factory.mktemp("tasks") / "stream"
    preparation.prepare("stream", out=folder, split="validation", limit=30, seed=3)
    return folder


@pytest.fixture(scope="module")
def played(tasks: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Run]:
    """Runs by script, which tests only read. So many entries are shown that none is out of sight."""
    folder = tmp_path_factory.mktemp("runs")
    found = {}
    for script in ("append_only", "careful", "oracle", "random", "sloppy"):
        evaluation.evaluate(recipe(tasks, "memory.retrieve_k=50", script=script), folder / script)
        found[script] = Run(folder / script)
    return found


def recipe(tasks: Path, *changes: str, script: str = "careful") -> Recipe:
    policy = f"policy={{name: scripted, script: {script}}}"
    return recipes.load("tiny-sloppy", [f"task.folder={tasks}", "store={name: exact}", policy, *changes])


def right(run: Run, hinge: str = "") -> list[tuple[str, Task]]:
    """Episodes that were answered right, and hinge on a kind of operation."""
    found = [(name, run.task(line["task"])) for name, line in run.episodes.items() if line["scores"]["em"] == [1.0]]
    return [(name, task) for name, task in found if not hinge or task.questions[0].hinge == hinge]


def operations(run: Run, name: str, kind: OpKind) -> list[Operation]:
    done = [one for one in book(run, name).operations if one.outcome is Outcome.OK]
    return [one for one in done if one.kind is kind]


def em(found: WhatIf) -> float:
    (price,) = found.price["em"]
    return price


# --- prices that are known


def test_only_the_statements_on_the_path_have_a_price(played: dict[str, Run]) -> None:
    run = played["append_only"]
    gold = idle = 0
    for name, task in right(run, "create")[:6]:
        (subject, *relations), events = task.questions[0].path, {d.text: d.event for d in task.documents}
        about = [event for event in events.values() if event and event.relation in relations]
        for found in whatif.leave_one_out(run, name):
            assert found.operation is not None
            event = events.get(found.operation.text)
            if found.operation.kind is not OpKind.CREATE or event is None:
                continue
            if event.relation not in relations:
                assert em(found) == 0.0
                idle += 1
            elif len(relations) == 1 and [e for e in about if e.subject == subject] == [event]:
                assert em(found) == 1.0
                assert found.after.answers != found.before.answers
                assert found.lost == (found.operation.text,)
                assert found.changed is not None
                gold += 1
    assert gold >= 2
    assert idle >= 8


def test_without_the_update_the_old_value_is_answered(played: dict[str, Run]) -> None:
    run, seen = played["careful"], 0
    for name, task in right(run, "update"):
        path = task.questions[0].path
        updates = operations(run, name, OpKind.UPDATE)
        if len(path) != 2 or not updates:
            continue
        last = updates[-1]
        assert last.text == f"{path[0]} {path[1]} {task.questions[0].answers[0]}"
        found = whatif.price(run, name, Drop(last.number))
        assert em(found) == 1.0
        assert found.after.answers == (last.old.split()[-1],)
        assert (found.lost, found.gained) == ((last.text,), (last.old,))
        seen += 1
    assert seen >= 2


def test_what_was_retracted_is_answered_if_delete_is_forbidden(played: dict[str, Run]) -> None:
    run, seen = played["careful"], 0
    for name, _ in right(run, "delete"):
        if not (deletes := operations(run, name, OpKind.DELETE)):
            continue
        found = whatif.price(run, name, Forbid(OpKind.DELETE))
        assert em(found) == 1.0
        assert deletes[-1].old in found.gained
        seen += 1
    assert seen >= 2


def test_the_oracle_mends_what_it_sees_missing_and_cannot_mend_the_unseen(played: dict[str, Run]) -> None:
    """It peeks into its memory, so wherever it is asked anew it stores the fact again; but never while answering."""
    run = played["oracle"]
    prices: dict[bool, list[float]] = {}
    for name, task in right(run):
        if task.questions[0].hinge == "none":
            continue  # the answer is that nothing is known
        proof = {support.text for support in task.questions[0].supporting}
        for found in whatif.leave_one_out(run, name):
            assert found.operation is not None
            if found.operation.kind is OpKind.CREATE:
                mended = found.changed is not None and run.steps(name)[found.changed]["question"] is None
                if mended or found.operation.text in proof:
                    prices.setdefault(mended, []).append(em(found))
    assert set(prices[True]) == {0.0}
    assert set(prices[False]) == {1.0}
    assert min(map(len, prices.values())) >= 2


# --- what was not changed is not asked


def test_without_an_operation_that_did_nothing_nothing_is_asked(played: dict[str, Run]) -> None:
    run, seen = played["random"], 0
    for name in run.episodes:
        for one in book(run, name).operations:
            reads = any(op["kind"] == "read" for op in run.steps(name)[one.step]["ops"])
            if one.outcome is not Outcome.OK and not reads:
                found = whatif.price(run, name, Drop(one.number))
                assert (found.asked, found.changed, em(found)) == (0, None, 0.0)
                assert found.replayed == run.episodes[name]["usage"]["calls"]
                assert found.after == found.before
                seen += 1
        if seen > 12:
            return
    raise AssertionError("the random script has become too good")


def test_the_same_operation_in_its_own_place_changes_nothing(played: dict[str, Run]) -> None:
    run = played["careful"]
    for name in list(run.episodes)[:6]:
        for one in book(run, name).operations:
            text = recipe_write(one)
            found = whatif.price(run, name, Replace(one.number, text))
            assert (found.asked, found.changed) == (0, None)
            assert found.after == found.before
            assert [(r.op.kind, r.outcome) for r in found.written] == [(one.kind, one.outcome)]


def recipe_write(one: Operation) -> str:
    body = one.text if one.target is None else f"memory {one.target} : {one.text}".rstrip(": ")
    return f"<{one.kind}> {body} </{one.kind}>"


def test_asked_anew_with_the_seeds_of_the_run(played: dict[str, Run]) -> None:
    """The sloppy script throws dice at every step, and heeds entries about its question alone."""
    run, asked = played["sloppy"], 0
    for name in run.episodes:
        if [op["kind"] for op in run.steps(name)[0]["ops"]] == ["read"]:
            continue  # it would no longer only read, and the agent would not show the chunk again
        found = whatif.price(run, name, Insert(0, "<create> zorn hums </create>"))
        assert (found.before.answers, found.gained, found.lost) == (found.after.answers, ("zorn hums",), ())
        asked += found.asked
    assert asked > 8


def test_left_out_together_is_as_left_out_alone(played: dict[str, Run]) -> None:
    for script in ("random", "sloppy", "append_only"):
        run = played[script]
        for name in list(run.episodes)[:4]:
            told: list[tuple[int, int, str]] = []
            together = whatif.leave_one_out(run, name, lambda *now, told=told: told.append(now))
            assert told[-1][:2] == (len(together), len(together))
            for found in together:
                assert isinstance(found.intervention, Drop)
                assert whatif.price(run, name, found.intervention) == found


@pytest.mark.parametrize("agent", ["rag", "memagent", "full_context"])
def test_every_agent_can_be_asked(tasks: Path, tmp_path: Path, agent: str) -> None:
    changes = (f"agent={{name: {agent}, dialect: tiny}}", "task.limit=3", "memory.retrieve_k=50")
    evaluation.evaluate(recipe(tasks, *changes, script="oracle"), tmp_path / "r")
    before = contents(tmp_path)
    run = Run(tmp_path / "r")
    for name in run.episodes:
        if agent == "full_context":
            with pytest.raises(UsageError, match=r"no operation of .* was carried out"):
                whatif.leave_one_out(run, name)
            with pytest.raises(UsageError, match="operation 1: the episode has no operations"):
                whatif.price(run, name, Drop(1))
            continue
        assert all(em(found) in (0.0, 1.0) for found in whatif.leave_one_out(run, name))
        all_of_it = Forbid(OpKind.CREATE if agent == "rag" else OpKind.SCRATCHPAD)
        (gold,) = run.task(run.episodes[name]["task"]).questions[0].answers
        assert run.episodes[name]["scores"]["em"] == [1.0]
        assert em(whatif.price(run, name, all_of_it)) == (gold != "unknown")
        extra = whatif.price(run, name, Insert(-1, "<scratchpad> 7 </scratchpad><create> 8 </create>"))
        assert [result.outcome for result in extra.written] == [Outcome.OK] * 2
        assert "8" in extra.gained
    assert contents(tmp_path) == before


def test_insertions(played: dict[str, Run]) -> None:
    run = played["append_only"]
    name, task = right(run, "create")[0]
    steps = run.steps(name)
    busy = next(line["step"] for line in steps if line["ops"])
    idle = next(line["step"] for line in steps if not line["ops"])
    for step in (busy, idle):
        found = whatif.price(run, name, Insert(step, "<create> a </create><delete> memory 9 </delete>"))
        assert [result.outcome for result in found.written] == [Outcome.OK, Outcome.INVALID_TARGET]
        assert found.gained == ("a",)
    read = whatif.price(run, name, Insert(busy, f"<read> {task.questions[0].text} </read>"))
    assert (read.changed, em(read)) == (busy + 1, 0.0)


def test_a_scratchpad_is_compared_too(played: dict[str, Run]) -> None:
    run = played["careful"]
    name = next(iter(run.episodes))
    found = whatif.price(run, name, Insert(0, "<scratchpad> mind\x1b[2J </scratchpad>"))
    assert (found.before.scratchpad, found.after.scratchpad) == ("", "mind\x1b[2J")
    table = whatif_tables.comparison(found)
    assert ("scratchpad", "(nothing)", "mind<U+001B>[2J") in table.rows
    assert table.title.startswith(f"{name}: scratchpad [ok] at step 0; the prompt of step 1 changed first")


# --- refusals


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (Drop(0), r"operation 0: the episode has operations 1 to \d+ "),
        (Drop(999), "operation 999: the episode has operations 1 to"),
        (Replace(-1, "<create> a </create>"), "operation -1: the episode has"),
        (Insert(99, "<create> a </create>"), r"step 99: the episode has steps 0 to \d+"),
        (Insert(-2, "<create> a </create>"), "step -2: the episode has"),
        (Insert(0, "create a"), "'create a' is no operation that the agent atommem understands: write '<create>"),
        (Replace(1, "<create> a"), "is no operation"),
        (Replace(1, ""), "'' is no operation"),
    ],
)
def test_what_the_episode_does_not_have_is_refused(played: dict[str, Run], change: Intervention, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        whatif.price(played["careful"], next(iter(played["careful"].episodes)), change)


def test_command_lines() -> None:
    assert intervention(drop=3) == Drop(3)
    assert intervention(replaced="3: <create> a: b </create>") == Replace(3, "<create> a: b </create>")
    assert intervention(inserted="-1:<create> a </create>") == Insert(-1, "<create> a </create>")
    assert intervention(forbidden="delete") == Forbid(OpKind.DELETE)
    for given, told in (
        ({}, "say one thing to change"),
        ({"drop": 1, "forbidden": "delete"}, "say one thing to change"),
        ({"forbidden": "delte"}, "no such operation; did you mean 'delete'"),
        ({"replaced": "x: y"}, "--replace: expected NUMBER: OPERATIONS"),
        ({"inserted": "3"}, "--insert: expected STEP: OPERATIONS"),
    ):
        with pytest.raises(UsageError, match=told):
            intervention(**given)  # type: ignore[arg-type]


def test_failed_unknown_and_changed_episodes_are_one_sentence(played: dict[str, Run], tmp_path: Path) -> None:
    shutil.copytree(played["careful"].path, tmp_path / "run")
    with pytest.raises(UsageError, match="no episode 'nobody'"):
        whatif.price(Run(tmp_path / "run"), "nobody", Drop(1))
    path = tmp_path / "run" / "episodes.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    name = lines[0]["episode"]
    path.write_text("".join(json.dumps({**line, "stop": "error", "error": "no luck"}) + "\n" for line in lines[:1]))
    with pytest.raises(UsageError, match=r"failed \(no luck\): there is no end to compare with"):
        whatif.price(Run(tmp_path / "run"), name, Drop(1))
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    identity = json.loads((tmp_path / "run" / "run.json").read_text())
    for change, told in (
        ({"policy": {"name": "scripted: other"}}, "its policy is another one now: name was scripted: other and is"),
        ({"embedder": {**identity["embedder"], "dimension": "3"}}, "its embedder is another one now: dimension was 3"),
        ({"agent": {**identity["agent"], "prompts": "0"}}, "not the run as it was played: run.json: agent.prompts"),
    ):
        (tmp_path / "run" / "run.json").write_text(json.dumps({**identity, **change}))
        with pytest.raises(RunMismatch, match=told):
            whatif.price(Run(tmp_path / "run"), name, Drop(1))
    (tmp_path / "run" / "run.json").write_text(json.dumps(identity))
    path.write_text("".join(json.dumps({**line, "memory": "0"}) + "\n" for line in lines))
    with pytest.raises(RunMismatch, match="it ends with another memory or other answers"):
        whatif.price(Run(tmp_path / "run"), name, Drop(1))


# --- policies that are models


def test_a_server_is_asked_only_what_is_new(tasks: Path, tmp_path: Path) -> None:
    said = ["<create> a </create>", "<create> b </create><read> a </read>", "<create> c </create>"]
    with Server() as server:
        model = f"policy={{name: openai_server, url: '{server.url}', model: m, retries: 0}}"
        played = recipe(tasks, "limits.reads=0", "task.limit=1", model)
        calls = costing.plan(played).calls_high
        server._answers.extend(map(completion, [*said, *["fine"] * (calls - 4), "<answer> x </answer>"]))
        evaluation.evaluate(played, tmp_path / "run")
        run = Run(tmp_path / "run")
        (name,) = run.episodes
        server.bodies.clear()
        found = whatif.leave_one_out(run, name)
        assert [one.operation.number for one in found if one.operation] == [1, 2, 3, 4]
        assert [one.changed for one in found] == [2, 2, 2, 3]
        assert sum(one.asked for one in found) == len(server.bodies) > 4
        assert all(one.replayed + one.asked == calls for one in found)
        assert found[0].before.answers == ("x",)
        assert all(one.after.answers[0].startswith("echo: ") for one in found)
        server._answers.extend([refusal(400, "no more")] * 9)
        broken = whatif.price(run, name, Drop(1))
        assert (broken.after.stop, broken.price) == (StopReason.ERROR, {})
        assert "no more" in broken.error
        assert "unknown: " in whatif_tables.prices([broken]).rows[0][4]


def test_a_local_model_speaks_from_the_first_changed_prompt_on(tasks: Path, tmp_path: Path) -> None:
    model = "policy={name: hf, model: tiny, temperature: 1.0, batch: 4}"
    evaluation.evaluate(recipe(tasks, model, "task.limit=2"), tmp_path / "run")
    run = Run(tmp_path / "run")
    name = next(iter(run.episodes))
    insert = Insert(1, "<create> mara home velt </create><read> mara </read>")
    found = whatif.price(run, name, insert)
    calls = run.episodes[name]["usage"]["calls"]
    assert (found.changed, found.replayed, found.asked) == (2, 2, calls - 2)
    assert "mara home velt" in found.gained
    assert whatif.price(run, name, insert) == found
    identity = json.loads((tmp_path / "run" / "run.json").read_text())
    identity["policy"]["weights"] = "f" * 64
    (tmp_path / "run" / "run.json").write_text(json.dumps(identity))
    with pytest.raises(RunMismatch, match=f"its policy is another one now: weights was {'f' * 64} and is"):
        whatif.price(Run(tmp_path / "run"), name, insert)
