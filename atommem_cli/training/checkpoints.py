"""Checkpoints that can be resumed and played, and the metrics of a training run.

run.json, recipe.yaml, sessions.jsonl
metrics.jsonl              one line per logged step: step, kind (train, validation), seconds, values; a value that is
                           not finite is null, and "not_finite" names it; "diverged" is the last line of a training
                           that stopped for one
checkpoints/checkpoint-N/  TRL's checkpoint, with the recipe in it, and whole.json once all of it is on the disk
model/                     the best by validation, or the last; written at the end
rollouts/step-N/           grpo: the trajectories of chosen updates, ordinary run folders
"""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from atommem_cli.config.recipe import Recipe
from atommem_cli.core.errors import SourceError
from atommem_cli.core.files import Lines, read_lines, write_whole
from atommem_cli.core.types import Progress
from atommem_cli.runs.layout import METRICS, RECIPE
from atommem_cli.training import damage, distributed

if TYPE_CHECKING:
    from transformers import TrainerCallback

MODEL = "model"
PREFIX = "checkpoint-"


def number(folder: Path) -> int:
    """The update after which a checkpoint was written."""
    return int(folder.name[len(PREFIX) :])


def whole(out: Path) -> list[Path]:
    """Every checkpoint that could be resumed from, oldest first."""
    return [folder for folder in _all(out) if damage.fault(folder) is None]


def mend(out: Path, *, best: bool) -> tuple[Path | None, list[str]]:
    """The newest checkpoint that can be resumed from; what a kill left half-written is removed, and what is
    damaged is set aside as `damaged-N`.

    Args:
        best: the end of the training will load the best checkpoint, so that must be whole as well.

    Returns:
        The checkpoint; None is to begin anew. And one sentence about each that was set aside.

    Raises:
        SourceError: there are checkpoints, and none is whole.
    """
    found = _all(out)
    for folder in [folder for folder in found if damage.begun(folder)]:
        shutil.rmtree(folder)
        found.remove(folder)
    faults: dict[Path, str] = {}
    for folder in reversed(found):
        reason = damage.fault(folder) or (_fault_of_best(folder) if best else None)
        if reason is None:
            for bad in faults:
                _set_aside(bad)
            return folder, [f"{bad} is damaged ({why}): going on from {folder.name}" for bad, why in faults.items()]
        faults[folder] = reason
    if faults:
        told = "; ".join(f"{bad.name}: {why}" for bad, why in faults.items())
        raise SourceError(f"{out / 'checkpoints'}: no checkpoint is whole ({told}): remove this folder to begin anew")
    return None, []


def _all(out: Path) -> list[Path]:
    names = re.compile(re.escape(PREFIX) + "[0-9]+")
    there = [path for path in (out / "checkpoints").glob(f"{PREFIX}*") if names.fullmatch(path.name) and path.is_dir()]
    return sorted(there, key=number)


def _fault_of_best(folder: Path) -> str | None:
    state = json.loads((folder / "trainer_state.json").read_text(encoding="utf-8"))
    if not state.get("best_model_checkpoint"):
        return None
    chosen = folder.with_name(Path(state["best_model_checkpoint"]).name)
    if chosen == folder:
        return None
    why = damage.fault(chosen) if chosen.is_dir() else "it is missing"
    return f"its best so far is {chosen.name}, and {why}" if why else None


def _set_aside(folder: Path) -> None:
    aside = folder.with_name(f"damaged-{number(folder)}")
    if aside.exists():
        shutil.rmtree(aside)
    folder.rename(aside)


def rewind(out: Path, checkpoint: Path | None) -> float:
    """Take back the metrics of updates that a resumed run will do again.

    Returns:
        Seconds of training up to there, over all sessions.
    """
    path = out / METRICS
    if not path.exists():
        return 0.0
    Lines(path).close()  # cuts off a torn last line
    last = number(checkpoint) if checkpoint else 0
    spent = 0.0
    for offset, line in read_lines(path):
        if checkpoint is None or line["step"] > last:
            os.truncate(path, offset)
            break
        spent = float(line["seconds"])
    return spent


def callback(
    out: Path, recipe: Recipe, *, spent: float, progress: Progress | None, remark: Callable[[dict[str, Any]], str]
) -> TrainerCallback:
    """What atommem adds to TRL's loop: metrics as lines, checkpoints that carry their recipe, progress.

    Args:
        spent: seconds of training before this session.
        remark: what the progress says about a step's metrics.
    """
    from transformers import TrainerCallback

    class Recorder(TrainerCallback):  # type: ignore[misc]
        def __init__(self) -> None:
            self.started = time.perf_counter()
            self.lines: Lines | None = None
            self.known: set[tuple[str, int]] = set()
            self.remark = ""

        def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            if state.best_model_checkpoint:  # the folder may have been moved since
                state.best_model_checkpoint = str(out / "checkpoints" / Path(state.best_model_checkpoint).name)
            if state.is_world_process_zero:
                self.lines = Lines(out / METRICS)
                self.known = {(line["kind"], line["step"]) for line in self.lines.read()}

        def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any], **_: Any) -> None:
            validation = any(key.startswith("eval_") for key in logs)
            kind = "validation" if validation else "train"
            if self.lines is None or not (validation or "loss" in logs) or (kind, state.global_step) in self.known:
                return  # TRL's last words; or what `eval_on_start` measures again after a resume
            line = {
                "step": state.global_step,
                "kind": kind,
                "seconds": round(spent + time.perf_counter() - self.started, 3),
            }
            unusable = {}
            for key, value in logs.items():
                if isinstance(value, int | float) and not key.endswith(_SPEED):
                    name, finite = key.removeprefix("eval_"), math.isfinite(value)
                    line[name] = value if finite else None
                    if not finite:
                        unusable[name] = str(value)
            self.lines.append({**line, **({"not_finite": unusable} if unusable else {})})
            if not validation:
                self.remark = remark(line)

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            if progress and state.is_world_process_zero:
                progress(state.global_step, state.max_steps, self.remark)

        def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            folder = out / "checkpoints" / f"{PREFIX}{state.global_step}"
            distributed.wait()  # each writes a part of it
            if state.is_world_process_zero and folder.is_dir():
                write_whole(folder / RECIPE, recipe.dump())
                damage.mark(folder)

        def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            if self.lines:
                self.lines.close()
                self.lines = None

    return Recorder()


_SPEED = ("_runtime", "_per_second")
"""What the Trainer logs about its own speed."""
