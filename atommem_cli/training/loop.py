"""One training session: claim the folder, train from the last checkpoint, say in one sentence what failed."""

from __future__ import annotations

import errno
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import fmean
from typing import Any

from atommem_cli.config.recipe import Recipe
from atommem_cli.core import folders
from atommem_cli.core.errors import AtommemError, BackendError, Interrupted
from atommem_cli.core.files import read_lines, write_whole
from atommem_cli.models import tiny
from atommem_cli.models.loading import adapted, digest_of_files, memory_advice, weight_files
from atommem_cli.runs import provenance
from atommem_cli.runs.layout import METRICS, SCHEMA, SUMMARY
from atommem_cli.runs.writer import Folder
from atommem_cli.training import checkpoints, damage, distributed, divergence, learners
from atommem_cli.training.learners import Learner
from atommem_cli.training.silence import silent
from atommem_cli.training.trl_config import Command

Say = Callable[[str], None]
"""Told what a user should know while a training goes on."""


def nothing(_: str) -> None:
    """Nobody listens."""


def run_path(command: Command, recipe: Recipe, out: Path | None) -> Path:
    """Where a training goes: `results/<command>-<recipe>-<digest8>`, or the folder the user named.

    Raises:
        UsageError: that folder lies in the folder of a run.
    """
    if out is not None:
        folders.insist_apart(out)
        folders.claim(out)
    return out or Path("results") / f"{command}-{recipe.name}-{recipe.training_digest(command)[:8]}"


@contextmanager
def session(out: Path, identity: Mapping[str, Any], recipe: Recipe, command: Sequence[str]) -> Iterator[None]:
    """Claim the folder and frame this session's work by two lines of `sessions.jsonl`; the main process alone.

    Raises:
        RunMismatch: the folder is another run's, or another process works on it.
        Interrupted: the user stopped it.
        BackendError: the disk is full.
    """
    if distributed.own():
        with silent(), _room_to_write():
            yield
        return
    with silent(), Folder(out, identity, recipe.dump()) as folder:
        folder.sessions.append(provenance.session_start(command, folder.changed))
        started = time.perf_counter()
        try:
            with _room_to_write():
                yield
        except KeyboardInterrupt:
            raise Interrupted(f"stopped; the same command goes on from the last checkpoint in {out}") from None
        finally:
            folder.sessions.append(
                {"end": provenance.now(), "seconds": {"wall": round(time.perf_counter() - started, 3)}}
            )


def resume(out: Path, key: str, config: Any, say: Say) -> tuple[Path | None, float]:
    """The checkpoint to go on from, the metrics rewound to it, and the seconds of training up to there.

    The main process mends the folder before the others look.

    Args:
        key: where in the recipe the trainer's keywords stand.
        config: the trainer's keywords.
        say: told of every checkpoint that was damaged.

    Raises:
        Diverged: the training cannot go on.
        SourceError: there are checkpoints, and none is whole.
    """
    divergence.refuse(out, key)
    checkpoint, spent, failed = None, 0.0, None
    if not distributed.own():
        try:
            checkpoint, remarks = checkpoints.mend(out, best=config.load_best_model_at_end)
            spent = checkpoints.rewind(out, checkpoint)
            for remark in remarks:
                say(remark)
        except AtommemError as error:
            failed = error
    checkpoint, failed = distributed.gather([(checkpoint, failed)])[0]
    if failed is not None:
        raise failed
    return checkpoint, spent


def fit(trainer: Any, out: Path, checkpoint: Path | None, key: str, micro_batch_key: str) -> None:
    """Train to the end, from the last checkpoint where there is one.

    Args:
        key: where in the recipe the trainer's keywords stand.
        micro_batch_key: the recipe key that lowers memory, for the advice.

    Raises:
        BackendError: memory ran out, or the checkpoint cannot be loaded; what was saved is on disk.
        Diverged: something is not finite.
    """
    started = _started()
    trainer.add_callback(started)
    trainer.add_callback(_stop_at_the_end())
    divergence.watch(trainer)
    try:
        with memory_advice(micro_batch_key):
            trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    except _AtTheEndError:
        if trainer.args.load_best_model_at_end and trainer.state.best_model_checkpoint:
            trainer._load_best_model()
    except divergence.FoundError as found:
        if not distributed.own():
            divergence.record(out, found)
        distributed.wait()
        divergence.refuse(out, key)
    except Exception as error:
        if checkpoint is None or started.steps or isinstance(error, AtommemError):
            raise
        # Whatever torch, safetensors and pickle raise; an EOFError would read as Ctrl-D.
        reason = " ".join(str(error).split())[:160] or type(error).__name__
        raise BackendError(
            f"{checkpoint} cannot be loaded: {reason}: remove it, and the same command goes on from the one before"
        ) from error


def _started() -> Any:
    from transformers import TrainerCallback

    class Started(TrainerCallback):  # type: ignore[misc]
        steps = 0

        def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            self.steps += 1

    return Started()


@contextmanager
def _room_to_write() -> Iterator[None]:
    """Where weights are written.

    Raises:
        BackendError: the disk did not take them; what was saved before is whole.
    """
    try:
        yield
    except Exception as error:
        # torch and safetensors have errors of their own for it.
        known = isinstance(error, OSError) and error.errno in _NO_ROOM
        if not known and not any(said in str(error) for said in _UNWRITTEN):
            raise
        raise BackendError(
            "the disk did not take a model or a checkpoint: make room (or lower save_total_limit) "
            "and run the same command again"
        ) from None


_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)
_UNWRITTEN = ("inline_container", "PytorchStreamWriter", "Error while serializing")


class _AtTheEndError(Exception):
    """The checkpoint is of the last update."""


def _stop_at_the_end() -> Any:
    """Resumed from the checkpoint of its last update, transformers' Trainer would do another one."""
    from transformers import TrainerCallback

    class Stop(TrainerCallback):  # type: ignore[misc]
        def on_epoch_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            if state.global_step >= state.max_steps:
                raise _AtTheEndError

    return Stop()


def rooted(learner: Learner, out: Path) -> Any:
    """The model to train, with a folder to its name: adapters and the KL term's reference are loaded from it."""
    if learner.words.name in tiny.VOCABULARIES or adapted(learner.words.name):
        start = out / "start"
        if not distributed.own():
            tiny.save(start, learner.model, learner.words.tokenizer)
        distributed.wait()
        learner.model.name_or_path = learner.model.config._name_or_path = str(start)
    return learner.model


FLAT = "frac_reward_zero_std"
"""TRL's name for the share of groups whose rewards are all the same: they teach nothing."""
UNPRICED = "credit/unknown"
"""Share of the operations that took effect and have no price, where single ones are credited."""


def quiet(trainer: Any) -> None:
    """The library does not print."""
    from transformers import PrinterCallback, ProgressCallback

    trainer.remove_callback(PrinterCallback)
    trainer.remove_callback(ProgressCallback)


def finish(trainer: Any, recipe: Recipe, out: Path) -> None:
    """Write the model that the trainer holds, and `summary.json`: the folder is finished."""
    state, folder = trainer.state, out / checkpoints.MODEL
    chosen = state.best_model_checkpoint if trainer.args.load_best_model_at_end else None
    best = checkpoints.number(Path(chosen)) if chosen else None
    trainer.save_model(str(folder))  # every rank holds a part of it
    if distributed.own():
        distributed.wait()
        return
    learners.complete(folder, recipe)
    damage.flush(folder)
    lines = [line for _, line in read_lines(out / METRICS)]
    flat, unpriced = (
        [line[name] for line in lines if line["kind"] == "train" and line.get(name) is not None]
        for name in (FLAT, UNPRICED)
    )
    result = {
        "schema": SCHEMA,
        "updates": state.global_step,
        "seconds": lines[-1]["seconds"] if lines else 0.0,
        "best_update": best,
        "best_metric": state.best_metric if chosen else None,
        **({"groups_without_spread": round(fmean(flat), 4)} if flat else {}),
        **({"operations_without_price": round(fmean(unpriced), 4)} if unpriced else {}),
        "model": str(folder),
        "weights": digest_of_files(weight_files(str(folder))),
    }
    write_whole(out / SUMMARY, json.dumps(result, indent=2) + "\n")
    distributed.wait()
