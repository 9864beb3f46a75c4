"""The settings `supersede` and `cascade`, played: calibrated by scripts, scored by `stale`, told in every table."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from commands import atommem, complaint

from atommem_cli.compare import comparison, transfer
from atommem_cli.config import recipe as recipes
from atommem_cli.core.errors import UsageError
from atommem_cli.data import preparation
from atommem_cli.explain import cause_counts
from atommem_cli.reporting import transfer_figures
from atommem_cli.running import evaluation
from atommem_cli.runs.reader import Run

SETTINGS: dict[str, dict[str, Any]] = {
    "supersede": {"hinges": {"supersede": 1.0}, "hops": {1: 1.0}, "change": 0.6, "retract": 0, "expire": 0},
    "cascade": {"hinges": {"cascade": 0.6, "update": 0.2, "create": 0.2}, "cascades": 0.125},
}


@pytest.fixture(scope="module", params=[(name, style) for name in SETTINGS for style in ("closed", "rich")])
def played(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """Thirty tasks of a setting, by three scripts."""
    setting, style = request.param
    home = tmp_path_factory.mktemp(f"{setting}-{style}")
    options = {**SETTINGS[setting], "style": style}
    preparation.prepare("stream", out=home / "data", split="validation", options=options, limit=30, seed=3)
    for script in ("oracle", "append_only", "mute"):
        changes = [f"task.folder={home / 'data'}", f"policy={{name: scripted, script: {script}}}", "store.name=exact"]
        changes += ["chunk.tokens=1", "limits.reply=100", "eval.scorers=[em, stale]", "memory.retrieve_k=3"]
        evaluation.evaluate(recipes.load("tiny", [*changes, "store.least=null"]), home / script)
    return setting, home


def summary(home: Path, script: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((home / script / "summary.json").read_text())
    return found


def test_the_oracle_has_all_silence_nothing_and_a_hoarder_is_outdated(played: tuple[str, Path]) -> None:
    setting, home = played
    oracle, hoarder, mute = (summary(home, script) for script in ("oracle", "append_only", "mute"))
    assert (oracle["scores"]["em"]["mean"], oracle["scores"]["stale"]["mean"]) == (1, 1)
    assert (mute["scores"]["em"]["mean"], mute["scores"]["stale"]["mean"]) == (0, 0)
    assert hoarder["scores"]["em"]["mean"] < 0.9
    assert setting in hoarder["by_kind"]
    for found in (oracle, hoarder, mute):
        shares = {name: cell["mean"] for name, cell in found["named"]["all"].items()}
        assert sum(shares.values()) == pytest.approx(1)
        assert shares["current"] - shares["stale"] == pytest.approx(found["scores"]["stale"]["mean"])
        assert found["named"].keys() == {"all", *found["by_kind"]}
        assert all(0 <= cell["low"] <= cell["high"] <= 1 for one in found["named"].values() for cell in one.values())
    assert hoarder["named"][setting]["stale"]["mean"] > 0.1
    assert "What answers name" in (home / "append_only" / "table.md").read_text()


def test_why_counts_answers_that_are_no_more_by_hinge(played: tuple[str, Path]) -> None:
    setting, home = played
    run = Run(home / "append_only")
    counted = cause_counts.summarize(run)
    wrong = [line["scores"]["stale"][0] == -1 for line in run.episodes.values()]
    assert counted["all"].outdated == sum(wrong) > 0
    assert counted[setting].missed >= counted[setting].outdated > 0
    assert not cause_counts.summarize(Run(home / "oracle"))["all"].missed


def test_runs_are_compared_by_it(played: tuple[str, Path]) -> None:
    setting, home = played
    runs = [Run(home / "append_only"), Run(home / "oracle")]
    told = comparison.compare(runs, ["hoarder", "oracle"], "stale")
    hoarder, oracle = told.sides
    assert oracle.difference is not None
    assert oracle.difference.delta == pytest.approx(1 - hoarder.score.mean)
    assert told.named["oracle"] == {"current": 1, "stale": 0, "other": 0}
    assert hoarder.groups[setting][0] < 0.9
    assert comparison.compare(runs, ["hoarder", "oracle"]).named == {}


@pytest.mark.parametrize("played", [("cascade", "rich")], indirect=True)
def test_its_runs_replay_and_stand_in_a_report(played: tuple[str, Path]) -> None:
    _, home = played
    atommem("replay", "append_only", cwd=home)
    atommem("report", "append_only", "oracle", "--out", "report", cwd=home)
    page = (home / "report" / "report.html").read_text()
    assert "what is true now, what is no more, neither or both" in page


def test_tasks_that_say_nothing_of_it_are_refused(tmp_path: Path) -> None:
    for split in ("train", "validation"):
        preparation.prepare("stream", out=tmp_path / "data", split=split, limit=3)
    folder = f"task.folder={tmp_path / 'data'}"
    changes = [folder, "policy={name: scripted, script: oracle}", "store.name=exact"]
    with pytest.raises(UsageError, match=r"eval.scorers: stale goes by answers that are outdated, and no question"):
        evaluation.evaluate(recipes.load("tiny", [*changes, "eval.scorers=[em, stale]"]), tmp_path / "run")
    evaluation.evaluate(recipes.load("tiny", changes), tmp_path / "plain")
    run = Run(tmp_path / "plain")
    with pytest.raises(UsageError, match=r"--scorer stale goes by answers that are outdated"):
        comparison.compare([run, run], ["a", "b"], "stale")
    said = complaint(
        "grpo", "--plan", "--recipe", "smoke", "--set", folder, "--set", "grpo.rewards={stale: 1.0}", cwd=tmp_path
    )
    assert "grpo.rewards: stale goes by answers that are outdated" in said


def test_a_transfer_has_scores_below_zero(tmp_path: Path) -> None:
    runs = []
    for docs in (12, 16):
        out = tmp_path / f"d{docs}"
        options = {**SETTINGS["supersede"], "docs": docs}
        preparation.prepare("stream", out=out, split="validation", options=options, limit=6, seed=3)
        for script in ("oracle", "append_only"):
            changes = [f"task.folder={out}", f"policy={{name: scripted, script: {script}}}", "store.name=exact"]
            run = tmp_path / f"{script}-{docs}"
            evaluation.evaluate(recipes.load("tiny", [*changes, "eval.scorers=[stale, em]"]), run)
            runs.append(Run(run))
    found = transfer.transfer(runs, {})
    for run, place in zip(runs, transfer.place(runs, {}), strict=True):
        score = found.cells[place.trained, place.evaluated].score
        assert score.mean == pytest.approx(
            json.loads((run.path / "summary.json").read_text())["scores"]["stale"]["mean"]
        )
        assert -1 <= score.low <= score.mean
    assert min(cell.score.mean for cell in found.cells.values()) < 0
    assert transfer_figures.heat_map(found).axes[0].images[0].get_clim() == (-1, 1)
