"""`atommem eval`: scores, evidence, exit statuses; continued after any kill with the same result."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import time
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest
import warm
from commands import ATOMMEM, atommem, complaint
from fake_server import Server, completion, error

from atommem_cli.config import command_line
from atommem_cli.config import recipe as recipes
from atommem_cli.core import files
from atommem_cli.core.errors import RecipeError, SourceError, UsageError
from atommem_cli.core.types import Answer, Question
from atommem_cli.data import preparation
from atommem_cli.running import costing, evaluation
from atommem_cli.runs import score_tables, summary


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with prepared `stream` tasks."""
    folder = tmp_path_factory.mktemp("home")
    preparation.prepare("stream", out=folder / "data" / "stream", limit=12)
    return folder


def run(home: Path, *changes: str, out: str = "", monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.chdir(home)
    recipe = recipes.load("tiny", ["policy={name: scripted, script: random}", *changes])
    return evaluation.evaluate(recipe, Path(out) if out else evaluation.run_path(recipe, None))


def test_the_oracle_scores_100_mute_0_and_append_only_between(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    means = {}
    for script in ("oracle", "mute", "append_only"):
        result = run(home, f"policy={{name: scripted, script: {script}}}", monkeypatch=monkeypatch)
        assert (result["planned"], result["evaluated"], result["failed"]) == (12, 12, [])
        means[script] = result["scores"]["em"]["mean"]
    assert (means["oracle"], means["mute"]) == (1.0, 0.0)
    assert 0.2 < means["append_only"] < 0.95


def test_a_result_says_everything_a_table_needs(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result = run(home, "policy={name: scripted, script: oracle}", monkeypatch=monkeypatch)
    assert result["scores"]["em"]["n"] == 12
    assert result["scores"]["em"]["tasks"] == 12
    assert set(result["by_kind"]) >= {"create", "update", "delete", "1 hop"}
    assert result["operations"]["update"]["ok"] > 0
    assert result["budget"]["calls"]["min"] <= result["budget"]["calls"]["median"] <= result["budget"]["calls"]["max"]
    assert result["steps"]["all"] == result["totals"]["calls"]
    time_of = result["time"]
    assert time_of["wall"] >= time_of["model"] + time_of["embedder"] + time_of["store"]
    assert result["embedder"]["name"] == "hashing (no weights)"
    recipe = recipes.load("tiny", ["policy={name: scripted, script: oracle}"])
    folder = evaluation.run_path(recipe, None)
    assert json.loads((folder / "summary.json").read_text())["digest"] == result["digest"]
    assert "**Memory operations" in (folder / "table.md").read_text()
    assert recipes.load(str(folder / "recipe.yaml")).digest == recipe.digest


def test_a_run_without_an_episode_has_dashes_for_numbers(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(home, out="nothing", monkeypatch=monkeypatch)
    for name in ("episodes.jsonl", "steps.jsonl"):
        Path("nothing", name).write_text("")
    found = summary.summarize(Path("nothing"), {})
    (row,) = score_tables.scores([found]).rows
    assert (row[4:6], row[-3:]) == (("-", "-"), ("-", "-", "-"))
    assert "nan" not in score_tables.evaluation(found)


def test_the_same_command_again_changes_nothing(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = run(home, out="again", monkeypatch=monkeypatch)
    before = {name: (home / "again" / name).read_bytes() for name in ("episodes.jsonl", "steps.jsonl", "run.json")}
    second = run(home, out="again", monkeypatch=monkeypatch)
    assert second["digest"] == first["digest"]
    assert before == {name: (home / "again" / name).read_bytes() for name in before}


@pytest.mark.parametrize("keep", [0, 1, 5, 37])
def test_a_run_cut_at_any_line_ends_the_same(home: Path, monkeypatch: pytest.MonkeyPatch, keep: int) -> None:
    """Steps without their episodes, half rounds, half lines: all are played on from."""
    whole = run(home, "policy.batch=5", out=f"whole-{keep}", monkeypatch=monkeypatch)
    cut = home / f"whole-{keep}"
    steps = (cut / "steps.jsonl").read_bytes().splitlines(keepends=True)
    (cut / "steps.jsonl").write_bytes(b"".join(steps[:keep]) + steps[keep][:20])
    (cut / "episodes.jsonl").write_bytes(b"")
    again = run(home, "policy.batch=5", out=f"whole-{keep}", monkeypatch=monkeypatch)
    assert again["digest"] == whole["digest"]
    assert again["steps"] == whole["steps"]


def test_a_changed_recipe_on_an_old_folder_is_refused_by_its_key(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(home, out="mine", monkeypatch=monkeypatch)
    with pytest.raises(UsageError, match=r"these differ: recipe\.memory\.retrieve_k"):
        run(home, "memory.retrieve_k=5", out="mine", monkeypatch=monkeypatch)


def test_other_tasks_under_the_same_name_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    preparation.prepare("stream", out=tmp_path / "data" / "stream", limit=2)
    run(tmp_path, out="mine", monkeypatch=monkeypatch)
    preparation.prepare("stream", out=tmp_path / "data" / "stream", limit=2, seed=7, force=True)
    with pytest.raises(UsageError, match="these differ: tasks"):
        run(tmp_path, out="mine", monkeypatch=monkeypatch)


def test_damaged_tasks_are_noticed_before_anything_is_played(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    preparation.prepare("stream", out=tmp_path / "data" / "stream", limit=2)
    tasks = tmp_path / "data" / "stream" / "validation" / "tasks.jsonl"
    tasks.write_text(tasks.read_text().replace("home", "hame", 1))
    with pytest.raises(SourceError, match="is not the file that its manifest describes"):
        run(tmp_path, out="mine", monkeypatch=monkeypatch)
    assert not (tmp_path / "mine").exists()


def test_tasks_that_are_none_are_refused_before_anything_is_divided_by_them(tmp_path: Path) -> None:
    atommem("prepare", "stream", "--limit", "2", cwd=tmp_path)
    for split in ("train", "validation"):
        manifest = tmp_path / "data/stream" / split / "manifest.json"
        manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "tasks": 0}))
    for command in ("eval", "ablate", "grpo"):
        assert "tasks: Input should be greater than 0" in complaint(command, "--plan", cwd=tmp_path, status=2)


def test_answer_i_is_scored_against_gold_i_only() -> None:
    """peers.md 1: "yes" x 4 scored 1.0 there, and so did right answers rotated by one."""
    golds = ("yes", "Paris", "Rome", "1999")
    questions = [Question(f"q{i}", "?", (gold,)) for i, gold in enumerate(golds)]

    def em(*texts: str) -> list[float]:
        return evaluation.score(questions, [Answer(text) for text in texts], ["em"])["em"]

    assert em(*golds) == [1, 1, 1, 1]
    assert em(*golds[1:], golds[0]) == [0, 0, 0, 0]
    assert em("yes", "yes", "yes", "yes") == [1, 0, 0, 0]


def test_plan_bounds_what_really_happens(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for agent in ("atommem", "memagent", "rag", "full_context", "closed_book"):
        changes = [f"agent.name={agent}"]
        result = run(home, *changes, monkeypatch=monkeypatch)
        recipe = recipes.load("tiny", ["policy={name: scripted, script: random}", *changes])
        cost = costing.plan(recipe)
        assert (cost.tasks, cost.questions, cost.episodes) == (12, 12, 12)
        assert cost.calls_low <= result["totals"]["calls"] <= cost.calls_high
    assert cost.tokens > 12 * 30


def test_full_context_shows_what_the_chunks_leave_out(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cut = {}
    for agent in ("atommem", "full_context"):
        cut[agent] = run(home, f"agent.name={agent}", "chunk.most=1", monkeypatch=monkeypatch)["truncated_tokens"]
    assert cut["atommem"] > 0
    assert cut["full_context"] == 0


# --- as a process


def eval_command(out: str, *more: str) -> tuple[str, ...]:
    return ("eval", "--policy", "scripted:random", "--set", "policy.batch=4", "--out", out, *more)


def test_ten_kills_and_the_digest_of_an_undisturbed_run(tmp_path: Path) -> None:
    """peers.md 4: the same digest after kills at random moments."""
    preparation.prepare("stream", out=tmp_path / "data" / "stream", limit=300)
    dice = random.Random(3)
    killed = in_play = 0
    while killed < 10:
        process = warm.start(eval_command("killed"), tmp_path)
        _wait_for_growth(tmp_path / "killed" / "steps.jsonl", process)
        time.sleep(dice.uniform(0, 0.12))
        in_play += process.exitcode is None
        process.kill()
        process.join()
        killed += 1
    assert in_play >= 7, "the run is too short to be killed ten times"
    atommem(*eval_command("killed"), cwd=tmp_path)
    atommem(*eval_command("undisturbed"), cwd=tmp_path)
    digests = [
        json.loads((tmp_path / name / "summary.json").read_text())["digest"] for name in ("killed", "undisturbed")
    ]
    assert digests[0] == digests[1]
    steps = [sorted(_replies(tmp_path / name)) for name in ("killed", "undisturbed")]
    assert steps[0] == steps[1]


def _wait_for_growth(path: Path, process: BaseProcess) -> None:
    size = path.stat().st_size if path.exists() else 0
    while process.exitcode is None and (not path.exists() or path.stat().st_size <= size):
        time.sleep(0.005)


def _replies(folder: Path) -> list[tuple[Any, ...]]:
    lines = {(line["episode"], line["step"]): line for _, line in files.read_lines(folder / "steps.jsonl")}
    return [(*key, line.get("reply", ""), line["ops"]) for key, line in lines.items()]


def test_interrupting_saves_what_had_finished_and_exits_130(tmp_path: Path) -> None:
    preparation.prepare("stream", out=tmp_path / "data" / "stream", limit=80)
    # A job that a shell started in the background ignores the signal, and so would every process it starts.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    process = subprocess.Popen(
        [*ATOMMEM, *eval_command("mine")], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    signal.signal(signal.SIGINT, before)
    while (
        not (tmp_path / "mine" / "episodes.jsonl").exists() or not (tmp_path / "mine" / "episodes.jsonl").stat().st_size
    ):
        time.sleep(0.005)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert "the same command goes on from there" in said
    assert "Traceback" not in said
    atommem(*eval_command("mine"), cwd=tmp_path)
    summary = json.loads((tmp_path / "mine" / "summary.json").read_text())
    assert summary["evaluated"] == summary["planned"] == 80
    assert summary["time"]["sessions"] == 2


def test_a_real_model_is_continued_to_the_same_digest(home: Path) -> None:
    """With sampled replies of the tiny model: a half-recorded round is generated again with its old members."""
    command = ("eval", "--limit", "6", "--set", "policy={name: hf, model: tiny, temperature: 1.0, batch: 4}", "--out")
    atommem(*command, "real", cwd=home)
    whole = json.loads((home / "real" / "summary.json").read_text())
    steps = (home / "real" / "steps.jsonl").read_bytes().splitlines(keepends=True)
    (home / "real" / "steps.jsonl").write_bytes(b"".join(steps[: len(steps) // 3]))
    (home / "real" / "episodes.jsonl").write_bytes(b"")
    atommem(*command, "real", cwd=home)
    again = json.loads((home / "real" / "summary.json").read_text())
    assert again["digest"] == whole["digest"]
    assert again["totals"] == whole["totals"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["eval", "--recipe", "tny"], "no such recipe; did you mean 'tiny'"),
        (["eval", "--set", "memory.k=3"], "memory.k: unknown key"),
        (["eval", "--policy", "scripted:orcle"], "policy.script"),
        (["eval", "--agent", "atomem"], "did you mean 'atommem'"),
        (["eval", "--set", "agent.dialect=papr"], "did you mean 'paper'"),
        (["eval", "--set", "eval.scorers=[emm]"], "did you mean 'em'"),
        (["eval", "--policy", "scripted:oracle", "--set", "task.folder=data/nothing"], "run `atommem prepare`"),
        (["eval", "--policy", "scripted:oracle", "--set", "eval.scorers=[judge]"], "eval.judge"),
        (["eval", "--set", "policy={name: hf, model: /no/such/model}"], "/no/such/model"),
        (["prepare", "hotpot"], "did you mean 'hotpotqa'"),
        (["prepare", "hotpotqa", "--source", "/no/such/file"], "/no/such/file"),
        (["prepare", "hotpotqa", "--source", "data/stream/validation/tasks.jsonl"], "say which --split it is"),
        (["prepare", "stream", "--set", "stile=rich"], "did you mean 'style'"),
        (["prepare", "stream", "--split", "validatoin"], "did you mean 'validation'"),
    ],
)
def test_wrong_use_is_one_sentence_and_status_2(home: Path, arguments: list[str], sentence: str) -> None:
    done = complaint(*arguments, cwd=home, status=3 if "/no/such/model" in sentence else 2)
    assert sentence in done


def test_failed_episodes_decide_the_exit_status(tmp_path: Path) -> None:
    """A server that answers 500 to some: counted, listed, in the denominator, and tried again next time."""
    preparation.prepare("stream", out=tmp_path / "data" / "stream", limit=4)
    answers = [error(500, "out of order") if n in (1, 3) else completion("<answer>x</answer>") for n in range(10)]
    with Server(*answers) as server:
        policy = f"policy={{name: openai_server, url: '{server.url}', model: m, retries: 0, concurrency: 1}}"
        command = ("eval", "--set", policy, "--out", "mine", "--agent", "closed_book")
        atommem(*command, cwd=tmp_path, status=1)
        summary = json.loads((tmp_path / "mine" / "summary.json").read_text())
        assert (summary["planned"], summary["evaluated"], len(summary["failed"])) == (4, 4, 2)
        assert summary["scores"]["em"]["n"] == 4
        assert "500" in summary["failed"][0]["error"]
        asked = len(server.bodies)
        atommem(*command, "--max-failed", "2", cwd=tmp_path)
        assert 0 < len(server.bodies) - asked < 4, "only what had failed was asked again"
        summary = json.loads((tmp_path / "mine" / "summary.json").read_text())
        assert (summary["evaluated"], summary["failed"]) == (4, [])


def test_check_is_green_offline(tmp_path: Path) -> None:
    done = warm.atommem(("check",), tmp_path, 120, http_proxy="http://127.0.0.1:9")
    assert done.returncode == 0, done.stdout
    lines = done.stdout.splitlines()
    assert len(lines) == 10
    assert all(line.startswith("ok") for line in lines)


def test_help_loads_nothing_heavy() -> None:
    program = (
        "import sys\nfrom atommem_cli import cli\n"
        "print([m for m in ('torch', 'transformers', 'chromadb', 'pandas', 'pydantic', 'numpy') if m in sys.modules])"
    )
    done = subprocess.run([ATOMMEM[0], "-c", program], capture_output=True, text=True, check=True, env=dict(os.environ))
    assert done.stdout.strip() == "[]"


def test_a_key_of_agents_is_for_those_that_have_it() -> None:
    both = command_line.recipes_for(None, ["atommem", "rag"], "scripted:oracle", {}, ["agent.dialect=paper", "seed=5"])
    assert [(one.agent.name, one.agent.model_extra, one.seed) for one in both] == [
        ("atommem", {"dialect": "paper", "reread": True}, 5),
        ("rag", {"dialect": "paper"}, 5),
    ]
    both = command_line.recipes_for(None, ["rag", "atommem"], "scripted:oracle", {}, ["agent.advance=write"])
    assert ["advance" in (one.agent.model_extra or {}) for one in both] == [False, True]
    with pytest.raises(
        RecipeError, match=r"^--set agent\.last: unknown key of atommem \(there are: dialect, advance, reread\)$"
    ):
        command_line.recipes_for(None, ["rag", "atommem"], "scripted:oracle", {}, ["agent.last=5"])


def test_a_scorer_that_can_never_be_other_than_0_is_refused(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for dialect in ("tiny", "paper"):
        changes = (f"agent.dialect={dialect}", "eval.scorers=[boxed_em, em]", "limits.answer=60", "limits.reply=400")
        with pytest.raises(UsageError, match=rf"eval.scorers: boxed_em is 0 for every answer in the dialect {dialect}"):
            run(home, *changes, out="never", monkeypatch=monkeypatch)
        with pytest.raises(UsageError, match="boxed_em is 0"):
            costing.plan(recipes.load("tiny", ["policy={name: scripted, script: oracle}", *changes]))
    assert not (home / "never").exists()
    boxed = ("policy={name: scripted, script: oracle}", "agent.dialect=released", *changes[1:])
    result = run(home, *boxed, out="boxed", monkeypatch=monkeypatch)
    assert [result["scores"][name]["mean"] for name in ("boxed_em", "em")] == [1.0, 1.0]


def test_a_run_of_replies_that_were_cut_says_so(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Server(*[completion("", finish="length")] * 99) as server:
        monkeypatch.chdir(home)
        policy = f"policy={{name: openai_server, model: m, url: '{server.url}'}}"
        done = atommem("eval", "--set", policy, "--limit", "1", "--out", "cut", cwd=home)
        result = json.loads((home / "cut" / "summary.json").read_text())
    counts = result["replies"]
    assert counts["all"] == counts["cut"] == counts["empty"] == result["steps"]["all"] > 1
    said = f"{counts['cut']} of {counts['all']} replies were cut at their limit"
    assert said in done.stderr
    assert said in (home / "cut" / "table.md").read_text()
    assert f"| replies | {counts['all']} cut at their limit, {counts['all']} empty of {counts['all']} |" in done.stdout
