"""TRL's own keywords, checked before any weight loads."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from atommem_cli.config.recipe import Recipe
from atommem_cli.core.errors import RecipeError, UsageError
from atommem_cli.training import learners, trl_keywords
from atommem_cli.training.silence import silent

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

    key = "grpo.trainer"
    given = plan(recipe, processes)
    defaults = {
        **(validating(given, "eval_reward", greater=True) if validated else {"eval_strategy": "no"}),
        "per_device_eval_batch_size": max(1, validated // processes),
    }
    most = max(recipe.limits.reply, recipe.limits.answer)
    config = _config(
        GRPOConfig, recipe, out, {**defaults, **given}, key, max_completion_length=most, num_generations_eval=1
    )
    if config.use_vllm:
        learners.need("vllm", f"{key}.use_vllm")
    if config.scale_rewards not in ("group", "batch", "none"):  # TRL would say so after the first episodes
        raise RecipeError(f"{key}.scale_rewards: {config.scale_rewards}: choose one of group, batch, none")
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


def taught(given: Mapping[str, Any], key: str) -> dict[str, Any]:
    """Keywords of SFTConfig as the recipe gives them, before anything is derived from them.

    Raises:
        RecipeError: as `sft`.
    """
    from trl.trainer.sft_config import SFTConfig

    return trl_keywords.check(SFTConfig, given, key)


def plan(recipe: Recipe, processes: int) -> dict[str, Any]:
    """The keywords of `grpo.trainer` for a plan, which needs none of the packages that a training would.

    Raises:
        RecipeError: as `grpo`.
    """
    from trl.trainer.grpo_config import GRPOConfig

    given = trl_keywords.check(GRPOConfig, recipe.grpo.trainer, "grpo.trainer")
    _batches(given, processes)
    return given


def together(processes: int) -> int:
    """Processes as `--processes` gives them.

    Raises:
        UsageError: there is none.
    """
    if processes < 1:
        raise UsageError(f"--processes {processes}: at least 1 process trains")
    return processes


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

    checked = trl_keywords.check(kind, given, key)
    if given.get("deepspeed"):
        learners.need("deepspeed", f"{key}.deepspeed")
    values = {
        # Autocast on a GPU; on the CPU the weights' own dtype decides.
        "bf16": torch.cuda.is_available() and not given.get("use_cpu") and not given.get("fp16"),
        "report_to": "none",
        "log_level_replica": "passive",
        "logging_steps": 1,
        **checked,
        "output_dir": str(out / "checkpoints"),
        "seed": recipe.seed,
        "disable_tqdm": True,
        "logging_nan_inf_filter": False,  # it would log the mean of what came before
        **ours,
    }
    try:
        with silent():
            return kind(**values)
    except (TypeError, ValueError, ImportError) as error:
        raise RecipeError(f"{key}: {' '.join(str(error).split())}") from None


Command = Literal["sft", "grpo"]
