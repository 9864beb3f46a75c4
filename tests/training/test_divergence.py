"""A training that diverges: it stops, says where, writes it down, and nothing is made of its weights."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import demos
import pytest
import training_recipes
from commands import atommem, complaint
from safetensors.torch import load_file, save_file
from training_runs import metrics

from atommem_cli.config.recipe import Recipe
from atommem_cli.core.calls import Expects, Message, Observation
from atommem_cli.core.episode import Call
from atommem_cli.core.errors import Diverged
from atommem_cli.models import tiny
from atommem_cli.policies import hf
from atommem_cli.reporting import training_history, training_summary
from atommem_cli.training import checkpoints, grpo, loop, sft

WILD: dict[str, Any] = {"learning_rate": 1e30, "max_grad_norm": 0.0, "lr_scheduler_type": "constant"}
"""Weights of 1e30 after one update: finite, but nothing can be computed with them."""


def sentence(train: Callable[[], object]) -> str:
    with pytest.raises(Diverged) as caught:
        train()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_sft_stops_at_the_first_update_that_is_not_finite(tmp_path: Path) -> None:
    recipe = demos.recipe("sft.holdout=0", max_steps=4, save_steps=1, gradient_accumulation_steps=2, **WILD)
    said = sentence(lambda: sft.train(recipe, tmp_path))
    fact = metrics(tmp_path)[-1]
    assert fact["step"] == 1
    assert "diverged at update 1: the weight " in said
    assert "there is no good checkpoint" in said
    assert fact["diverged"]["what"] in said
    assert not (tmp_path / "model").exists()
    assert not (tmp_path / "summary.json").exists()
    assert sentence(lambda: sft.train(recipe, tmp_path)) == said  # the same command does not try again
    assert metrics(tmp_path)[-1] == fact
    read = training_history.read(tmp_path)
    assert read.diverged == f"{fact['diverged']['what']} at step 1"
    assert f"{tmp_path.name} diverged: {read.diverged}" in training_summary.table([read]).title


def test_grpo_stops_and_names_the_last_good_checkpoint(tmp_path: Path) -> None:
    recipe = training_recipes.recipe(
        max_steps=4, save_steps=1, eval_strategy="no", learning_rate=1e30, max_grad_norm=0.0
    )
    said = sentence(lambda: grpo.train(recipe, tmp_path))
    assert metrics(tmp_path)[-1]["diverged"]
    assert "grpo.trainer.learning_rate" in said
    assert not (tmp_path / "model").exists()
    assert sentence(lambda: grpo.train(recipe, tmp_path)) == said


class Broken:
    """Makes one number of one forward pass NaN."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, at: int) -> None:
        self.passes, self.at = 0, at
        whole = loop.fit

        def fit(trainer: Any, *args: Any) -> None:
            compute = trainer.compute_loss

            def loss(*inputs: Any, **keywords: Any) -> Any:
                self.passes += 1
                found = compute(*inputs, **keywords)
                if self.passes != self.at:
                    return found
                return (found[0] * math.nan, found[1]) if isinstance(found, tuple) else found * math.nan

            trainer.compute_loss = loss
            whole(trainer, *args)

        monkeypatch.setattr(loop, "fit", fit)


@pytest.mark.parametrize(("at", "update", "good"), [(1, 1, None), (5, 3, "checkpoint-1"), (6, 3, "checkpoint-1")])
def test_the_first_of_an_accumulation_counts_and_the_weights_stay_whole(
    at: int, update: int, good: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Broken(monkeypatch, at)
    recipe = demos.recipe("sft.holdout=0", max_steps=4, save_steps=1, gradient_accumulation_steps=2)
    said = sentence(lambda: sft.train(recipe, tmp_path))
    assert f"diverged at update {update}: the loss is not finite (or beyond 1e+18); " in said
    assert (f"the last good checkpoint is {tmp_path}/checkpoints/{good} " if good else "there is no good") in said
    assert len(checkpoints.whole(tmp_path)) == update - 1


def test_a_validation_that_is_not_finite_stops_it_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Broken(monkeypatch, 2)  # the first batch of validation
    recipe = demos.recipe(max_steps=1, save_steps=1)
    said = sentence(lambda: sft.train(recipe, tmp_path))
    assert "the validation loss is not finite (or beyond 1e+18); there is no good checkpoint" in said
    validation = next(line for line in metrics(tmp_path) if line["kind"] == "validation")
    assert validation["loss"] is None
    assert set(validation["not_finite"]) >= {"loss"}
    assert any(one.startswith("loss at step 1") for one in training_history.read(tmp_path).unusable)


def test_the_command_ends_with_status_3_and_one_sentence(tmp_path: Path) -> None:
    recipe = training_recipes.recipe(max_steps=3, learning_rate=1e30, max_grad_norm=0.0, load_best_model_at_end=False)
    (tmp_path / "wild.yaml").write_text(recipe.dump())
    arguments = ("grpo", "--recipe", "wild.yaml", "--out", "out")
    first = complaint(*arguments, cwd=tmp_path, status=3)
    assert "out: the training diverged at update " in first
    assert complaint(*arguments, cwd=tmp_path, status=3) == first
    assert "diverged and was stopped" in _report(tmp_path)


def _report(cwd: Path) -> str:
    atommem("report", "out", cwd=cwd)
    return (cwd / "out" / "report.html").read_text()


# --- a folder with such weights


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    tokenizer = tiny.build_tokenizer(tiny.MARKS)
    tiny.save(tmp_path / "model", tiny.build_model(tokenizer, 0), tokenizer)
    return tmp_path / "model"


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, -1e30])
def test_weights_that_are_not_finite_are_refused_by_every_command(folder: Path, value: float) -> None:
    tensors = load_file(folder / "model.safetensors")
    tensors["model.norm.weight"][3] = value
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    wanted = (
        f"{folder} cannot be used: its weights hold NaN, infinity or numbers beyond 1e+18 (first in model.norm.weight)"
    )

    def learner(recipe: Recipe) -> Recipe:
        return recipe.changed([f"policy.model={folder}"])

    assert wanted in sentence(lambda: hf.build(hf.Options(model=str(folder), device="cpu")))
    assert wanted in sentence(lambda: sft.train(learner(demos.recipe()), folder.parent / "sft"))
    assert wanted in sentence(lambda: grpo.train(learner(training_recipes.recipe()), folder.parent / "grpo"))
    assert not (folder.parent / "grpo").exists()


def test_logits_that_are_not_finite_are_no_reply(folder: Path) -> None:
    asked = hf.build(hf.Options(model=str(folder), device="cpu", temperature=0))
    asked.model.model.norm.weight.data.fill_(3e38)
    call = Call(None, Observation((Message("user", "chunk"),), 4, Expects.ANSWER), 0)
    assert f"the logits of {folder} are not finite" in sentence(lambda: asked.generate([call]))


def test_a_missing_tensor_is_not_filled_with_random_numbers(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    del tensors["model.norm.weight"]
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(Exception, match=r"incomplete: 1 tensors are missing \(model\.norm\.weight\)"):
        hf.build(hf.Options(model=str(folder), device="cpu"))


def test_what_is_logged_and_not_finite_is_named(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text('{"command": "grpo"}')
    line = {"step": 1, "kind": "train", "seconds": 1.0, "loss": 0.5, "kl": None, "not_finite": {"kl": "nan"}}
    (tmp_path / "metrics.jsonl").write_text(json.dumps(line) + "\n")
    read = training_history.read(tmp_path)
    assert read.unusable == ("kl at step 1",)
    assert read.series("train", "loss").values == (0.5,)
