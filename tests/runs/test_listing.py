"""What lies in a folder of results."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path

import pytest
from commands import atommem, complaint

from atommem_cli.config import recipe as recipes
from atommem_cli.data import preparation
from atommem_cli.running import evaluation
from atommem_cli.runs import listing


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("home")
    preparation.prepare("stream", out=folder / "data" / "stream", limit=4)
    agents = ("--agent", "atommem", "--agent", "rag")
    atommem("eval", "--policy", "scripted:oracle", *agents, cwd=folder)
    atommem("eval", "--policy", "scripted:mute", "--out", "results/study", *agents, cwd=folder)
    return folder


def test_names_say_who_played(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(home)
    names = sorted(path.name[:-8] for path in Path("results").glob("eval-*"))
    assert names == ["eval-tiny-atommem-oracle-", "eval-tiny-rag-oracle-"]
    recipe = recipes.load("tiny", ["policy={name: openai_server, url: 'http://h/v1', model: 'org/a b:7'}"])
    assert evaluation.run_path(recipe, None).name[:-8] == "eval-tiny-atommem-a-b-7-"
    trained = recipes.load("tiny", ["policy.model=results/grpo-tiny/model"])
    assert evaluation.run_path(trained, None).name[:-8] == "eval-tiny-atommem-grpo-tiny-"
    long = recipes.load("tiny", [f"policy.model={'x' * 300}"])
    assert len(evaluation.run_path(long, None).name) < 80
    older = Path("results") / f"eval-tiny-{trained.digest[:8]}"
    older.mkdir()
    assert evaluation.run_path(trained, None) == older
    older.rmdir()


def test_every_run_is_one_line_with_its_score_and_state(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(home)
    found = listing.runs(Path("results"))
    assert sorted((one.agent, one.policy) for one in found) == [
        (agent, f"scripted: {script}") for agent in ("atommem", "rag") for script in ("mute", "oracle")
    ]
    assert [one.date for one in found] == sorted((one.date for one in found), reverse=True)
    for one in found:
        result = json.loads((Path(one.folder) / "summary.json").read_text())
        cell = result["scores"]["em"]
        assert (one.command, one.recipe, one.scorer) == ("eval", "tiny", "em")
        assert one.score == (cell["mean"], cell["low"], cell["high"])
        assert one.state == "finished"
        assert one.date.startswith("20")
    assert {Path(one.folder).parent.name for one in found} == {"results", "study"}
    assert json.loads(atommem("runs", "--json", cwd=home).stdout)[0]["agent"] == found[0].agent
    assert "eval-tiny-rag-oracle-" in atommem("runs", cwd=home).stdout


def test_unfinished_and_damaged_runs_are_shown_as_such(home: Path, tmp_path: Path) -> None:
    whole = next(home.glob("results/eval-tiny-rag-*"))
    for name in ("begun", "damaged", "odd", "foreign"):
        shutil.copytree(whole, tmp_path / name)
    (tmp_path / "begun" / "summary.json").unlink()
    lines = (whole / "episodes.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "begun" / "episodes.jsonl").write_text("".join(lines[:3]))
    (tmp_path / "damaged" / "run.json").write_text("{")
    (tmp_path / "odd" / "run.json").write_text("[1, 2]")
    (tmp_path / "foreign" / "run.json").unlink()
    (tmp_path / "a file").write_text("x")
    told = {Path(one.folder).name: one.state for one in listing.runs(tmp_path)}
    assert set(told) == {"begun", "damaged", "odd"}
    assert told["begun"] == "3 of 4 episodes"
    assert told["damaged"].startswith("damaged: ")
    assert told["odd"].startswith("damaged: ")


def test_a_run_that_lost_what_was_summed_up_is_not_finished(home: Path, tmp_path: Path) -> None:
    (played,) = (home / "results").glob("eval-tiny-rag-*")
    shutil.copytree(played, tmp_path / "run")
    lines = (tmp_path / "run" / "episodes.jsonl").read_bytes().splitlines(keepends=True)
    for left in (len(lines) - 1, 0):
        (tmp_path / "run" / "episodes.jsonl").write_bytes(b"".join(lines[:left]))
        (one,) = listing.runs(tmp_path)
        assert one.state == f"damaged: {left} of {len(lines)} episodes are left in episodes.jsonl"


def test_no_folder_is_one_sentence(tmp_path: Path) -> None:
    assert complaint("runs", cwd=tmp_path).endswith("results: no such folder: `atommem eval` makes one")


def test_three_hundred_runs_take_a_moment(home: Path, tmp_path: Path) -> None:
    whole = next(home.glob("results/eval-tiny-rag-*"))
    for number in range(300):
        (tmp_path / str(number)).mkdir()
        for name in ("run.json", "summary.json", "recipe.yaml", "sessions.jsonl", "episodes.jsonl"):
            (tmp_path / str(number) / name).symlink_to(whole / name)
    begin = time.perf_counter()
    assert len(listing.runs(tmp_path)) == 300
    assert time.perf_counter() - begin < 5


def test_what_had_finished_is_shown_when_the_next_agent_cannot_play(home: Path, tmp_path: Path) -> None:
    shutil.copytree(home / "data", tmp_path / "data")
    (tmp_path / "out" / "rag").mkdir(parents=True)
    (tmp_path / "out" / "rag" / "somebody's file").write_text("x")
    command = ("eval", "--policy", "scripted:oracle", "--agent", "atommem", "--agent", "rag", "--out", "out")
    done = atommem(*command, cwd=tmp_path, status=2)
    assert "| atommem | scripted: oracle |" in done.stdout
    assert "somebody's file" in done.stderr
