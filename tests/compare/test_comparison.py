"""`atommem compare`: the same tasks or a refusal, honest sentences, cost, other scorers."""

from __future__ import annotations

import csv
import json
import shutil
from functools import cache
from math import isnan
from pathlib import Path

import pytest
from commands import atommem, complaint

from atommem_cli.compare import comparison
from atommem_cli.compare.panels import Panel, panel
from atommem_cli.config import recipe as recipes
from atommem_cli.core.errors import RunMismatch, UsageError
from atommem_cli.core.types import Answer
from atommem_cli.data import preparation
from atommem_cli.reporting import comparison_tables
from atommem_cli.running import evaluation
from atommem_cli.runs.reader import Run, by_task
from atommem_cli.scoring import metrics, staleness
from atommem_cli.scoring.metrics import em


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty tasks of two questions, played by four scripts."""
    folder = tmp_path_factory.mktemp("home")
    options = {"docs": 12, "questions": 2}
    preparation.prepare("stream", out=folder / "stream", split="validation", options=options, limit=40)
    for script in ("oracle", "append_only", "mute", "random"):
        play(folder, script)
    return folder


def play(home: Path, script: str, name: str = "", *changes: str) -> Path:
    recipe = recipes.load("tiny", [f"policy={{name: scripted, script: {script}}}", "store={name: exact}"])
    recipe = recipe.changed([f"task.folder={home / 'stream'}", *changes])
    evaluation.evaluate(recipe, home / (name or script))
    return home / (name or script)


@cache
def opened(home: Path, *names: str) -> list[Run]:
    return [Run(home / name) for name in names]


def test_runs_are_named_by_their_folders_and_given_as_such(home: Path) -> None:
    paths = [home / "oracle", str(home / "mute")]
    compared = comparison.compare(paths)
    assert [side.label for side in compared.sides] == ["oracle", "mute"]
    assert compared == comparison.compare([Run(path) for path in paths], ["oracle", "mute"])
    with pytest.raises(UsageError, match="there are 2 runs and 1 names: give one for each, or none"):
        comparison.compare(paths, ["a"])
    with pytest.raises(UsageError, match="not the folder of an `atommem eval` run"):
        comparison.compare([home, "nowhere"])
    with pytest.raises(UsageError):
        comparison.compare([])


def test_a_difference_is_that_of_the_scores_on_disk(home: Path) -> None:
    runs = opened(home, "oracle", "append_only")
    side = comparison.compare(runs, ["a", "b"]).sides[1]
    totals = [sum(sum(line["scores"]["em"]) for line in run.episodes.values()) for run in runs]
    assert side.difference is not None
    assert side.difference.n == 80
    assert side.difference.tasks == 40
    assert side.difference.delta == pytest.approx((totals[1] - totals[0]) / 80)
    assert side.difference.low < side.difference.delta < side.difference.high < 0
    assert side.difference.losses == totals[0] - totals[1]


def test_p_values_are_adjusted_over_the_runs(home: Path) -> None:
    sides = comparison.compare(opened(home, "oracle", "append_only", "mute", "random"), list("abcd")).sides
    raw = [side.difference.p for side in sides if side.difference]
    assert [side.holm for side in sides[1:]] == pytest.approx(
        [max(p * (3 - rank) for rank, p in enumerate(sorted(raw)) if p <= mine) for mine in raw]
    )


def test_kinds_of_question_add_up(home: Path) -> None:
    found = comparison.compare(opened(home, "oracle", "append_only"), ["a", "b"])
    groups = found.sides[1].groups
    hinges = [groups[kind][1] for kind in ("create", "update", "delete", "none") if kind in groups]
    overall = found.sides[1].difference
    assert overall is not None
    assert sum(d.n for d in hinges if d) == overall.n
    assert sum(d.n * d.delta for d in hinges if d) == pytest.approx(overall.n * overall.delta)


def test_the_table_by_kind_says_of_how_many_questions(home: Path) -> None:
    found = comparison.compare([Run(home / "oracle"), Run(home / "mute")])
    table = comparison_tables.by_kind(found)
    assert table is not None
    run = Run(home / "oracle")
    asked = [q for line in run.episodes.values() for q in run.task(line["task"]).questions]
    counts = dict(zip(table.headers, table.rows[-1], strict=True))
    for hinge in ("create", "update", "delete"):
        assert counts[hinge] == str(sum(q.hinge == hinge for q in asked))


def test_repeats_stay_with_their_question(home: Path) -> None:
    play(home, "random", "twice", "eval.repeats=2")
    play(home, "append_only", "twice-append", "eval.repeats=2")
    once = comparison.compare(opened(home, "oracle", "append_only"), ["a", "b"])
    twice = comparison.compare([Run(home / "twice"), Run(home / "twice-append")], ["a", "b"])
    for kind, (mean, _) in once.sides[1].groups.items():
        assert twice.sides[1].groups[kind][0] == pytest.approx(mean), "a deterministic script scores the same twice"
    assert twice.base.score.n == 160
    assert twice.base.score.tasks == 40


def test_cost_against_quality(home: Path) -> None:
    found = comparison.compare(opened(home, "oracle", "append_only", "mute"), list("abc"))
    assert [side.efficient for side in found.sides] == [True, found.sides[1].tokens < found.sides[0].tokens, True]
    line = next(iter(opened(home, "mute")[0].episodes.values()))
    assert found.sides[2].calls == pytest.approx(line["usage"]["calls"], abs=2)


def test_only_the_same_tasks_are_compared(home: Path) -> None:
    short = play(home, "oracle", "short", "task.limit=10")
    with pytest.raises(RunMismatch, match=r"task\.limit \(None and 10\)"):
        comparison.compare([*opened(home, "oracle"), Run(short)], ["a", "b"])
    other = home / "other"
    preparation.prepare("stream", out=other / "stream", split="validation", options={"docs": 12}, limit=40, seed=7)
    play(other, "oracle")
    with pytest.raises(RunMismatch, match="have different content"):
        comparison.compare([*opened(home, "oracle"), Run(other / "oracle")], ["a", "b"])
    with pytest.raises(UsageError, match="two runs"):
        comparison.compare(opened(home, "oracle"), ["a"])
    with pytest.raises(UsageError, match=r"--scorer f2: no such scorer; did you mean 'f1'"):
        comparison.compare(opened(home, "oracle", "mute"), ["a", "b"], "f2")
    with pytest.raises(RunMismatch, match=r"oracle: was not judged \(but scored with em"):
        comparison.compare(opened(home, "oracle", "mute"), ["a", "b"], "judge")


def test_stored_answers_score_as_the_run_would_have(home: Path) -> None:
    """Whatever a run was scored with: any scorer compares it, as if it had been played with that one."""
    pure = [name for name in metrics.SCORERS if name not in (*metrics.NEED_A_BOX, staleness.NAME)]
    whole = Run(play(home, "random", "scored", f"eval.scorers=[{', '.join(pure)}]"))
    rescored = comparison.rescore(opened(home, "random")[0], pure)
    for scorer in pure:
        assert rescored[scorer] == by_task(whole, scorer)
    for scorer in ("f1", "sub_em", "substring"):
        sides = comparison.compare([*opened(home, "random", "oracle"), whole], ["a", "b", "c"], scorer).sides
        assert sides[0].score == sides[2].score
        assert sides[2].difference is not None
        assert sides[2].difference.delta == 0


def test_an_unfinished_run_an_older_one_and_no_run_are_refused(home: Path, tmp_path: Path) -> None:
    shutil.copytree(home / "oracle", tmp_path / "cut")
    lines = (tmp_path / "cut" / "episodes.jsonl").read_bytes().splitlines(keepends=True)
    (tmp_path / "cut" / "episodes.jsonl").write_bytes(b"".join(lines[:-3]))
    said = complaint("compare", str(home / "oracle"), str(tmp_path / "cut"), cwd=tmp_path)
    assert "37 of 40 episodes" in said
    shutil.copytree(home / "oracle", tmp_path / "old")
    identity = json.loads((tmp_path / "old" / "run.json").read_text())
    (tmp_path / "old" / "run.json").write_text(json.dumps({**identity, "schema": 0}))
    said = complaint("compare", str(home / "oracle"), str(tmp_path / "old"), cwd=tmp_path)
    assert "schema version 0" in said
    said = complaint("compare", str(home / "oracle"), str(tmp_path), cwd=tmp_path)
    assert "not the folder of an `atommem eval` run" in said


def test_a_run_that_broke_its_budget_is_invalid(home: Path, tmp_path: Path) -> None:
    """It cannot happen to a policy that counts right: so a journal in which a server wrote more than it was allowed."""
    shutil.copytree(home / "append_only", tmp_path / "greedy")
    for name in ("run.json", "recipe.yaml"):
        text = (tmp_path / "greedy" / name).read_text()
        changed = text.replace('"new_tokens": null', '"new_tokens": 20').replace("new_tokens: null", "new_tokens: 20")
        assert changed != text
        (tmp_path / "greedy" / name).write_text(changed)
    found = comparison.compare([*opened(home, "oracle"), Run(tmp_path / "greedy"), *opened(home, "mute")], list("abc"))
    side = found.sides[1]
    assert "used more than budget.new_tokens = 20" in side.invalid
    assert (side.difference, side.holm, side.efficient) == (None, None, False)
    assert found.sides[2].holm == found.sides[2].difference.p, "the invalid run is in no family"  # type: ignore[union-attr]
    assert "INVALID" in comparison_tables.main(found).markdown()
    assert "INVALID" in comparison_tables.says(found, side, "It")
    turned = comparison.compare([Run(tmp_path / "greedy"), *opened(home, "oracle")], list("ab"))
    assert turned.sides[1].difference is None, "an invalid base compares with nothing"


def test_other_scorers(home: Path) -> None:
    runs = opened(home, "oracle", "append_only", "mute")
    found = panel(runs, list("abc"), "em")
    golds = [q.answers for line in runs[1].episodes.values() for q in runs[1].task(line["task"]).questions]
    said = [Answer(a["text"]) for line in runs[1].episodes.values() for a in line["answers"]]
    assert found.means["em"][1] == sum(em(a, g) for a, g in zip(said, golds, strict=True)) / 80
    assert found.swaps == []
    assert all(isnan(mean) for mean in found.means["boxed_em"])
    table, sentence = comparison_tables.scorers(found)
    assert [row[table.headers.index("boxed_em")] for row in table.rows] == ["-"] * 4
    assert "boxed_em is 0 for every answer in the dialect tiny" in sentence
    with pytest.raises(UsageError, match="compare by another --scorer"):
        comparison.scored(runs[0], "boxed_em")
    assert found.taus["f1"] == pytest.approx(1)
    turned = Panel(("a", "b"), {"em": (0.6, 0.5), "f1": (0.6, 0.7)}, {"em": 1.0, "f1": -1.0}, "em")
    assert turned.swaps == [("f1", "a", "b")]
    assert "f1 puts b above a" in comparison_tables.scorers(turned)[1]


def test_sentences_say_what_is_and_what_is_not_supported(home: Path) -> None:
    found = comparison.compare(opened(home, "oracle", "oracle", "mute"), list("abc"))
    same = comparison_tables.says(found, found.sides[1], "Nothing")
    assert "no difference is shown" in same
    assert "would often have been missed" in same
    assert "a real difference, for this policy on tasks like these" in comparison_tables.says(
        found, found.sides[2], "Silence"
    )
    assert comparison_tables.says(found, found.sides[2]).startswith(
        "c differs from a by -100.0 points of em on 80 questions"
    )


def test_files(home: Path, tmp_path: Path) -> None:
    runs = [str(home / name) for name in ("oracle", "append_only", "mute")]
    both = ("--scorer", "em", "--scorer", "sub_em", "--out", "scorers", "--json")
    values, other = json.loads(atommem("compare", *runs, *both, cwd=tmp_path).stdout)
    assert (values["scorer"], other["scorer"]) == ("em", "sub_em")
    assert json.loads((tmp_path / "scorers" / "sub_em" / "table.json").read_text())["runs"] == other["runs"]
    (tmp_path / "scorers" / "em").rename(tmp_path / "found")
    assert [side["label"] for side in values["runs"]] == ["oracle", "append_only", "mute"]
    rows = list(csv.DictReader((tmp_path / "found" / "table.csv").open()))
    whole = {row["run"]: row for row in rows if not row["kind"]}
    assert {row["tasks"] for row in whole.values()} == {"40"}
    assert {values["runs"][1][part]["tasks"] for part in ("score", "difference")} == {40}
    assert float(whole["append_only"]["delta"]) == values["runs"][1]["difference"]["delta"]
    assert json.loads((tmp_path / "found" / "table.json").read_text())["runs"] == values["runs"]
    latex = (tmp_path / "found" / "table.tex").read_text()
    assert latex.count(r"\\") == 4, "a heading and three runs"
    assert r"append\_only" in latex
    assert "| append_only |" in (tmp_path / "found" / "table.md").read_text()
    for figure in ("differences", "pareto"):
        assert (tmp_path / "found" / f"{figure}.png").read_bytes().startswith(b"\x89PNG")
        assert (tmp_path / "found" / f"{figure}.pdf").read_bytes().startswith(b"%PDF")
