"""Checkpoints that can be resumed and played, and the metrics of a training run.

run.json, recipe.yaml, sessions.jsonl
metrics.jsonl              one line per logged step: step, kind (train, validation), seconds, values
checkpoints/checkpoint-N/  TRL's checkpoint, with the recipe in it
model/                     the best by validation, or the last; written at the end
rollouts/step-N/           grpo: the trajectories of chosen updates, ordinary run folders
"""

from __future__ import annotations

import json
import math
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from atommem_cli.jsonlines import Lines, read_lines, write_whole
from atommem_cli.recipe import Recipe

if TYPE_CHECKING:
    from transformers import TrainerCallback

METRICS = "metrics.jsonl"
MODEL = "model"
PREFIX = "checkpoint-"

Progress = Callable[[int, int, str], None]
"""Called with updates done, planned and a remark."""


def latest(out: Path) -> Path | None:
    """The newest checkpoint that was written to its end; what a kill left half-written is removed."""
    found = None
    for folder in sorted((out / "checkpoints").glob(f"{PREFIX}*"), key=lambda path: int(path.name[len(PREFIX) :])):
        if _whole(folder):
            found = folder
        else:
            shutil.rmtree(folder)
    return found


def _whole(folder: Path) -> bool:
    try:
        json.loads((folder / "trainer_state.json").read_text(encoding="utf-8"))  # TRL writes it last
    except (OSError, ValueError):
        return False
    return True


def rewind(out: Path, checkpoint: Path | None) -> float:
    """Take back the metrics of updates that a resumed run will do again.

    Returns:
        Seconds of training up to there, over all sessions.
    """
    path = out / METRICS
    if not path.exists():
        return 0.0
    Lines(path).close()  # cuts off a torn last line
    last = int(checkpoint.name[len(PREFIX) :]) if checkpoint else 0
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
            for key, value in logs.items():
                if isinstance(value, int | float) and math.isfinite(value) and not key.endswith(_SPEED):
                    line[key.removeprefix("eval_")] = value
            self.lines.append(line)
            if not validation:
                self.remark = remark(line)

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            if progress and state.is_world_process_zero:
                progress(state.global_step, state.max_steps, self.remark)

        def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            folder = out / "checkpoints" / f"{PREFIX}{state.global_step}"
            if state.is_world_process_zero and folder.is_dir():
                write_whole(folder / "recipe.yaml", recipe.dump())

        def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            if self.lines:
                self.lines.close()
                self.lines = None

    return Recorder()


_SPEED = ("_runtime", "_per_second")
"""What the Trainer logs about its own speed."""
