"""`atommem judge --memory`: the stores of a finished run get grades from a judge, beside those by gold facts."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from commands import atommem, complaint
from fake_server import Server, completion

from atommem_cli.config import recipe as recipes
from atommem_cli.data import preparation
from atommem_cli.explain.store_grades import grades
from atommem_cli.running import evaluation
from atommem_cli.runs.reader import Run
from atommem_cli.scoring import grades as instructions


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with runs over the same four tasks: `run` keeps all, `mute` nothing, `closed` has no store."""
    home = tmp_path_factory.mktemp("graded")
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(home)
        preparation.prepare("stream", out="data/stream", split="validation", limit=4, options={"questions": 1})
        for name, script, agent in (("run", "append_only", "atommem"), ("mute", "mute", "atommem"),
                                    ("closed", "mute", "closed_book")):  # fmt: skip
            policy = f"policy={{name: scripted, script: {script}}}"
            recipe = recipes.load("tiny", [policy, f"agent.name={agent}", "store={name: exact}", "task.limit=4"])
            evaluation.evaluate(recipe, Path(name))
    return home


@pytest.fixture
def home(played: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(played, tmp_path / "home")
    monkeypatch.chdir(tmp_path / "home")
    return tmp_path / "home"


def by(server: Server, run: str = "run", model: str = "m") -> tuple[str, ...]:
    keys = (f"url={server.url}", f"model={model}", "retries=0", "concurrency=1")
    return (run, "--memory", "--judge", "openai_server", *(w for key in keys for w in ("--set", f"eval.judge.{key}")))


def said(*scores: float) -> list[object]:
    return [completion(f'{{"score": {score}}}') for score in scores]


def test_stores_get_grades_and_tables_say_how_far_they_agree(home: Path) -> None:
    before = {path.name: path.read_bytes() for path in (home / "run").iterdir()}
    own = grades(Run(home / "run"))
    assert (own.judged, own.judge, own.agreement) == (None, "", None)
    with Server(*said(0.8, 0.2, 0.4, 1.0)) as server:  # type: ignore[arg-type]
        done = atommem("judge", *by(server), cwd=home)
        system, user = server.bodies[0]["messages"]
    assert "by a judge" in done.stdout
    after = {path.name: path.read_bytes() for path in (home / "run").iterdir()}
    assert {name: after[name] for name in before} == before
    assert sorted(after.keys() - before.keys()) == ["grader.json", "grades.jsonl"]
    assert system["content"] == instructions.prompt("memory_quality")
    case = json.loads(user["content"])
    run = Run(home / "run")
    task = run.task("stream-validation-00000")
    assert case["questions"] == [{"question": task.questions[0].text, "gold_answers": [*task.questions[0].answers]}]
    assert case["needed_facts"] == [support.text for support in task.questions[0].supporting]
    assert case["entries"] == list(dict.fromkeys(document.text for document in task.documents))
    told = grades(run)
    kept = {line["episode"]: line["quality"] for line in map(json.loads, after["grades.jsonl"].splitlines())}
    assert [*kept.values()] == [0.8, 0.2, 0.4, 1.0]
    assert told.judged is not None
    assert told.agreement is not None
    assert (told.judge, told.judged.mean, told.agreement.n) == ("openai_server: m", pytest.approx(0.6), told.judged.n)
    assert told.quality == own.quality
    table = atommem("compare", "run", "mute", cwd=home).stdout
    assert "openai_server: m" in table
    # The server is gone: nobody asks it again.
    assert (
        json.loads(atommem("judge", "run", "--memory", "--json", cwd=home).stdout)["judged"]["mean"] == told.judged.mean
    )
    atommem("replay", "run", cwd=home)


def test_what_has_a_grade_is_not_asked_again_and_another_judge_is_refused(home: Path) -> None:
    with Server(*said(0.5), completion("well"), completion("well"), completion("well"), *said(0.1, 0.1)) as server:  # type: ignore[arg-type]
        problem = complaint("judge", *by(server), cwd=home, status=1)
        assert len(server.bodies) == 6
    assert "no verdict after 3 tries on stream-validation-00001#0 memory: no score from 0 to 1" in problem
    with Server(*said(0.9)) as server:  # type: ignore[arg-type]
        refused = complaint("judge", *by(server, model="other"), cwd=home)
        assert "was judged by openai_server: m (3 of 4 episodes), and these differ: model" in refused
        same = ("judge", "run", "--memory", "--set", f"eval.judge.url={server.url}")
        atommem(*same, cwd=home)
        assert len(server.bodies) == 1
    assert grades(Run(home / "run")).judged.mean == pytest.approx((0.5 + 0.9 + 0.1 + 0.1) / 4)  # type: ignore[union-attr]


def test_an_empty_store_is_not_asked_about_and_one_that_cannot_be_is_refused(home: Path) -> None:
    with Server() as server:
        atommem("judge", *by(server, "mute"), cwd=home)
        assert "has no store that could be graded" in complaint("judge", *by(server, "closed"), cwd=home)
        assert server.bodies == []
    told = grades(Run(home / "mute"))
    assert told.agreement is not None
    assert (told.judged.mean, told.agreement.spearman, told.agreement.difference) == (0, None, 0)  # type: ignore[union-attr]
