"""`atommem sft`: teach the format and the habits of good trajectories, on TRL's SFTTrainer as it is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from atommem_cli.config.recipe import Recipe
from atommem_cli.core.errors import RecipeError
from atommem_cli.core.files import read_json
from atommem_cli.core.types import Progress
from atommem_cli.models import tiny, words
from atommem_cli.models.decodable import beneath
from atommem_cli.models.loading import load_model
from atommem_cli.running import helpers
from atommem_cli.runs import identity
from atommem_cli.runs.layout import SUMMARY
from atommem_cli.training import (
    checkpoints,
    damage,
    demonstrations,
    distributed,
    learners,
    loop,
    plan_sft,
    recall,
    sft_rows,
    trl_config,
)
from atommem_cli.training.demonstrations import Demonstrations
from atommem_cli.training.learners import Learner
from atommem_cli.training.plan_sft import SftPlan, tables

if TYPE_CHECKING:
    from datasets import Dataset

__all__ = ["SftPlan", "plan", "tables", "train"]

RECALL = "recall"
"""The folder of the stage that comes first, with metrics, checkpoints and a model of its own."""

_BASE = {"max_length": None, "ddp_find_unused_parameters": False}
"""Where TRL's own defaults are not ours: it would cut rows, and look in vain for weights without a gradient."""

_LARGE = 4096
"""Words of a vocabulary from which on a model's head is dear."""


def plan(recipe: Recipe, processes: int | None = None, *, sharded: bool = False) -> SftPlan:
    """Count what a training will learn from. Loads tokenizers, no weights.

    Args:
        processes: how many will train together; None is how many there are now.
        sharded: they share weights, gradients and optimiser states (FSDP2, ZeRO-3).

    Raises:
        UsageError, BackendError: see `train`.
    """
    count = distributed.count() if processes is None else trl_config.together(processes)
    config = _check(recipe, Path())
    _, options = recipe.plugin("policy")
    found = demonstrations.collect(recipe, words.outline(options), config.max_length)
    training, validation = _split(recipe, found)
    return plan_sft.count(recipe, found, training, validation, config, count, sharded=sharded)


def train(
    recipe: Recipe,
    out: Path,
    *,
    command: Sequence[str] = (),
    progress: Progress | None = None,
    say: loop.Say = loop.nothing,
) -> dict[str, Any]:
    """Train to the recipe's end; continues a training that was begun in the same folder.

    Args:
        out: the run folder.
        command: the command line, for the record.
        say: told of damaged checkpoints that were left out.

    Returns:
        The content of `summary.json`.

    Raises:
        UsageError: recipe, runs, tasks, model or folder are not what they should be.
        BackendError: memory, disk or an optional package is missing.
        Diverged: something is not finite, now or when the folder was last worked on.
        Interrupted: the user stopped it; the last checkpoint is on disk.
    """
    config = _check(recipe, out)
    learner = learners.load(recipe)
    found = demonstrations.collect(recipe, learner.words, config.max_length)
    training, validation = _split(recipe, found)
    known = {
        "command": "sft",
        "recipe": recipe.training("sft"),
        identity.SOURCES: {**identity.sources(recipe), **identity.reward_sources(recipe.sft.rewards)},
        "start": learner.digest,
        "rows": sft_rows.digest(training, validation),
        "processes": distributed.count(),
    }
    with loop.session(out, known, recipe, command):
        if not (out / SUMMARY).exists():
            if recipe.sft.recall is not None:
                _recall(recipe, out / RECALL, learner, progress, say)
            trainer = _trainer(
                loop.rooted(learner, out),
                learner,
                _config(recipe, out, validated=bool(validation)),
                sft_rows.dataset(training),
                sft_rows.dataset(validation) if validation else None,
                learners.adapters(recipe.sft.lora, "sft.lora"),
            )
            _fit(trainer, recipe, out, "sft.trainer", progress, say)
            loop.finish(trainer, recipe, out)
        return read_json(out / SUMMARY)


def _split(recipe: Recipe, found: Demonstrations) -> tuple[list[sft_rows.Example], list[sft_rows.Example]]:
    return sft_rows.hold_out(found.rows, recipe.sft.holdout, recipe.seed)


# --- settings


def _check(recipe: Recipe, out: Path) -> Any:
    """Find what is wrong before anything loads; TRL's configuration."""
    learners.check(recipe)
    helpers.check_rewards(recipe, "sft")
    recall.check(recipe)
    learners.adapters(recipe.sft.lora, "sft.lora")
    if recipe.sft.recall is not None:
        _recall_config(recipe, out)
    return _config(recipe, out, validated=recipe.sft.holdout > 0)


def _config(recipe: Recipe, out: Path, *, validated: bool) -> Any:
    """TRL's keywords; of several checkpoints the best by validation is kept, unless the recipe says otherwise."""
    given = {**_BASE, **trl_config.taught(recipe.sft.trainer, "sft.trainer")}
    if validated:
        saves = given.get("save_strategy", "steps")
        ours = {"eval_strategy": saves, "metric_for_best_model": "eval_loss"}
        if "save_steps" in given:
            ours["eval_steps"] = given["save_steps"]
        ours["load_best_model_at_end"] = saves != "no" and given.get("eval_strategy", saves) == saves
        given = {**ours, **given}
    return trl_config.sft(recipe, out, given)


def _recall_config(recipe: Recipe, out: Path) -> Any:
    assert recipe.sft.recall is not None
    once = {"num_train_epochs": 1, "max_steps": -1, "train_sampling_strategy": "sequential"}
    once |= {"eval_strategy": "no", "load_best_model_at_end": False}
    given = {**_BASE, **recipe.sft.trainer, **once, **recipe.sft.recall.trainer}
    return trl_config.sft(recipe, out, given, "sft.recall.trainer")


# --- stages


def _recall(recipe: Recipe, out: Path, learner: Learner, progress: Progress | None, say: loop.Say) -> None:
    """The stage that comes first; once it is complete, its model is loaded and nothing is trained."""
    assert recipe.sft.recall is not None
    folder = out / checkpoints.MODEL
    complete = folder.exists()
    distributed.wait()
    if not complete:
        out.mkdir(exist_ok=True)
        exercises = recall.rows(learner.words, recipe.sft.recall.rows, recipe.seed)
        trainer = _trainer(learner.model, learner, _recall_config(recipe, out), sft_rows.dataset(exercises))
        _fit(trainer, recipe, out, "sft.recall.trainer", progress, say)
        if not distributed.own():
            draft = folder.with_name(f".{folder.name}")
            tiny.save(draft, learner.model, learner.words.tokenizer)
            damage.flush(draft)
            draft.rename(folder)
        distributed.wait()
    learner.model = load_model(str(folder), "auto")


def _trainer(
    model: Any,
    learner: Learner,
    config: Any,
    training: Dataset,
    validation: Dataset | None = None,
    adapters: Any = None,
) -> Any:
    """TRL's SFTTrainer, silent.

    Raises:
        RecipeError: it does not take its keywords together.
    """
    from trl.trainer.sft_trainer import SFTTrainer

    try:
        trainer = SFTTrainer(
            model,
            config,
            train_dataset=training,
            eval_dataset=validation,
            processing_class=learner.words.tokenizer,
            peft_config=adapters,
        )
    except ValueError as error:
        raise RecipeError(f"sft.trainer: {' '.join(str(error).split())}") from None
    loop.quiet(trainer)
    return trainer


@contextmanager
def _completions_alone(model: Any) -> Iterator[None]:
    """Spare the head what is not scored: TRL's takes every position of a row where there is no Triton, for the sake of
    compilers, of which the CPU has none. It costs as much as all layers of a small model with a large vocabulary."""
    from trl.trainer import utils

    plain = utils._use_triton
    if model.device.type == "cpu" and model.get_output_embeddings().weight.size(0) >= _LARGE:
        utils._use_triton = lambda _: True  # there it says no more than which positions are taken
    try:
        yield
    finally:
        utils._use_triton = plain


def _fit(trainer: Any, recipe: Recipe, out: Path, key: str, progress: Progress | None, say: loop.Say) -> None:
    checkpoint, spent = loop.resume(out, key, trainer.args, say)
    if checkpoint:
        logged = read_json(checkpoint / "trainer_state.json")["log_history"]
        # TRL counts tokens in the process only; a resumed run goes on counting.
        trainer._total_train_tokens = max((line.get("num_tokens", 0) for line in logged), default=0)
    trainer.add_callback(checkpoints.callback(out, recipe, spent=spent, progress=progress, remark=_remark))
    with _completions_alone(beneath(trainer.model)):
        loop.fit(trainer, out, checkpoint, key, "sft.trainer.per_device_train_batch_size")


def _remark(line: dict[str, Any]) -> str:
    return f"loss {line['loss']:.3f}" if line["loss"] is not None else "loss not finite"
