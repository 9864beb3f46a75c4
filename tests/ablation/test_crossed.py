"""Values of a setting played with and without components: `ablate --drop ... --vary KEY=V,V --cross`."""

from __future__ import annotations

import json
from pathlib import Path
from statistics import fmean

import pytest
from commands import atommem

from atommem_cli.ablation import findings, reader, runner, variants
from atommem_cli.config import recipe as recipes
from atommem_cli.config.recipe import Recipe
from atommem_cli.core.errors import UsageError
from atommem_cli.data import preparation
from atommem_cli.runs.reader import by_task

DROP = "drop: [scratchpad, storage], chunk_tokens: [], retrieve_k: []"


def recipe(ablate: str, *changes: str) -> Recipe:
    return recipes.load("tiny", ["policy={name: scripted, script: oracle}", f"ablate={{{DROP}, {ablate}}}", *changes])


def test_every_value_is_played_without_every_component_too() -> None:
    found = variants.arms(recipe("vary: {store.noise.entries: [0, 10]}, cross: true"))
    assert [(arm.name, arm.kind) for arm in found] == [
        ("base", "base"),
        ("without-scratchpad", "component"),
        ("without-storage", "component"),
        ("store.noise.entries-10", "vary"),
        ("without-scratchpad+store.noise.entries-10", "crossed"),
        ("without-storage+store.noise.entries-10", "crossed"),
    ]
    last = found[-1].recipe
    assert last.memory.drop == found[2].recipe.memory.drop
    assert last.store.noise is not None
    assert (last.store.noise.entries, found[-1].varied) == (10, ("store.noise.entries", 10))
    assert "cross" not in recipe("vary: {store.noise.entries: [10]}").dump()
    assert len(variants.arms(recipe("vary: {store.noise.entries: [10]}"))) == 4


def test_what_is_learned_without_a_component_is_learned_once() -> None:
    found = variants.arms(recipe("vary: {store.noise.entries: [10, 20]}, cross: true, how: train"))
    assert [(arm.name, arm.how, arm.trained_as) for arm in found if arm.component == ("storage",)] == [
        ("without-storage-retrained", "train", "without-storage-retrained"),
        ("without-storage-retrained+store.noise.entries-10", "train", "without-storage-retrained"),
        ("without-storage-retrained+store.noise.entries-20", "train", "without-storage-retrained"),
    ]
    assert [arm.how for arm in found if arm.kind == "vary"] == [None, None]
    changes = {tuple(variants.changes(arm)) for arm in found if arm.component == ("storage",)}
    assert len(changes) == 1
    with pytest.raises(UsageError, match=r"ablate\.cross: grpo\.trainer\.beta has the policy learn anew"):
        variants.arms(recipe("vary: {grpo.trainer.beta: [0.1]}, cross: true"))


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same ablation under two seeds."""
    folder = tmp_path_factory.mktemp("home")
    for seed in (1, 2):
        data = folder / "data" / str(seed)
        preparation.prepare("stream", out=data, split="validation", limit=4, seed=seed)
        ablate = "ablate={drop: [storage], chunk_tokens: [], retrieve_k: [], cross: true, "
        ablate += "vary: {store.noise.entries: [5, 20]}}"
        changes = [f"seed={seed}", f"task.folder={data}", "store={name: exact, noise: {kind: contradicting}}", ablate]
        runner.play(recipes.load("tiny", ["policy={name: scripted, script: careful}", *changes]), folder / f"a{seed}")
    return folder


def test_an_ablation_draws_what_noise_does_to_each(home: Path) -> None:
    ablation = reader.read(home / "a1")
    (found,) = findings.worth(ablation).curves
    assert (found.key, found.reference, found.tasks) == ("store.noise.entries", 0, 4)
    assert [line.label for line in found.lines] == ["base", "without-storage"]
    assert [[spot.value for spot in line.spots] for line in found.lines] == [[0, 5, 20]] * 2
    scores = {
        arm.name: fmean(score for task in by_task(arm.run, "em").values() for score in task) for arm in ablation.arms
    }
    names = ("base", "store.noise.entries-5", "store.noise.entries-20")
    assert [spot.score.mean for spot in found.lines[0].spots] == [pytest.approx(scores[name]) for name in names]
    # Without its store there is nothing that noise could reach.
    assert {spot.change and spot.change.mean for spot in found.lines[1].spots} == {None, 0.0}


def test_seeds_are_pooled_in_tables_and_a_picture(home: Path) -> None:
    atommem("compare", "a1", "a2", "--out", "both", cwd=home)
    text = (home / "both" / "table.md").read_text()
    assert "em in % by store.noise.entries, 4 tasks, 2 seeds" in text
    assert "Change from store.noise.entries 0" in text
    values = json.loads((home / "both" / "table.json").read_text())
    assert [line["label"] for line in values["curves"][0]["lines"]] == ["base", "without-storage"]
    for name in ("curve-store.noise.entries.png", "curve-store.noise.entries.pdf"):
        assert (home / "both" / name).stat().st_size > 1000
