"""The model that learns: its weights, and the words between them and the harness."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from atommem_cli.config.recipe import Recipe
from atommem_cli.core.episode import Agent
from atommem_cli.core.errors import MissingExtra, RecipeError, UsageError, did_you_mean
from atommem_cli.core.files import write_whole
from atommem_cli.core.types import CONTEXT_OPS
from atommem_cli.models import tiny, words
from atommem_cli.models.generation import Turns
from atommem_cli.models.loading import load_model
from atommem_cli.models.words import Words
from atommem_cli.running.build import insist_tools
from atommem_cli.runs.layout import RECIPE
from atommem_cli.training import trl_keywords

if TYPE_CHECKING:
    from atommem_cli.policies.hf import Options

EXTRAS = {"peft": "lora", "vllm": "vllm", "deepspeed": "deepspeed"}
"""Packages that only some recipes need, and the extras of atommem that bring them."""


@dataclass(slots=True)
class Learner:
    """What a trainer needs of the model; the weights are on the CPU."""

    model: Any
    words: Words
    turns: Turns
    digest: str
    """sha256 of the weights it starts from."""
    options: Options
    """The recipe's `policy` section."""


def check(recipe: Recipe) -> None:
    """Refuse a policy that has no weights here, or cannot be told of the agent's tools, before anything loads.

    Raises:
        UsageError: one sentence.
    """
    if recipe.policy.name != "hf":
        raise UsageError(
            f"training needs weights, and the recipe's policy is {recipe.policy.name}: "
            "name a model folder or hub id with --policy, or set policy={name: hf, model: ...}"
        )
    insist_tools(recipe, recipe.build("agent"))


def load(recipe: Recipe) -> Learner:
    """The model that `recipe.policy` names.

    Raises:
        UsageError: it cannot be trained, or its tokenizer has no chat template or does not fit the weights.
        MissingExtra: it is not there.
    """
    check(recipe)
    _, options = recipe.plugin("policy")
    agent: Agent = recipe.build("agent")
    if options.model == tiny.NAME and not {*agent.operations}.isdisjoint(CONTEXT_OPS):
        raise UsageError(
            f"policy.model: {tiny.NAME} has no words for the tools of the agent {recipe.agent.name}: "
            f"set policy.model={tiny.AGEMEM}"
        )
    model, found = words.load(options)
    known = model.get_input_embeddings().num_embeddings
    if len(found.tokenizer) > known:
        raise UsageError(
            f"policy.model: the tokenizer of {options.model} has {len(found.tokenizer)} tokens and the weights know "
            f"{known}: they do not belong together"
        )
    return Learner(model, found, Turns(found), words.digest(options.model, model), options)


def need(package: str, why: str) -> None:
    """Insist on an optional package.

    Raises:
        MissingExtra: with the line that installs it.
    """
    if importlib.util.find_spec(package) is None:
        raise MissingExtra(f"{why} needs {package}: pip install 'atommem[{EXTRAS[package]}]'")


def check_lora(lora: dict[str, Any] | None, key: str) -> None:
    """Refuse numbers that make no adapters; peft itself is not needed for it.

    Raises:
        RecipeError: one sentence.
    """
    trl_keywords.finite(lora, key)
    rank = (lora or {}).get("r", 8)
    if not isinstance(rank, int) or isinstance(rank, bool) or rank < 1:
        raise RecipeError(f"{key}.r: {rank} is no rank: a whole number from 1")


def adapters(lora: dict[str, Any] | None, key: str) -> Any:
    """peft's LoraConfig for a recipe's `lora` section; None where every weight is trained.

    Raises:
        RecipeError: peft does not know a key or refuses a value.
        MissingExtra: peft is not installed.
    """
    if lora is None:
        return None
    check_lora(lora, key)
    need("peft", key)
    from peft import LoraConfig

    known = LoraConfig.__dataclass_fields__
    for name in lora:
        if name not in known:
            raise RecipeError(f"{key}.{name}: unknown key{did_you_mean(name, known)} (keys are peft's LoraConfig)")
    try:
        return LoraConfig(**{"task_type": "CAUSAL_LM", **lora})
    except (TypeError, ValueError) as error:
        raise RecipeError(f"{key}: {' '.join(str(error).split())}") from None


def complete(folder: Path, recipe: Recipe) -> None:
    """Make what a trainer saved a whole model: adapters merged, the recipe beside the weights.

    `atommem eval --policy FOLDER` plays it as it is, and a later training may start from it.
    """
    (folder / "training_args.bin").unlink(missing_ok=True)  # a pickle, with paths of this machine
    if (folder / "adapter_config.json").exists():
        merged = load_model(str(folder), "auto")
        for file in folder.glob("adapter_*"):
            file.unlink()
        merged.save_pretrained(folder)
    write_whole(folder / RECIPE, recipe.dump())
