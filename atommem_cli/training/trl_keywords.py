"""TRL's keywords as a recipe gives them: known ones, and numbers that a training can work with.

TRL takes its numbers as they come: NaN passes every comparison that would refuse it, and 0 divides later on.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from atommem_cli.core.errors import RecipeError, did_you_mean

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
    "logging_nan_inf_filter": "its rule to stop at the first value that is not finite",
    "trust_remote_code": "its rule that no code of a model folder is run",
}
"""Keywords that a recipe may not give, and where atommem takes them from."""

_AT_LEAST = {
    "per_device_train_batch_size": 1,
    "per_device_eval_batch_size": 1,
    "gradient_accumulation_steps": 1,
    "generation_batch_size": 1,
    "steps_per_generation": 1,
    "num_iterations": 1,
    "num_generations": 2,
    "max_length": 1,
    "vllm_max_model_length": 1,
}
_ABOVE_ZERO = ("learning_rate", "num_train_epochs", "save_steps", "eval_steps", "logging_steps", "temperature", "top_p")
_BELOW_ZERO = ("top_k",)
"""Where -1 has a meaning; likewise where TRL's own default is below 0."""


def check(kind: Any, given: Mapping[str, Any], key: str) -> dict[str, Any]:
    """The keywords for a configuration of TRL, numbers as numbers.

    Args:
        kind: TRL's dataclass.
        key: where in the recipe they stand.

    Raises:
        RecipeError: key and reason, or a suggestion, in one sentence.
    """
    fields = {field.name: field for field in dataclasses.fields(kind) if field.init}
    found = {}
    for name, value in given.items():
        where = f"{key}.{name}"
        if name in _OURS:
            raise RecipeError(f"{where}: atommem takes it from {_OURS[name]}")
        if name not in fields:
            raise RecipeError(f"{where}: unknown key{did_you_mean(name, fields)} (keys are TRL's {kind.__name__})")
        found[name] = _number(fields[name], value)
        finite(found[name], where)
        _kind_of_number(fields[name], found[name], where)
        _range(fields[name], found[name], where)
    return found


def finite(value: Any, where: str) -> None:
    """Refuse NaN and infinity, inside lists and mappings, too.

    Raises:
        RecipeError: one sentence.
    """
    for one in _leaves(value):
        if isinstance(one, float) and not math.isfinite(one):
            raise RecipeError(f"{where}: {one} is not a finite number")


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, Mapping | list | tuple):
        for inner in value.values() if isinstance(value, Mapping) else value:
            yield from _leaves(inner)
    else:
        yield value


def _number(field: dataclasses.Field[Any], value: Any) -> Any:
    """YAML reads 1e-6 as a text."""
    if isinstance(value, str) and (isinstance(field.default, float) or "float" in str(field.type)):
        try:
            return float(value)
        except ValueError:
            return value
    return value


def _kind_of_number(field: dataclasses.Field[Any], value: Any, where: str) -> None:
    said = set(re.findall(r"\w+", getattr(field.type, "__name__", "") + " " + str(field.type)))
    if not said & {"int", "float"} or said & {"str", "dict", "list", "bool", "tuple"}:
        return
    if value is None and (said & {"None", "NoneType", "Optional"} or field.default is None):
        return
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or ("float" not in said and value != int(value)):
        raise RecipeError(f"{where}: {value} is no {'number' if 'float' in said else 'whole number'}")


def _range(field: dataclasses.Field[Any], value: Any, where: str) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return
    name, own = field.name, field.default
    least = _AT_LEAST.get(name)
    if least is not None and value < least:
        raise RecipeError(f"{where}: {value} is too small: at least {least}")
    if name in _ABOVE_ZERO and value <= 0:
        raise RecipeError(f"{where}: {value} is too small: it must be above 0")
    if name == "max_steps" and value == 0:
        raise RecipeError(f"{where}: 0 updates are no training: at least 1, or -1 to count epochs")
    if name == "top_p" and value > 1:
        raise RecipeError(f"{where}: {value} is too large: at most 1")
    if value < 0 and name not in _BELOW_ZERO and value != own:
        raise RecipeError(f"{where}: {value} is below 0")
