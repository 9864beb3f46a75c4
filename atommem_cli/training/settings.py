"""TRL's own keywords, checked before any weight loads."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from atommem_cli.errors import RecipeError
from atommem_cli.plugins import did_you_mean
from atommem_cli.recipe import Recipe
from atommem_cli.training import student
from atommem_cli.training.silence import silent

_OURS = {
    "output_dir": "the run folder",
    "seed": "the recipe's seed",
    "data_seed": "the recipe's seed",
    "max_completion_length": "limits.reply and limits.answer",
    "reward_weights": "grpo.rewards",
    "resume_from_checkpoint": "what the run folder holds",
    "disable_tqdm": "the terminal",
    "remove_unused_columns": "the rows that it makes",
    "num_generations_eval": "greedy validation, one episode a task",
    "completion_only_loss": "its rows: no loss on prompts",
    "assistant_only_loss": "its rows: no loss on prompts",
    "chat_template_path": "the model's tokenizer",
    "eos_token": "the model's tokenizer",
}
"""Keywords that a recipe may not give, and where atommem takes them from."""

LOSSES = ("dapo", "cispo", "vespo")
"""Loss types that are normalised by the tokens of the whole batch. The others take means per row, and
would weigh a trajectory by its number of contexts."""


def sft(recipe: Recipe, out: Path, given: Mapping[str, Any], key: str = "sft.trainer", **ours: Any) -> Any:
    """TRL's SFTConfig.

    Raises:
        RecipeError: file, key and a suggestion in one sentence.
    """
    from trl.trainer.sft_config import SFTConfig

    return _config(SFTConfig, recipe, out, given, key, completion_only_loss=True, **ours)


def grpo(recipe: Recipe, out: Path, *, validated: int, processes: int) -> Any:
    """TRL's GRPOConfig.

    Args:
        validated: validation tasks; 0 for no validation.
        processes: how many processes train together.

    Raises:
        RecipeError: file, key and a suggestion in one sentence.
        MissingExtra: vLLM or DeepSpeed is asked for and not installed.
    """
    from trl.trainer.grpo_config import GRPOConfig

    key, given = "grpo.trainer", recipe.grpo.trainer
    _batches(given, processes)
    defaults = {
        **(validating(given, "eval_reward", greater=True) if validated else {"eval_strategy": "no"}),
        "per_device_eval_batch_size": max(1, validated // processes),
    }
    most = max(recipe.limits.reply, recipe.limits.answer)
    config = _config(
        GRPOConfig, recipe, out, {**defaults, **given}, key, max_completion_length=most, num_generations_eval=1
    )
    if config.use_vllm:
        student.need("vllm", f"{key}.use_vllm")
    if config.loss_type not in LOSSES:
        raise RecipeError(
            f"{key}.loss_type: {config.loss_type} takes means per row, which weighs trajectories by their number of "
            f"contexts: choose one of {', '.join(LOSSES)} (and grpo.unit for what weighs the same)"
        )
    if recipe.grpo.unit != "token" and (config.importance_sampling_level != "token" or config.loss_type == "vespo"):
        raise RecipeError(
            f"grpo.unit: {recipe.grpo.unit} works with importance_sampling_level token, and not with vespo"
        )
    if not config.use_vllm and not config.use_transformers_continuous_batching:
        for name, neutral in (("top_k", 0), ("min_p", None), ("repetition_penalty", 1.0), ("generation_kwargs", None)):
            if getattr(config, name) != neutral:
                raise RecipeError(f"{key}.{name}: only with use_vllm or use_transformers_continuous_batching")
    _boundaries(config, key)
    at_once = config.per_device_eval_batch_size * processes
    if validated % at_once:
        raise RecipeError(
            f"grpo.validation: {validated} tasks cannot be shared evenly by batches of {at_once} "
            f"({processes} process(es) x per_device_eval_batch_size {config.per_device_eval_batch_size})"
        )
    return config


def validating(given: Mapping[str, Any], metric: str, *, greater: bool) -> dict[str, Any]:
    """Keywords that validate at every checkpoint and keep the best one, unless the recipe says otherwise."""
    saves = given.get("save_strategy", "steps")
    return {
        "eval_strategy": saves,
        "eval_steps": given.get("save_steps", 500),
        "load_best_model_at_end": saves != "no",
        "metric_for_best_model": metric,
        "greater_is_better": greater,
    }


def _batches(given: Mapping[str, Any], processes: int) -> None:
    """Whole groups in every batch; said in the recipe's words before TRL says it in its own."""
    rollouts = given.get("num_generations", 8)
    slots = given.get("steps_per_generation", given.get("gradient_accumulation_steps", 1))
    size = given.get("generation_batch_size") or given.get("per_device_train_batch_size", 8) * slots * processes
    if isinstance(size, int) and isinstance(rollouts, int) and rollouts > 0 and size % rollouts:
        raise RecipeError(
            f"grpo.trainer.num_generations: groups of {rollouts} do not divide a batch of {size} trajectories "
            f"(per_device_train_batch_size x steps per generation x {processes} process(es))"
        )


def _boundaries(config: Any, key: str) -> None:
    if config.steps_per_generation % config.gradient_accumulation_steps:
        raise RecipeError(
            f"{key}.steps_per_generation: {config.steps_per_generation} is no multiple of "
            f"gradient_accumulation_steps {config.gradient_accumulation_steps}: an update would mix generations"
        )
    updates = config.steps_per_generation * config.num_iterations // config.gradient_accumulation_steps
    saves = config.save_strategy not in ("no", "epoch") and config.save_steps
    if saves and saves >= 1 and saves % updates:
        raise RecipeError(
            f"{key}.save_steps: {saves:g} is no multiple of {updates}, the updates per generation: such a checkpoint "
            "could not be resumed exactly"
        )


def _config(kind: Any, recipe: Recipe, out: Path, given: Mapping[str, Any], key: str, **ours: Any) -> Any:
    import torch

    fields = {field.name: field for field in dataclasses.fields(kind) if field.init}
    for name in given:
        if name in _OURS:
            raise RecipeError(f"{key}.{name}: atommem takes it from {_OURS[name]}")
        if name not in fields:
            raise RecipeError(f"{key}.{name}: unknown key{did_you_mean(name, fields)} (keys are TRL's {kind.__name__})")
    if given.get("deepspeed"):
        student.need("deepspeed", f"{key}.deepspeed")
    values = {
        # Autocast on a GPU; on the CPU the weights' own dtype decides.
        "bf16": torch.cuda.is_available() and not given.get("fp16"),
        "report_to": "none",
        "log_level_replica": "passive",
        "logging_steps": 1,
        **{name: _number(fields[name], value) for name, value in given.items()},
        "output_dir": str(out / "checkpoints"),
        "seed": recipe.seed,
        "disable_tqdm": True,
        **ours,
    }
    try:
        with silent():
            return kind(**values)
    except (TypeError, ValueError, ImportError) as error:
        raise RecipeError(f"{key}: {' '.join(str(error).split())}") from None


def _number(field: dataclasses.Field[Any], value: Any) -> Any:
    """YAML reads 1e-6 as a text."""
    if isinstance(value, str) and (isinstance(field.default, float) or "float" in str(field.type)):
        try:
            return float(value)
        except ValueError:
            return value
    return value


Command = Literal["sft", "grpo"]
