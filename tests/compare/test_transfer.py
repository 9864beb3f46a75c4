"""Train here, evaluate there: where runs belong, what the matrix says, and what it cannot say."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from statistics import fmean

import pytest
import yaml
from commands import atommem

from atommem_cli.compare.paired import paired
from atommem_cli.compare.transfer import place, transfer
from atommem_cli.config import recipe as recipes
from atommem_cli.core.errors import RunMismatch, UsageError
from atommem_cli.data import preparation
from atommem_cli.data.files import read_manifest
from atommem_cli.reporting import transfer_figures, transfer_tables
from atommem_cli.running.evaluation import evaluate
from atommem_cli.runs.reader import Run, by_task

SOURCES = {"short": {"docs": 6}, "long": {"docs": 10}}
SCRIPTS = {("short", "short"): "oracle", ("short", "long"): "append_only", ("long", "short"): "mute"}
"""What plays the policy of a row on a column; elsewhere the oracle."""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two sources under two seeds, a training on each, and every policy on every source."""
    home = tmp_path_factory.mktemp("transfer")
    for seed in (1, 2):
        for name, options in SOURCES.items():
            out = home / f"{name}-{seed}"
            preparation.prepare("stream", out=out, split="validation", limit=8, seed=seed, options=options)
            training = home / f"on-{name}-{seed}"
            (training / "model").mkdir(parents=True)
            seen = ["0" * 64, read_manifest(out / "validation").sha256]
            (training / "recipe.yaml").write_text(recipes.load("tiny", [f"task.folder={out}"]).dump())
            (training / "run.json").write_text(json.dumps({"command": "grpo", "tasks": seen, "recipe": {}}))
        for row in SOURCES:
            for column in SOURCES:
                played(home, row, column, seed)
    return home


def played(home: Path, row: str, column: str, seed: int) -> None:
    script = SCRIPTS.get((row, column), "oracle")
    changes = [f"policy={{name: scripted, script: {script}}}", f"task.folder={home / f'{column}-{seed}'}"]
    out = home / f"{row}-on-{column}-{seed}"
    evaluate(recipes.load("tiny", [*changes, "store.name=exact", f"seed={seed}"]), out)
    recipe = yaml.safe_load((out / "recipe.yaml").read_text())
    recipe["policy"] = {"name": "hf", "model": str(home / f"on-{row}-{seed}" / "model")}  # in place of a script
    (out / "recipe.yaml").write_text(yaml.safe_dump(recipe))


def runs(home: Path, *seeds: int) -> list[Run]:
    return [
        Run(home / f"{row}-on-{column}-{seed}") for seed in seeds for row in ("short", "long") for column in SOURCES
    ]


def test_runs_find_their_row_by_the_training_and_their_column_by_the_tasks(home: Path) -> None:
    found = [(one.trained, one.evaluated) for one in place(runs(home, 1, 2), {})]
    assert found == [(f"docs {a}", f"docs {b}") for _ in (1, 2) for a in (6, 10) for b in (6, 10)]  # whatever the seed
    named = place(runs(home, 1, 2), {str(home / "short-2"): "few", str(home / "on-long-1"): "many"})
    assert [(one.trained, one.evaluated) for one in named[:4]] == [
        ("few", "few"), ("few", "docs 10"), ("many", "few"), ("many", "docs 10")
    ]  # fmt: skip


def test_one_seed_is_compared_question_by_question(home: Path) -> None:
    found = transfer(runs(home, 1), {})
    assert found.rows == found.columns == ("docs 6", "docs 10")
    cell = found.cells["docs 6", "docs 10"]
    mine, theirs = (by_task(Run(home / f"{row}-on-long-1"), "em").values() for row in ("short", "long"))
    expected = paired(list(mine), list(theirs))
    assert cell.difference == (expected.delta, expected.low, expected.high)
    assert (cell.p, cell.runs, cell.questions) == (expected.p, 1, 8)
    assert found.cells["docs 10", "docs 10"].difference is None
    assert found.cells["docs 10", "docs 10"].score.mean == 1.0


def test_several_seeds_count_the_same(home: Path) -> None:
    cell = transfer(runs(home, 1, 2), {}).cells["docs 10", "docs 6"]
    silent = [fmean(score for task in by_task(run, "em").values() for score in task) for run in runs(home, 1, 2)[2::4]]
    assert cell.score.mean == pytest.approx(fmean(silent))
    assert cell.difference is not None
    assert cell.difference.mean == pytest.approx(fmean(silent) - 1)
    assert (cell.runs, cell.questions, cell.p) == (2, 16, None)


def test_what_cannot_be_placed_or_paired_is_one_sentence(home: Path) -> None:
    with pytest.raises(RunMismatch, match=r"every run is on .*two sources at least"):
        transfer([Run(home / "short-on-short-1"), Run(home / "long-on-short-1")], {})
    with pytest.raises(RunMismatch, match=r"long-on-short-2: the policy that was trained there has not played"):
        transfer([*runs(home, 1), Run(home / "long-on-short-2")], {})
    with pytest.raises(UsageError, match=r"--label nowhere: it is no folder of tasks, model or training"):
        transfer(runs(home, 1), {"nowhere": "x"})
    (home / "on-short-1" / "run.json").rename(home / "kept")
    try:
        with pytest.raises(
            UsageError, match=r"where its policy was trained is not known: --label .*on-short-1/model=NAME"
        ):
            transfer(runs(home, 1), {})
        known = transfer(runs(home, 1), {str(home / "on-short-1" / "model"): "docs 6"})
        assert known.rows == ("docs 6", "docs 10")
    finally:
        (home / "kept").rename(home / "on-short-1" / "run.json")
    (home / "short-1").rename(home / "moved")
    try:
        with pytest.raises(UsageError, match=r"the tasks that it was played on are not in .*short-1"):
            transfer(runs(home, 1), {})
    finally:
        (home / "moved").rename(home / "short-1")


def test_a_policy_from_elsewhere_is_a_row_below(home: Path) -> None:
    found = transfer([run for run in runs(home, 1) if "short-on" in run.name or "long-on-long" in run.name], {})
    assert found.rows == ("docs 6", "docs 10")
    assert ("docs 10", "docs 6") not in found.cells
    assert transfer_tables.sentences(found)[-1] == "Not played: docs 10 on docs 6."


def test_where_nothing_was_trained_nothing_is_subtracted(home: Path, tmp_path: Path) -> None:
    found = []
    for column in SOURCES:
        changes = ["policy={name: scripted, script: mute}", f"task.folder={home / f'{column}-1'}", "store.name=exact"]
        evaluate(recipes.load("tiny", changes), tmp_path / column)
        found.append(Run(tmp_path / column))
    matrix = transfer(found, {})
    assert [table.title.split(":")[0] for table in transfer_tables.tables(matrix)] == ["em in %"]
    assert transfer_tables.sentences(matrix)[0].startswith("None of these policies was trained")
    title = transfer_figures.heat_map(matrix).get_suptitle()
    assert title == "em in %"


def test_the_command_line_writes_tables_and_pictures(home: Path) -> None:
    folders = [run.path.name for run in runs(home, 1, 2)]
    atommem("compare", "--transfer", *folders, "--label", "long-1=long", "--out", "out", cwd=home)
    text = (home / "out" / "table.md").read_text()
    assert "| trained on | docs 6 | long |" in text
    assert "Trained on docs 6, evaluated on long: " in text
    rows = list(csv.DictReader((home / "out" / "table.csv").read_text().splitlines()))
    assert [(row["trained"], row["evaluated"], row["runs"]) for row in rows] == [
        ("docs 6", "docs 6", "2"), ("docs 6", "long", "2"), ("long", "docs 6", "2"), ("long", "long", "2")
    ]  # fmt: skip
    assert "tabular" in (home / "out" / "table.tex").read_text()
    for name in ("transfer.png", "transfer-dark.png", "transfer.pdf"):
        assert (home / "out" / name).stat().st_size > 1000
    said = atommem("compare", *folders[:4], "--label", "long-1=long", cwd=home, status=2).stderr
    assert "--label goes with --transfer" in said


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_numbers_stand_out_from_their_cells(home: Path, theme: str) -> None:
    """By the contrast of WCAG 2.1, at least 3 to 1."""
    from matplotlib.colors import to_rgb

    drawn = transfer_figures.heat_map(transfer(runs(home, 1), {}), theme)  # type: ignore[arg-type]
    (axes,) = drawn.axes
    (image,) = axes.images
    for text in axes.texts:
        x, y = text.get_position()
        ground = image.cmap(image.norm(image.get_array()[round(y), round(x)]))[:3]
        light, dark = sorted((luminance(to_rgb(text.get_color())), luminance(ground)), reverse=True)
        assert (light + 0.05) / (dark + 0.05) > 3


def luminance(colour: tuple[float, ...]) -> float:
    parts = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in colour]
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]
