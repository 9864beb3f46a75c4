"""The private names of libraries that training leans on: all of them are listed here, and are there as installed."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import accelerate.state
import pytest
import transformers
import trl
import trl.trainer.utils
from trl.trainer.sft_trainer import SFTTrainer

from atommem_cli import training

PRIVATE: dict[Any, tuple[str, ...]] = {
    trl.GRPOTrainer: (
        "_compute_loss",
        "_dist",
        "_entropy_bonus_enabled",
        "_generate_and_score_completions",
        "_generate_single_turn",
        "_get_per_token_logps_and_entropies",
        "_load_best_model",
        "_metrics",
        "_prepare_inputs",
        "_step",
        "_tokenizer",
    ),
    SFTTrainer: ("_load_best_model", "_total_train_tokens"),
    trl.trainer.utils: ("_use_triton",),
    transformers.PreTrainedModel: ("_no_split_modules",),
    transformers.PretrainedConfig: ("_attn_implementation", "_name_or_path"),
    accelerate.state.GradientState: ("_set_sync_gradients",),
}
OVERRIDDEN = (
    "_compute_loss",
    "_generate_and_score_completions",
    "_get_per_token_logps_and_entropies",
    "prediction_step",
    "training_step",
)


def own(tree: ast.AST) -> Iterator[str]:
    """Private names that a module gives to its own things."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            if isinstance(node.value, ast.Name) and node.value.id == "self":
                yield node.attr
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            yield node.target.id


def used(tree: ast.AST) -> Iterator[str]:
    """Private names that it asks of others, those that it overrides too."""
    mine = {*own(tree)} - {*OVERRIDDEN}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and re.match("_[a-z]", node.attr) and node.attr not in mine:
            yield node.attr


def test_no_other_private_name_is_used() -> None:
    folder = Path(training.__file__).parent
    found = {name for file in folder.glob("*.py") for name in used(ast.parse(file.read_text(encoding="utf-8")))}
    assert found == {name for names in PRIVATE.values() for name in names}


@pytest.mark.parametrize(("owner", "name"), [(owner, name) for owner, names in PRIVATE.items() for name in names])
def test_the_installed_library_has_it(owner: Any, name: str) -> None:
    classes = owner.__mro__ if inspect.isclass(owner) else (owner,)
    sources = [inspect.getsource(one) for one in classes if one is not object]
    given = re.compile(
        rf"def {name}\(|import {name}\b|\b(self|cls)\.{name}\b[^\n=]*= |^    {name}\b[^\n=]*= ", re.MULTILINE
    )
    assert any(given.search(source) for source in sources), f"{owner.__name__} has no {name} any more"


@pytest.mark.parametrize("name", OVERRIDDEN)
def test_what_is_overridden_is_overridden_of_something(name: str) -> None:
    from atommem_cli.training.trainer import TrajectoryGRPOTrainer

    ours, theirs = getattr(TrajectoryGRPOTrainer, name), getattr(trl.GRPOTrainer, name)
    assert ours is not theirs
    assert [*inspect.signature(ours).parameters][:3] == [*inspect.signature(theirs).parameters][:3]
