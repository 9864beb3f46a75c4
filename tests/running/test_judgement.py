"""`atommem judge`: a finished run gets a judge's score, once, and keeps all else."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
from commands import ATOMMEM, atommem, complaint
from fake_server import Answer, Server, completion, error

from atommem_cli.config import recipe as recipes
from atommem_cli.data import preparation
from atommem_cli.running import evaluation
from atommem_cli.runs.reader import Run

RIGHT, WRONG = '{"correct": true}', '{"correct": false}'


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the run `run` of three episodes of one question; its policy's model is gone."""
    home = tmp_path_factory.mktemp("played")
    with pytest.MonkeyPatch.context() as patched, Server() as server:
        patched.chdir(home)
        preparation.prepare("stream", out="data/stream", limit=3, options={"questions": 1})
        policy = f"policy={{name: openai_server, url: '{server.url}', model: gone, retries: 0}}"
        evaluation.evaluate(recipes.load("tiny", [policy]), Path("run"))
    return home


@pytest.fixture
def home(played: Path, tmp_path: Path) -> Path:
    shutil.copytree(played, tmp_path / "home")
    return tmp_path / "home"


def by(server: Server, model: str = "m") -> tuple[str, ...]:
    keys = (f"url={server.url}", f"model={model}", "retries=0", "concurrency=1")
    return ("run", "--judge", "openai_server", *(word for key in keys for word in ("--set", f"eval.judge.{key}")))


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_finished_run_gets_a_score_and_keeps_all_else(home: Path) -> None:
    before = content(home / "run")
    with Server(*map(completion, [RIGHT, WRONG, RIGHT])) as server:
        done = atommem("judge", *by(server), cwd=home)
        asked = len(server.bodies)
    assert "judge (m)" in done.stdout
    after = content(home / "run")
    assert sorted(after.keys() - before.keys()) == ["judge.json", "verdicts.jsonl"]
    assert {name for name in before if after[name] != before[name]} == {"summary.json", "table.md"}
    was, now = json.loads(before["summary.json"]), json.loads(after["summary.json"])
    assert now["scores"].pop("judge")["mean"] == pytest.approx(2 / 3)
    assert now.pop("judge")["judged"] == now.pop("judge_replies")["all"] == asked == 3
    assert sum(row["n"] for row in now.pop("judged_by_kind").values()) == 2 * 3  # by hops and by hinge
    assert now == was
    record = json.loads(after["judge.json"])
    assert (record["judge"]["model"], record["judge"]["temperature"]) == ("m", 0.0)
    assert record["judge"]["url"] == server.url
    assert len(record["prompt"]) == 64
    assert record["sessions"][0]["command"][1:3] == ["judge", "run"]
    # The server is gone: nobody asks it again, and every reader knows whom the score is of.
    assert "judge (m)" in atommem("judge", "run", cwd=home).stdout
    assert content(home / "run") == after
    assert "judge (openai_server: m) 66.7" in atommem("runs", ".", cwd=home).stdout.replace("\n", " ")
    atommem("replay", "run", cwd=home)


def test_what_was_judged_before_a_kill_is_not_asked_again(home: Path) -> None:
    with Server(completion(RIGHT), Answer(hang=True), *map(completion, [WRONG, RIGHT])) as server:
        process = subprocess.Popen([*ATOMMEM, "judge", *by(server)], cwd=home, stderr=subprocess.DEVNULL)
        while len(server.bodies) < 2:
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert len((home / "run" / "verdicts.jsonl").read_text().splitlines()) == 1
        assert Run(home / "run").scorers == ("em", "f1")
        result = json.loads(atommem("judge", "run", "--json", cwd=home).stdout)
        assert len(server.bodies) == 4
    assert result["scores"]["judge"]["mean"] == pytest.approx(2 / 3)
    assert len(json.loads((home / "run" / "judge.json").read_text())["sessions"]) == 2


def test_another_judge_is_refused_once_the_first_has_judged(home: Path) -> None:
    with Server(error(404, "no such model")) as server:
        said = complaint("judge", *by(server, "typo"), cwd=home, status=3)
    assert said.startswith("atommem: the judge: http")
    assert "correct eval.judge.url or eval.judge.model" in said
    with Server(*[completion(RIGHT)] * 3) as server:
        atommem("judge", *by(server), cwd=home)
        said = complaint("judge", *by(server, "other"), "--set", "eval.judge.temperature=0.7", cwd=home)
        assert len(server.bodies) == 3
    assert "run: was judged by openai_server: m (3 of 3 episodes), and these differ: model, temperature: " in said
    (home / "run" / "judge.json").unlink()
    assert "verdicts.jsonl is there and no judge.json" in complaint("judge", *by(server), cwd=home)


def test_what_cannot_be_judged_says_why(home: Path) -> None:
    assert "say which policy judges" in complaint("judge", "run", cwd=home)
    assert "only keys of eval.judge can be set" in complaint("judge", "run", "--set", "seed=1", cwd=home)
    assert "eval.judge.name: this key is needed" in complaint("judge", "run", "--set", "eval.judge.model=m", cwd=home)
    assert "did you mean 'model'" in complaint(
        "judge", "run", "--judge", "openai_server", "--set", "eval.judge.modell=m", cwd=home
    )
    lines = (home / "run" / "episodes.jsonl").read_text().splitlines(keepends=True)
    (home / "run" / "episodes.jsonl").write_text("".join(lines[:2]))
    with Server() as server:
        assert "the run is not finished" in complaint("judge", *by(server), cwd=home)
        judge = f"eval.judge={{name: openai_server, url: '{server.at('refused')}', model: m, retries: 0}}"
        own = ("--policy", "scripted:oracle", "--set", "eval.scorers=[em, judge]", "--set", judge)
        complaint("eval", *own, "--out", "own", cwd=home, status=3)
        said = complaint("judge", "own", *by(server)[1:], cwd=home)
    assert "its own recipe has a judge, openai_server: m" in said


def test_instructions_can_be_chosen_and_the_same_judge_goes_on_with_them(home: Path) -> None:
    with Server(completion(RIGHT), *[completion("no verdict")] * 6) as server:
        said = complaint("judge", *by(server), "--set", "eval.judging=longmemeval", cwd=home, status=1)
        assert "no verdict" in said
    record = json.loads((home / "run" / "judge.json").read_text())
    with Server(*map(completion, [RIGHT, RIGHT])) as server:
        said = complaint("judge", *by(server), "--set", "eval.judging=general", cwd=home)
        assert "these differ: prompt" in said
    with Server(*map(completion, [RIGHT, RIGHT])) as server:
        record["judge"]["url"] = server.url
        (home / "run" / "judge.json").write_text(json.dumps(record))
        done = atommem("judge", "run", cwd=home)
        assert "questions about long conversations" in server.bodies[0]["messages"][0]["content"]
    assert "judge (m, longmemeval)" in done.stdout
