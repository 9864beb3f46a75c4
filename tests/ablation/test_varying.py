"""Arms that give any key another value: `ablate --vary KEY=V,V`."""

from __future__ import annotations

import json
from pathlib import Path

import demos
import pytest
from commands import atommem

from atommem_cli.ablation import findings, reader, retrain, runner, variants, varying
from atommem_cli.config import command_line
from atommem_cli.config import recipe as recipes
from atommem_cli.config.recipe import Recipe
from atommem_cli.core.errors import UsageError
from atommem_cli.core.types import OpKind
from atommem_cli.data import preparation


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("home")
    preparation.prepare("stream", out=folder / "data", split="validation", limit=4, distractors=3)
    return folder


def recipe(home: Path, vary: str, *changes: str, script: str = "oracle") -> Recipe:
    given = (
        f"policy={{name: scripted, script: {script}}}",
        "agent={name: agemem, dialect: paper}",
        "store.name=exact",
        "limits={reply: 400, answer: 100, reads: 4}",
        f"task.folder={home / 'data'}",
        f"ablate={{drop: [], chunk_tokens: [], retrieve_k: [], vary: {vary}}}",
    )
    return recipes.load("tiny", [*given, *changes])


def test_each_value_is_an_arm_and_those_of_the_base_are_none(home: Path) -> None:
    found = variants.arms(recipe(home, "{agent.filter_threshold: [0.4, 0.6, 0.8], task.distractors: [1, 2]}"))
    assert [(arm.name, arm.how, arm.varied) for arm in found] == [
        ("base", None, None),
        ("agent.filter_threshold-0.4", None, ("agent.filter_threshold", 0.4)),
        ("agent.filter_threshold-0.8", None, ("agent.filter_threshold", 0.8)),
        ("task.distractors-1", None, ("task.distractors", 1)),
        ("task.distractors-2", None, ("task.distractors", 2)),
    ]
    assert [(arm.recipe.agent.model_extra or {})["filter_threshold"] for arm in found[:3]] == [0.6, 0.4, 0.8]
    assert [arm.recipe.task.distractors for arm in found[2:]] == [None, 1, 2]


def test_what_a_policy_learns_by_has_it_learn_anew(home: Path) -> None:
    vary = "{grpo.rewards: [{em: 1.0}, {em: 1.0, format: 0.1}], grpo.trainer.beta: [0.1]}"
    found = variants.arms(recipe(home, vary))
    assert [(arm.name, arm.how) for arm in found] == [
        ("base", None),
        ("grpo.rewards-em-1.0-format-0.1-retrained", "train"),
        ("grpo.trainer.beta-0.1-retrained", "train"),
    ]
    assert variants.changes(found[1]) == ['grpo.rewards={"em": 1.0, "format": 0.1}']
    with pytest.raises(UsageError, match="needs a policy that `atommem sft` or `atommem grpo` made"):
        runner.play(recipe(home, vary), home / "untrained")


def test_with_how_train_any_key_has(home: Path) -> None:
    vary = "{agent.filter_threshold: [0.4]}"
    assert [arm.how for arm in variants.arms(recipe(home, vary, "ablate.how=train"))] == [None, "train"]


@pytest.mark.parametrize(
    ("vary", "said"),
    [
        ("{agent.filter_threshhold: [0.4]}", "agent.filter_threshhold: unknown key of agemem; did you mean"),
        ("{agent.filter_threshold: [7]}", "agent.filter_threshold: Input should be less than or equal to 1"),
        ("{task.folder: [other]}", "task.folder cannot be varied: arms are compared on the same tasks"),
        ("{eval.repeats: [2]}", "eval.repeats cannot be varied: arms are scored alike"),
        ("{memory.drop: [[read]]}", "memory.drop cannot be varied: --drop, or ablate.drop, does"),
        ("{nowhere.at: [1]}", "nowhere: unknown key"),
    ],
)
def test_what_cannot_be_varied_is_one_sentence(home: Path, vary: str, said: str) -> None:
    with pytest.raises(UsageError) as error:
        variants.arms(recipe(home, vary))
    assert str(error.value).startswith("ablate.vary: ")
    assert said in str(error.value)


def test_values_are_yaml() -> None:
    given = ["grpo.rewards={em: 1.0},{f1: 0.5, format: 0.1}", "agent.filter_threshold=0.4,0.5"]
    assert varying.asked([*given, "agent.filter_threshold=0.7"]) == {
        "grpo.rewards": [{"em": 1.0}, {"f1": 0.5, "format": 0.1}],
        "agent.filter_threshold": [0.4, 0.5, 0.7],
    }
    for bad in ("agent.filter_threshold", "agent.filter_threshold=", "=1", "a.b=["):
        with pytest.raises(UsageError, match="--vary"):
            varying.asked([bad])


def test_a_long_value_has_a_name_of_its_own() -> None:
    one, other = ({f"component_{letter}": 1 / 3 for letter in letters} for letters in ("abc", "abd"))
    first, second = varying.named("grpo.rewards", one), varying.named("grpo.rewards", other)
    assert first != second
    assert max(map(len, (first, second))) < 70
    assert "/" not in varying.named("agent.dialect", "../mine.yaml")


def test_numbers_of_distractors_are_paired_on_the_same_questions(home: Path) -> None:
    """`append_only` writes each of them down, and is right nevertheless or not: told on the same four questions."""
    given = ("--policy", "scripted:append_only", "--vary", "task.distractors=1,2", "agent.filter_threshold=0.4")
    fixed = recipe(home, "{}", script="append_only").dump()
    (home / "mine.yaml").write_text(fixed)
    done = atommem("ablate", "--recipe", "mine.yaml", *given, "--out", "out", "--json", cwd=home)
    values = json.loads(done.stdout)
    assert [side["label"] for side in values["runs"]] == [
        "base",
        "task.distractors-1",
        "task.distractors-2",
        "agent.filter_threshold-0.4",
    ]
    assert [side["difference"]["n"] for side in values["runs"][1:]] == [4, 4, 4]
    kept = {}
    for arm in reader.read(home / "out").arms:
        written = (op["kind"] for name in arm.run.episodes for step in arm.run.steps(name) for op in step["ops"])
        kept[arm.name] = sum(kind == OpKind.CREATE for kind in written)
    assert kept == {
        "base": 4 * 11,
        "task.distractors-1": 4 * 9,
        "task.distractors-2": 4 * 10,
        "agent.filter_threshold-0.4": 4 * 11,
    }
    again = json.loads(atommem("compare", "out", "--scorer", "f1", "--json", cwd=home).stdout)
    assert (again["scorer"], [side["label"] for side in again["runs"]]) == ("f1", list(kept))
    said = values["sentences"]
    assert said[0].startswith("Playing with task.distractors at 1 instead of null changes em by ")
    assert said[2].startswith("Playing with agent.filter_threshold at 0.4 instead of 0.6 changes em by ")
    assert "Nothing that was played differs from the base" in said[2]
    assert "Nothing that was played differs" not in said[0]


def test_an_arm_is_trained_from_the_first_stage_that_it_changes(tmp_path: Path) -> None:
    from atommem_cli.training import sft

    sft.train(demos.recipe(run=demos.shared(), max_steps=2, save_steps=1), tmp_path / "sft")
    base = command_line.meant(None, str(tmp_path / "sft"), {"task.limit": 2}, [])
    section = "ablate={drop: [], chunk_tokens: [], retrieve_k: [], vary: {sft.trainer.learning_rate: [1.0e-2]}}"
    runner.play(base.changed([section]), tmp_path / "out")
    played = {arm.name: arm.run for arm in reader.read(tmp_path / "out").arms}
    assert list(played) == ["base", "sft.trainer.learning_rate-0.01-retrained"]
    again = tmp_path / "out" / "training" / "sft.trainer.learning_rate-0.01-retrained"
    assert [path.name for path in again.iterdir()] == ["sft"], "nobody shows anything else, so nothing is shown again"
    (stage,) = retrain.lineage(played["sft.trainer.learning_rate-0.01-retrained"].recipe)
    assert (stage[0], stage[1].sft.trainer["learning_rate"]) == ("sft", 0.01)
    weights = [run.identity["policy"]["weights"] for run in played.values()]
    assert weights[0] != weights[1]
    said = findings.worth(reader.read(tmp_path / "out")).sentences[0]
    assert said.startswith("Training again with sft.trainer.learning_rate at 0.01 instead of 0.001 changes")
    assert "One training per arm" in said
    # What only a later stage reads leaves the policy as it is.
    kept = retrain.retrain(base, ["grpo.trainer.beta=0.1"], tmp_path / "unused", (), None)
    assert kept.policy == base.policy
    assert not (tmp_path / "unused").exists()
