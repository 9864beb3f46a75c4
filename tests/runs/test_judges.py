"""Who judged is known wherever a judged score stands, and scores of different judges are not compared."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from fake_server import Server, completion

from atommem_cli.compare import comparison
from atommem_cli.config import recipe as recipes
from atommem_cli.core.errors import RunMismatch
from atommem_cli.data import preparation
from atommem_cli.reporting import publish, report
from atommem_cli.running import evaluation
from atommem_cli.runs import judges, listing, score_tables
from atommem_cli.runs.reader import Run

RIGHT = '{"correct": true}'


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`run` is judged by m at one address, `again` by m at another, `other` by another model."""
    folder = tmp_path_factory.mktemp("judged")
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(folder)
        preparation.prepare("stream", out="data/stream", limit=2, options={"questions": 1})
        for name, model in (("run", "m"), ("again", "m"), ("other", "vendor/other")):
            with Server(*[completion(RIGHT)] * 2) as server:
                judge = f"eval.judge={{name: openai_server, url: '{server.url}', model: {model}, retries: 0}}"
                changes = ["policy={name: scripted, script: oracle}", "eval.scorers=[em, judge]", judge]
                evaluation.evaluate(recipes.load("tiny", changes), folder / name)
    return folder


@pytest.fixture(autouse=True)
def inside(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(home)


def test_every_table_with_a_judged_score_names_the_model(home: Path) -> None:
    text = (home / "other" / "table.md").read_text()
    assert "| em | judge (other) |" in text
    assert "| judge | openai_server: other, temperature 0.0, top_p 1.0, prompt " in text
    made = report.report([Path("run"), Path("other")], Path("page"))
    assert {"judge (m)", "judge (other)"} < set(made.table.headers)
    assert "judge (other)" in made.paths[-1].read_text()
    listed = {Path(one.folder).name: one for one in listing.runs(home)}
    assert (listed["other"].scorer, listed["other"].judge) == ("em", "openai_server: other")
    cells = [row[5] for row in listing.table(list(listed.values())).rows]
    assert sum("; judge (openai_server: m) 100.0 [" in cell for cell in cells) == 2


def test_a_judge_is_what_can_change_a_verdict() -> None:
    run, again, other = (Run(Path(name)) for name in ("run", "again", "other"))
    assert run.judge == again.judge
    assert run.judge != other.judge
    assert run.judge is not None
    assert {"url", "retries"} & run.judge.keys() == set()
    older = {key: value for key, value in run.identity["recipe"]["eval"]["judge"].items() if key != "system"}
    assert judges.described(older, run.judge["prompt"]) == run.judge


def test_runs_of_one_judge_are_compared_and_of_several_refused() -> None:
    run, again, other = (Run(Path(name)) for name in ("run", "again", "other"))
    found = publish.findings([run, again], ["run", "again"], "judge")
    assert found.tables[0].headers[1] == "judge (m) [95 %]"
    assert "0 points of judge (m)" in found.sentences[0]
    with pytest.raises(RunMismatch) as refused:
        comparison.compare([run, again, other], ["a", "b", "c"], "judge")
    assert str(refused.value) == (
        "the runs cannot be compared by judge: openai_server: m judged run and openai_server: other judged other "
        "(they differ in model)"
    )
    by_em = publish.findings([run, other], ["run", "other"])
    assert not any("judge" in header for header in by_em.tables[-1].headers)
    assert "The judges' scores are not here: openai_server: m judged run and" in by_em.sentences[-1]


def test_a_summary_of_an_older_atommem_is_no_changed_one(tmp_path: Path) -> None:
    from atommem_cli.replay import replay

    folder = tmp_path / "older"
    shutil.copytree("run", folder)
    written = json.loads((folder / "summary.json").read_text())
    assert written["judge"]["judged"] == 2
    (folder / "summary.json").write_text(json.dumps({k: v for k, v in written.items() if k != "judge"}))
    assert replay.verify(Run(folder)).findings == ()
    assert "judge" in score_tables.scores([{**written, "judge": None}]).headers
