"""The ladder: every rung shows what it says, the steps price what they should, and the run stays as it was."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fake_server import Server, completion, error

from atommem_cli.config import recipe as recipes
from atommem_cli.core.errors import RunMismatch, UsageError
from atommem_cli.core.files import read_lines
from atommem_cli.core.stream_facts import UNKNOWN
from atommem_cli.core.types import Document, MemoryEntry, Question, Support, Task
from atommem_cli.data import preparation
from atommem_cli.data.files import read_tasks
from atommem_cli.replay import ladder
from atommem_cli.replay.ladder_rungs import Held, Rung, held, retrieved, view
from atommem_cli.running import evaluation
from atommem_cli.runs.reader import Run
from atommem_cli.scoring.gold_facts import has_gold

FILES = ("run.json", "recipe.yaml", "episodes.jsonl", "steps.jsonl", "sessions.jsonl", "summary.json", "table.md")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Prepared `stream` tasks: with one question each, and with three."""
    folder = tmp_path_factory.mktemp("home")
    preparation.prepare("stream", out=folder / "data" / "stream", limit=40)
    preparation.prepare("stream", out=folder / "data" / "three", limit=10, options={"docs": 12, "questions": 3})
    return folder


@pytest.fixture
def play(home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Plays a finished run by a script, in a folder of its own."""
    monkeypatch.chdir(home)

    def played(script: str, *changes: str, name: str = "run") -> Run:
        recipe = recipes.load(
            "tiny-sloppy", ["task.folder=data/stream", f"policy={{name: scripted, script: {script}}}", *changes]
        )
        evaluation.evaluate(recipe, tmp_path / name)
        return Run(tmp_path / name)

    return played


def means(result: dict[str, Any]) -> dict[str, float]:
    return {rung["rung"]: rung["scores"]["em"]["mean"] for rung in result["rungs"]}


def journal(run: Run) -> dict[tuple[str, int, str], dict[str, Any]]:
    return {
        (line["episode"], line["question"], line["rung"]): line for _, line in read_lines(run.path / "ladder.jsonl")
    }


def unknown_share(run: Run) -> float:
    questions = [question for task in read_tasks(run.folder) for question in task.questions]
    return sum(question.answers[0] == UNKNOWN for question in questions) / len(questions)


def ghost(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in FILES}


# --- what the rungs are worth


def test_the_oracle_answers_all_but_what_it_is_not_shown(play: Any) -> None:
    run = play("oracle")
    result = ladder.climb(run)
    share = unknown_share(run)
    assert 0.05 < share < 0.5
    assert means(result) == {
        "closed book": share,
        "no memory": share,
        "own memory": 1.0,
        "oracle retrieval": 1.0,
        "gold facts": 1.0,
    }
    assert [step["delta"] for step in result["steps"]] == [0, pytest.approx(1 - share), 0, 0]
    assert result["left_out"] == {}


def test_append_only_pays_for_retrieval_where_outdated_entries_confuse(play: Any) -> None:
    run = play("append_only")
    result = ladder.climb(run)
    assert means(result)["own memory"] < means(result)["oracle retrieval"] == means(result)["gold facts"] == 1.0
    missed = [name for name, line in run.episodes.items() if not line["scores"]["em"][0]]
    (step,) = [step for step in result["steps"] if step["of"] == "retrieval"]
    assert (step["wins"], step["losses"]) == (len(missed), 0)
    for name in missed:
        (question,) = run.task(run.episodes[name]["task"]).questions
        wrong = run.steps(name)[-1]["shown"]
        right = journal(run)[name, 0, "oracle retrieval"]["shown"]
        assert {tuple(e) for e in wrong} != {tuple(e) for e in right}
        assert {text for _, text in right} == {support.text for support in question.supporting}


def test_a_policy_that_writes_nothing_gains_nothing_below_the_gold_facts(play: Any) -> None:
    run = play("oracle", "memory.drop=[create]")
    assert max(line["usage"]["entries"] for line in run.episodes.values()) == 0
    found, share = means(ladder.climb(run)), unknown_share(run)
    assert found["no memory"] == found["own memory"] == found["oracle retrieval"] == share
    assert found["gold facts"] == 1.0


def test_a_policy_that_never_reads_pays_for_retrieval_alone(play: Any) -> None:
    run = play("append_only", "limits.reads=0")
    assert max(line["usage"]["reads"] for line in run.episodes.values()) == 0
    result = ladder.climb(run)
    found, share = means(result), unknown_share(run)
    assert found["no memory"] == found["own memory"] == share
    assert found["oracle retrieval"] == found["gold facts"] == 1.0
    assert {step["of"]: step["delta"] for step in result["steps"]}["retrieval"] == pytest.approx(1 - share)


def test_own_memory_is_the_run_s_own_score_and_costs_nothing(play: Any) -> None:
    run = play("append_only")
    before = ghost(run.path)
    result = ladder.climb(run)
    own = result["rungs"][2]
    summary = json.loads((run.path / "summary.json").read_text())
    assert own["scores"] == summary["scores"]
    assert own["calls"] == own["prompt_tokens"] == own["new_tokens"] == 0
    assert [rung["calls"] for rung in result["rungs"]] == [40, 40, 0, 40, 40]
    assert (result["run_digest"], ghost(run.path)) == (summary["digest"], before)


MEMORIES = ("no memory", "oracle retrieval", "gold facts")


@pytest.mark.parametrize(
    ("agent", "missing"),
    [
        ("memagent", {"oracle retrieval": "its prompt shows no entries of a store"}),
        ("rag", {}),
        ("full_context", dict.fromkeys(MEMORIES, "its prompt shows the documents themselves")),
        ("closed_book", dict.fromkeys(MEMORIES, "its prompt shows no memory")),
    ],
)  # fmt: skip
def test_rungs_that_make_no_sense_for_an_agent_are_left_out_with_a_reason(
    play: Any, agent: str, missing: dict[str, str]
) -> None:
    run = play("oracle", f"agent.name={agent}")
    result = ladder.climb(run)
    assert result["left_out"] == missing
    found = means(result)
    assert set(found) == {rung.value for rung in Rung} - set(missing)
    assert found["closed book"] == unknown_share(run)
    if "gold facts" in found:
        assert found["gold facts"] == 1.0
    text = (run.path / "ladder.md").read_text()
    assert all(f"left out: {rung} | {why}" in text for rung, why in missing.items())
    if agent == "memagent":
        assert [step["of"] for step in result["steps"]] == [
            "the agent's prompt",
            "memory, or what the agent shows instead",
            "writing and keeping",
        ]
        line = next(line for line in journal(run).values() if line["rung"] == "gold facts" and line["scratchpad"])
        assert line["shown"] == []


def without_gold(home: Path, name: str, drop: Callable[[int, int], bool]) -> str:
    """The tasks of three questions, as of a file of one's own: without paths, and of some questions without gold."""
    folder = home / "data" / name
    shutil.copytree(home / "data" / "three", folder)
    path = folder / "validation" / "tasks.jsonl"
    tasks = [json.loads(line) for line in path.read_text().splitlines()]
    for task_number, task in enumerate(tasks):
        for number, question in enumerate(task["questions"]):
            question["path"] = []
            if drop(task_number, number):
                question["supporting"] = []
    path.write_text("".join(json.dumps(task, separators=(",", ":")) + "\n" for task in tasks))
    manifest = folder / "validation" / "manifest.json"
    changed = {**json.loads(manifest.read_text()), "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    manifest.write_text(json.dumps(changed))
    return f"task.folder=data/{name}"


def test_questions_without_gold_are_on_no_rung_that_is_made_of_it(play: Any, home: Path) -> None:
    mixed = without_gold(home, "mixed", lambda task, number: task < 4 or number == 0)
    run = play("append_only", mixed, "eval.repeats=2")
    told: list[tuple[int, int]] = []
    result = ladder.climb(run, progress=lambda done, planned, _: told.append((done, planned)))
    known = {
        (name, number): has_gold(task, question)
        for name, line in run.episodes.items()
        for task in [run.task(line["task"])]
        for number, question in enumerate(task.questions)
    }
    gold, tasks = sum(known.values()), len({name.partition("#")[0] for (name, _), there in known.items() if there})
    assert 0 < gold < len(known) == 60
    counted = {rung["rung"]: (rung["scores"]["em"]["n"], rung["scores"]["em"]["tasks"]) for rung in result["rungs"]}
    assert counted == {
        "closed book": (60, 10),
        "no memory": (60, 10),
        "own memory": (60, 10),
        "oracle retrieval": (gold, tasks),
        "gold facts": (gold, tasks),
    }
    assert {planned for _, planned in told} == {2 * 60 + 2 * gold}
    assert told[-1][0] == told[-1][1] == len(journal(run))
    assert [step["n"] for step in result["steps"]] == [60, 60, gold, gold]
    own = [run.episodes[name]["scores"]["em"][number] for (name, number), there in known.items() if there]
    oracle = means(result)["oracle retrieval"]
    assert result["steps"][2]["delta"] == pytest.approx(oracle - sum(own) / gold), "paired by those on both rungs"
    shown, facts = ladder.tables(result)
    assert [row[2] for row in shown.rows][:5] == ["60 in 10 tasks"] * 3 + [f"{gold} in {tasks} tasks"] * 2
    assert dict(facts.rows)["gold facts"].startswith(f"known of {gold} of 60 questions")


def test_a_ladder_without_any_gold_has_no_rung_that_is_made_of_it(play: Any, home: Path) -> None:
    run = play("append_only", without_gold(home, "none", lambda *_: True))
    result = ladder.climb(run)
    why = "of no question it is known which facts it needs"
    assert result["left_out"] == {"oracle retrieval": why, "gold facts": why}
    assert [rung["scores"]["em"]["n"] for rung in result["rungs"]] == [30, 30, 30]
    assert {key[2] for key in journal(run)} == {"closed book", "no memory"}
    assert f"left out: gold facts | {why}" in (run.path / "ladder.md").read_text()


# --- what a rung shows

FACTS = ("Ada Pell opened the Lorne Bridge in 1931.", "Ada Pell was born in Hasse.")
SUPPORTING = (Support(0, FACTS[0]), Support(1, FACTS[1]))
TASK = Task(
    "t",
    "hotpotqa",
    (Document("Lorne Bridge", f"A bridge. {FACTS[0]}"), Document("Ada Pell", FACTS[1]), Document("Noise", "Noise.")),
    (Question("q", "Where was she born who opened the Lorne Bridge?", ("Hasse",), SUPPORTING),),
)


def test_oracle_retrieval_takes_the_best_coverage_first_and_fills_nothing_up() -> None:
    entries = {1: "Noise.", 2: FACTS[1], 3: FACTS[0], 4: " ".join(FACTS), 5: "Ada Pell liked tea."}

    def ids(k: int, held: dict[int, str] = entries) -> list[int]:
        return [entry.id for entry in retrieved(TASK, 0, held, k)]

    assert ids(6) == [4, 2, 3]
    assert ids(1) == [4]
    del entries[4]
    assert ids(6) == [2, 3]
    assert ids(1) == [2]
    assert ids(2, {1: FACTS[0], 2: FACTS[0], 3: FACTS[1]}) == [1, 3], "nothing twice while something is missing"
    assert ids(3, {}) == ids(3, {1: "Noise."}) == []


def test_an_entry_in_other_words_counts_and_one_about_another_does_not() -> None:
    entries = {
        1: "The Lorne Bridge was opened by Ada Pell",
        2: "Bo Tarn was born in Velt.",
        3: "Ada Pell: born in Hasse",
    }
    assert [entry.id for entry in retrieved(TASK, 0, entries, 6)] == [1, 3]


def test_gold_facts_name_their_documents_and_owe_nothing_to_the_run() -> None:
    question, sees = TASK.questions[0], frozenset({"scratchpad", "entries"})
    memory = Held("my notes", "my query", {1: FACTS[0]})
    gold = view(Rung.GOLD_FACTS, TASK, 0, memory, 1, sees)
    assert [entry.text for entry in gold.entries] == [f"Lorne Bridge: {FACTS[0]}", f"Ada Pell: {FACTS[1]}"]
    assert (gold.scratchpad, gold.query) == ("", question.text)
    oracle = view(Rung.ORACLE_RETRIEVAL, TASK, 0, memory, 1, sees)
    assert (oracle.scratchpad, oracle.query, oracle.entries) == ("my notes", "my query", (MemoryEntry(1, FACTS[0]),))
    assert view(Rung.ORACLE_RETRIEVAL, TASK, 0, replace(memory, query=""), 1, sees).query == question.text
    assert view(Rung.GOLD_FACTS, TASK, 0, memory, 1, frozenset({"scratchpad"})).entries == ()


def test_the_memory_of_a_question_is_that_before_its_own_first_call() -> None:
    def op(kind: str, text: str, entry: int | None = None) -> dict[str, Any]:
        return {"kind": kind, "text": text, "outcome": "ok", "entry": entry}

    steps = [
        {"step": -1, "ops": [op("create", "zero", 1)]},
        {"step": 0, "question": None, "ops": [op("create", "one", 2), op("scratchpad", "notes")]},
        {"step": 1, "question": 0, "ops": [op("read", "first")]},
        {"step": 2, "question": 0, "ops": [op("delete", "", 1)]},
        {"step": 3, "question": 1, "ops": [op("update", "two", 2)]},
    ]
    assert held(steps, 0) == Held("notes", "", {1: "zero", 2: "one"})
    assert held(steps, 1) == Held("notes", "first", {2: "one"})
    assert held(steps, 2) == Held("notes", "first", {2: "two"}), "never asked: the memory at the end"
    assert held([], 0) == Held()


def test_several_questions_and_repeats_have_rungs_of_their_own(play: Any) -> None:
    run = play("append_only", "task.folder=data/three", "eval.repeats=2", "memory.retrieve_k=2")
    result = ladder.climb(run)
    assert {rung["scores"]["em"]["n"] for rung in result["rungs"]} == {60}
    assert {rung["scores"]["em"]["tasks"] for rung in result["rungs"]} == {10}
    lines = journal(run)
    assert len(lines) == 4 * 60
    for (episode, number, rung), line in lines.items():
        question = run.task(run.episodes[episode]["task"]).questions[number]
        if rung == "gold facts":
            assert [text for _, text in line["shown"]] == [support.text for support in question.supporting]
            assert line["scores"]["em"] == 1.0
        if rung == "oracle retrieval":
            memory = held(run.steps(episode), number)
            assert all(memory.entries[entry] == text for entry, text in line["shown"])
            assert len(line["shown"]) <= 2


def test_a_reply_that_reads_is_no_answer_on_a_rung(play: Any) -> None:
    """`sloppy` reads whenever it has no query; there is none without memory, and no read left."""
    run = play("sloppy")
    ladder.climb(run)
    lines = [line for line in journal(run).values() if line["rung"] == "no memory" and "<read>" in line["reply"]]
    assert lines
    assert all(line["answer"] == "" and line["scores"]["em"] == 0 for line in lines)


# --- continued, repeated, refused


def test_the_same_command_again_asks_nothing_and_says_the_same(play: Any) -> None:
    run = play("random")
    first = ladder.climb(run)
    written = (run.path / "ladder.jsonl").read_bytes()
    again = ladder.climb(Run(run.path))
    assert (run.path / "ladder.jsonl").read_bytes() == written
    assert {k: v for k, v in first.items() if k != "made"} == {k: v for k, v in again.items() if k != "made"}


def test_a_ladder_of_an_earlier_version_gets_today_s_names_and_asks_nothing_again(play: Any) -> None:
    run = play("oracle")
    file, lines = run.path / "ladder.json", run.path / "ladder.jsonl"
    today = ladder.climb(run)
    written = lines.read_bytes()
    old = json.loads(file.read_text())
    for step in old["steps"]:
        step["clusters"] = step.pop("tasks")
    file.write_text(json.dumps(old))
    assert ladder.climb(run)["steps"] == today["steps"]
    assert {step.get("tasks") for step in json.loads(file.read_text())["steps"]} == {40}
    assert lines.read_bytes() == written


def test_replies_do_not_depend_on_the_batch_and_every_rung_has_its_own_seed(play: Any) -> None:
    few, many = play("random", "policy.batch=3", name="few"), play("random", name="many")
    ladder.climb(few)
    ladder.climb(many)
    assert journal(few) == journal(many)
    replies = [(key[0], line["reply"]) for key, line in journal(many).items() if key[2] in ("closed book", "no memory")]
    assert len(set(replies)) > len(replies) * 0.8


@pytest.mark.parametrize("keep", [0, 1, 5, 37, 120])
def test_a_ladder_cut_at_any_line_ends_the_same(play: Any, keep: int) -> None:
    run = play("chaotic", "policy.batch=7")
    whole = ladder.climb(run)
    path = run.path / "ladder.jsonl"
    before = path.read_bytes()
    lines = before.splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:keep]) + lines[keep][:20])
    assert ladder.climb(run)["digest"] == whole["digest"]
    assert path.read_bytes() == before


PROGRAM = """
import sys, time
from pathlib import Path
from atommem_cli.replay import ladder
from atommem_cli.runs.reader import Run
ladder.climb(Run(Path(sys.argv[1])), progress=lambda *_: time.sleep(0.002))
"""


def test_kills_at_any_moment_change_nothing(play: Any, home: Path) -> None:
    run = play("random", "policy.batch=4")
    whole = ladder.climb(run)["digest"]
    path = run.path / "ladder.jsonl"
    path.unlink()
    killed = 0
    for _ in range(4):
        size = path.stat().st_size if path.exists() else 0
        process = subprocess.Popen([sys.executable, "-c", PROGRAM, str(run.path)], cwd=home, env=dict(os.environ))
        while process.poll() is None and (not path.exists() or path.stat().st_size <= size):
            time.sleep(0.005)
        time.sleep(0.03)
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            killed += 1
        process.wait()
    assert killed >= 2, "the ladder is too short to be killed"
    assert 0 < len(path.read_bytes().splitlines()) < 160
    assert ladder.climb(run)["digest"] == whole


def test_a_line_that_another_version_would_not_write_is_asked_again(play: Any) -> None:
    run = play("oracle")
    whole = ladder.climb(run)["digest"]
    path = run.path / "ladder.jsonl"
    changed = path.read_text().replace('"memory":"', '"memory":"x', 1)
    path.write_text(changed)
    assert ladder.climb(run)["digest"] == whole
    assert len(path.read_text().splitlines()) == 161


def test_an_unfinished_run_is_refused(play: Any) -> None:
    run = play("oracle")
    path = run.path / "episodes.jsonl"
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-3]))
    with pytest.raises(UsageError, match="37 of 40 episodes"):
        ladder.climb(Run(run.path))
    assert not (run.path / "ladder.jsonl").exists()


def test_another_policy_agent_or_data_than_the_run_s_is_refused(play: Any, home: Path) -> None:
    run = play("oracle")
    identity = (run.path / "run.json").read_text()
    for old, new, said in (
        ("scripted: oracle", "scripted: another", "its policy is another one now"),
        (run.identity["agent"]["prompts"], "0" * 16, r"its agent is another one now \(prompts differ\)"),
        (run.identity["tasks"], "0" * 64, "played on other tasks"),
    ):
        (run.path / "run.json").write_text(identity.replace(old, new))
        with pytest.raises(RunMismatch, match=said):
            ladder.climb(Run(run.path))


def test_a_run_that_only_a_judge_scores_is_refused(play: Any) -> None:
    run = play("oracle")
    identity = json.loads((run.path / "run.json").read_text())
    (run.path / "run.json").write_text(json.dumps({**identity, "scorers": ["judge"]}))
    with pytest.raises(UsageError, match="a ladder needs a scorer that needs no model"):
        ladder.climb(Run(run.path))


def test_two_processes_do_not_climb_at_once(play: Any) -> None:
    run = play("oracle")

    def again(done: int, planned: int, remark: str) -> None:
        with pytest.raises(RunMismatch, match="another atommem process"):
            ladder.climb(run)
        seen.append((done, planned))

    seen: list[tuple[int, int]] = []
    ladder.climb(run, progress=again)
    assert {planned for _, planned in seen} == {160}
    assert seen[-1][0] == 160


# --- a server, failures, hostile text


def test_a_server_s_failures_are_counted_apart_and_asked_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run: two of four episodes fail. The ladder: one of its calls fails, and comes right the next time."""
    monkeypatch.chdir(tmp_path)
    preparation.prepare("stream", out=tmp_path / "data" / "stream", limit=4)
    ok = completion(f"<answer>{UNKNOWN}</answer>")
    answers = [ok, error(500, "out of order"), ok, error(500, "out of order"), ok, error(500, "again"), *[ok] * 40]
    with Server(*answers) as server:
        policy = f"policy={{name: openai_server, url: '{server.url}', model: m, retries: 0, concurrency: 1}}"
        recipe = recipes.load(
            "tiny-sloppy", ["task.folder=data/stream", policy, "agent.name=rag", "agent.dialect=paper"]
        )
        evaluation.evaluate(recipe, tmp_path / "run")
        run = Run(tmp_path / "run")
        lost = [name for name, line in run.episodes.items() if line["stop"] == "error"]
        assert len(lost) == 2
        first = ladder.climb(run)
        assert first["failed_episodes"] == lost
        assert len(first["failed_calls"]) == 1
        assert "500" in first["failed_calls"][0]["error"]
        assert {rung["scores"]["em"]["n"] for rung in first["rungs"]} == {4}
        asked = len(server.bodies)
        second = ladder.climb(run)
        assert len(server.bodies) == asked + 1, "only what had failed was asked again"
    assert second["failed_calls"] == []
    assert [rung["calls"] for rung in second["rungs"]] == [2, 2, 0, 2, 2]
    assert all(step["delta"] == 0 for step in second["steps"]), "every reply is the same, and failures are no stage's"
    assert "failed episodes | 2" in (run.path / "ladder.md").read_text()
    assert server.bodies[-1]["max_tokens"] == recipe.limits.answer


def test_hostile_replies_do_no_harm(play: Any) -> None:
    run = play("chaotic", "agent.dialect=paper", "task.folder=data/three")
    result = ladder.climb(run)
    assert json.loads((run.path / "ladder.json").read_text())["digest"] == result["digest"]
    text = (run.path / "ladder.md").read_text(encoding="utf-8")
    assert not {"\x00", "\x1b", "\u202e", "<script>"} & {
        part for part in ("\x00", "\x1b", "\u202e", "<script>") if part in text
    }
    for table in ladder.tables(result):
        assert {len(row) for row in table.rows} == {len(table.headers)}
