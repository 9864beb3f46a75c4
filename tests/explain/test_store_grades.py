"""Memory quality of runs: by hand, against the life of each fact, and where there is none."""

from __future__ import annotations

import json
import shutil
from math import sqrt
from pathlib import Path
from typing import Any

import pytest
from builders import Says
from commands import atommem

from atommem_cli.config import recipe as recipes
from atommem_cli.core.calls import Expects
from atommem_cli.core.episode import Call
from atommem_cli.core.types import MemoryOp, OpKind
from atommem_cli.data import preparation
from atommem_cli.explain import fact_trails, store_grades
from atommem_cli.explain.store_grades import StoreGrades
from atommem_cli.reporting import store_tables
from atommem_cli.running.build import assemble
from atommem_cli.running.evaluation import evaluate
from atommem_cli.runs.reader import Run

SCRIPTS = ("oracle", "append_only", "mute")


def recipe(script: str, data: Path, agent: str = "agemem", **changes: Any) -> recipes.Recipe:
    content = {
        "name": script,
        "task": {"folder": str(data)},
        "chunk": {"tokens": 8, "overlap": 0, "by": "documents", "most": None},
        "memory": {"retrieve_k": 4},
        "limits": {"reply": 400, "answer": 100, "reads": 4},
        "agent": {"name": agent, "dialect": "tiny"},
        "policy": {"name": "scripted", "script": script},
        "store": {"name": "exact"},
        "embedder": {"name": "hashing"},
        **changes,
    }
    return recipes.resolve(content, [], origin=script)


def play(out: Path, *given: Any, **changes: Any) -> Run:
    evaluate(recipe(*given, **changes), out)
    return Run(out)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("grades")
    preparation.prepare("stream", out=folder / "data", split="validation", distractors=2, limit=24)
    for agent in ("agemem", "atommem"):
        for script in SCRIPTS:
            play(folder / f"{agent}-{script}", script, folder / "data", agent)
    return folder


def graded(path: Path) -> StoreGrades:
    return store_grades.grades(Run(path))


@pytest.mark.parametrize("agent", ["agemem", "atommem"])
def test_scripts_stand_in_order_and_coverage_is_what_the_trails_hold(agent: str, home: Path) -> None:
    told = {script: graded(home / f"{agent}-{script}") for script in SCRIPTS}
    means = {script: one.quality.mean if one.quality else None for script, one in told.items()}
    assert means["oracle"] > 0.6
    assert 0.3 > means["append_only"] > 0 == means["mute"]
    run = Run(home / f"{agent}-append_only")
    held = []
    for line in run.episodes.values():
        trails = fact_trails.trace(run, line).trails
        if not all(trail.gone for trail in trails):
            held.append(sum(trail.held for trail in trails) / len(trails))
    one = told["append_only"]
    assert one.quality is not None
    assert one.quality.n == one.quality.tasks == len(held) < one.episodes == 24
    assert one.coverage == pytest.approx(sum(held) / len(held))
    created = {name: json.loads((home / f"{agent}-{name}/summary.json").read_text())["operations"] for name in SCRIPTS}
    assert one.effective[OpKind.CREATE] == created["append_only"]["create"]["ok"] / 24
    assert (told["mute"].called[OpKind.CREATE], told["mute"].calls) == (0, pytest.approx(one.calls, abs=1.5))


def test_what_an_agent_stores_before_its_first_call_counts_too(home: Path, tmp_path: Path) -> None:
    run = play(tmp_path / "rag", "oracle", home / "data", "rag")
    documents = [len(run.task(line["task"]).documents) for line in run.episodes.values()]
    found = store_grades.grades(run)
    assert found.effective[OpKind.CREATE] == sum(documents) / 24
    assert found.called[OpKind.READ] == 1, "one question"


def test_by_hand_of_one_entry_that_is_needed_and_one_that_is_not(tmp_path: Path) -> None:
    """Half of the gold facts of a question that has two, in one of two entries; every answer is right."""
    options = {"questions": 1}
    preparation.prepare("stream", out=tmp_path / "data", split="validation", options=options, limit=30)

    def say(call: Call) -> str:
        assert call.episode is not None
        task, agent = call.episode.task, call.episode.agent
        if call.observation.question is not None:
            return agent.write(Expects.ANSWER, [], task.questions[0].answers[0])
        first = task.questions[0].supporting[:1]
        texts = [*(support.text for support in first), "nothing of that kind"]
        return agent.write(
            Expects.OPERATIONS, [MemoryOp(OpKind.CREATE, t) for t in texts] if not call.observation.chunk else []
        )

    whole = recipe("mute", tmp_path / "data", "atommem")
    evaluate(whole, tmp_path / "run", parts=assemble(whole, tmp_path / "run", playing=Says(say)))
    run = Run(tmp_path / "run")
    two = [
        task
        for line in run.episodes.values()
        if len((task := run.task(line["task"])).questions[0].supporting) == 2
        and all(task.documents[s.document].event.value for s in task.questions[0].supporting)  # type: ignore[union-attr]
    ]
    assert two
    for line in run.episodes.values():
        if line["task"] in {task.id for task in two}:
            count = store_grades.Count(run)
            count.add(line, run.steps(line["episode"]))
            found = count.result()
            assert (found.coverage, found.precision) == (0.5, 0.5)
            assert found.quality is not None
            assert found.joint is not None
            assert (found.quality.mean, found.joint.mean) == (0.25, pytest.approx(sqrt(1 * 0.25)))
            assert found.called[OpKind.CREATE] == 2


def test_tables_have_a_dash_where_there_is_nothing_to_grade(home: Path, tmp_path: Path) -> None:
    closed = play(tmp_path / "closed", "mute", home / "data", "closed_book")
    gone = tmp_path / "gone"
    shutil.copytree(home / "agemem-oracle", gone)
    text = (gone / "recipe.yaml").read_text()
    (gone / "recipe.yaml").write_text(text.replace(str(home / "data"), str(tmp_path / "moved")))
    found = {name: graded(path) for name, path in (("a", home / "agemem-oracle"), ("b", closed.path), ("c", gone))}
    quality, calls = (table.rows for table in store_tables.tables(found))
    assert [row[1:] for row in quality[1:]] == [("-",) * 5] * 2
    assert quality[0][5] == f"{found['a'].quality.n} in {found['a'].quality.n} tasks"  # type: ignore[union-attr]
    assert calls[1][1:-2] == ("-",) * 6
    assert calls[0][1:] == calls[2][1:]
    assert store_tables.tables({"b": found["b"]}) == []


def test_eval_compare_and_report_show_it(home: Path, tmp_path: Path) -> None:
    runs = [str(home / name) for name in ("atommem-oracle", "agemem-oracle")]
    said = atommem("compare", *runs, cwd=tmp_path).stdout
    assert "Memory quality" in said
    assert "Operations per episode" in said
    values = json.loads(atommem("compare", *runs, "--json", cwd=tmp_path).stdout)["stores"]
    base, other = (graded(Path(run)) for run in runs)
    deltas = [b - a for task in base.by_task for a, b in zip(base.by_task[task], other.by_task[task], strict=True)]
    found = values["agemem-oracle"]["difference"]
    assert (found["n"], found["delta"]) == (len(deltas), pytest.approx(sum(deltas) / len(deltas)))
    assert "difference" not in values["atommem-oracle"]
    assert values["agemem-oracle"]["quality"]["mean"] == graded(home / "agemem-oracle").quality.mean  # type: ignore[union-attr]
    atommem("report", *runs, "--out", "page", cwd=tmp_path)
    assert "Memory quality: coverage of gold facts" in (tmp_path / "page" / "report.html").read_text()
    path = home / "agemem-mute"
    again = ("eval", "--recipe", str(path / "recipe.yaml"), "--out", str(path), "--json")
    (result,) = [json.loads(atommem(*again, cwd=home).stdout)]
    assert result["stores"]["quality"]["mean"] == graded(path).quality.mean  # type: ignore[union-attr]
