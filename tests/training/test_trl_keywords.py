"""Numbers that a training cannot work with are refused, by the plan as by the training, in one sentence."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import demos
import pytest
import training_recipes

from atommem_cli.config.recipe import Recipe
from atommem_cli.core.errors import RecipeError, UsageError
from atommem_cli.training import grpo, plan_grpo, sft

WRONG: list[tuple[str, Any]] = [
    *(("learning_rate", value) for value in (math.nan, math.inf, -1.0, 0, "nan", "-1e-6", True, None)),
    *(("max_steps", value) for value in (0, -5, 2.5, math.nan)),
    *(("num_train_epochs", value) for value in (0, -1, math.nan)),
    *(("per_device_train_batch_size", value) for value in (0, -4, 1.5, math.inf, None)),
    *(("gradient_accumulation_steps", value) for value in (0, -1)),
    *((name, math.nan) for name in ("weight_decay", "max_grad_norm", "adam_beta1", "warmup_steps", "adam_epsilon")),
    *((name, -0.5) for name in ("weight_decay", "max_grad_norm", "adam_beta2", "warmup_steps")),
    ("save_steps", 0),
    ("logging_steps", -1),
    ("lr_scheduler_kwargs", {"min_lr": math.nan}),
    ("trust_remote_code", True),
    ("logging_nan_inf_filter", True),
]
OF_GRPO: list[tuple[str, Any]] = [
    *(("num_generations", value) for value in (0, 1, -2, 2.5, math.nan)),
    *(("temperature", value) for value in (0, -1.0, math.nan, math.inf)),
    *(("beta", value) for value in (math.nan, -0.1)),
    ("epsilon", math.inf),
    ("top_p", 1.5),
    ("num_iterations", 0),
    ("steps_per_generation", 0),
    ("generation_batch_size", 0),
]


def refused(attempt: Callable[[], object], wanted: str) -> None:
    with pytest.raises(UsageError) as caught:
        attempt()
    assert str(caught.value).startswith(wanted)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("name", "value"), WRONG)
def test_sft_refuses_it(name: str, value: Any, tmp_path: Path) -> None:
    recipe = demos.recipe()
    recipe.sft.trainer[name] = value
    for attempt in (lambda: sft.plan(recipe), lambda: sft.train(recipe, tmp_path / "out")):
        refused(attempt, f"sft.trainer.{name}: ")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("name", "value"), [*WRONG, *OF_GRPO])
def test_grpo_refuses_it(name: str, value: Any, tmp_path: Path) -> None:
    recipe = training_recipes.recipe()
    recipe.grpo.trainer[name] = value
    for attempt in (lambda: plan_grpo.grpo(recipe), lambda: grpo.train(recipe, tmp_path / "out")):
        refused(attempt, f"grpo.trainer.{name}: ")
    assert not (tmp_path / "out").exists()


def test_what_has_a_meaning_is_taken() -> None:
    sft.plan(demos.recipe(max_steps=-1, num_train_epochs=0.5, warmup_steps=0, max_grad_norm=0, learning_rate="1e-6"))
    given = {"num_generations": 2, "per_device_train_batch_size": 4, "temperature": 0.5, "save_total_limit": None}
    plan_grpo.grpo(training_recipes.recipe(**given, learning_rate="1e-6", beta=0, max_steps=-1, top_k=-1))


@pytest.mark.parametrize(
    ("make", "change", "told"),
    [
        (demos.recipe, "sft.min_reward=.nan", "sft.min_reward"),
        (demos.recipe, "sft.min_reward=-.inf", "sft.min_reward"),
        (demos.recipe, "sft.rewards={em: .nan}", "sft.rewards.em"),
        (demos.recipe, "sft.holdout=.nan", "sft.holdout"),
        (training_recipes.recipe, "grpo.rewards={em: .inf}", "grpo.rewards.em"),
        (training_recipes.recipe, "policy.temperature=.inf", "policy.temperature"),
        (training_recipes.recipe, "policy.top_p=.nan", "policy.top_p"),
    ],
)
def test_the_recipe_takes_finite_numbers_only(make: Callable[[str], Recipe], change: str, told: str) -> None:
    with pytest.raises(RecipeError, match=told):
        make(change)


@pytest.mark.parametrize("processes", [0, -3])
def test_somebody_has_to_train(processes: int) -> None:
    refused(lambda: sft.plan(demos.recipe(), processes), f"--processes {processes}: at least 1")
    refused(
        lambda: plan_grpo.grpo(training_recipes.recipe(), processes=processes), f"--processes {processes}: at least 1"
    )


def test_the_plan_refuses_what_the_training_would() -> None:
    refused(lambda: plan_grpo.grpo(training_recipes.recipe("grpo.rewards={en: 1}")), "grpo.rewards: no 'en' in rewards")
    refused(lambda: plan_grpo.grpo(training_recipes.recipe(learing_rate=1)), "grpo.trainer.learing_rate: unknown key")
    refused(
        lambda: plan_grpo.grpo(training_recipes.recipe(num_generations=3)), "grpo.trainer.num_generations: groups of 3"
    )
    refused(lambda: plan_grpo.grpo(training_recipes.recipe("grpo.lora={r: 0}")), "grpo.lora.r: 0 is no rank")
    adapted = demos.recipe("sft.lora={lora_alpha: 16}")
    adapted.sft.lora["lora_alpha"] = math.nan  # type: ignore[index]
    refused(lambda: sft.plan(adapted), "sft.lora: nan is not a finite number")
