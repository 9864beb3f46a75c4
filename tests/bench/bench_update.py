"""A whole GRPO update of `tiny`: as transformers and TRL do it, against shared tokens and replies of our own loop.

    OMP_WAIT_POLICY=passive python tests/bench/bench_update.py

A model is fine-tuned first, so that replies have the lengths of a real training (two minutes). Then five updates each
way, in turn, from the same weights with the same seeds. `plain`: prompts padded, every row in every step until the
longest reply ends (`generate`), rows padded in training. `shared`: as it is.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from transformers import TrainerCallback

from atommem_cli.config import recipe as recipes
from atommem_cli.config.recipe import Recipe
from atommem_cli.data.files import TaskFile
from atommem_cli.models import generation
from atommem_cli.running.build import assemble
from atommem_cli.training import grpo, learners, loop, trl_config
from atommem_cli.training.rollouts import LearningPolicy
from atommem_cli.training.trainer import TrajectoryGRPOTrainer

UPDATES, PAIRS = 5, 3
FORMATTED = 500
"""Updates of fine-tuning: the format is there by then."""
DECODABLE = generation.decodable


def main() -> None:
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        model = fine_tuned(folder)
        found: dict[str, list[dict[str, float]]] = {"plain": [], "shared": []}
        for pair in range(PAIRS + 1):
            for way in list(found)[:: 1 if pair % 2 else -1]:
                lines = updates(given(folder, model, way), folder / f"{way}-{pair}", way)
                found[way] += lines if pair else []  # the first ones warm up
        for key in found["plain"][0]:
            plain, shared = (statistics.median(line[key] for line in lines) for lines in found.values())
            print(f"tiny, an update, {key}: {plain:.2f} -> {shared:.2f} s, {plain / shared:.2f} times")


def fine_tuned(folder: Path) -> Path:
    """A model folder."""

    def atommem(*words: str) -> None:
        command = [sys.executable, "-m", "atommem_cli.cli", *words]
        subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=900)

    atommem("prepare", "stream")
    atommem("eval", "--policy", "scripted:sloppy", "--set", "task.split=train", "--out", "shown")
    atommem("sft", "--from", "shown", "--set", f"sft.trainer.max_steps={FORMATTED}", "--out", "sft")
    return folder / "sft" / "model"


def given(folder: Path, model: Path, way: str) -> Recipe:
    trainer = {"max_steps": UPDATES, "save_strategy": "'no'", "eval_strategy": "'no'", "eval_on_start": "false"}
    changes = [f"grpo.trainer.{key}={value}" for key, value in trainer.items()]
    shared = str(way == "shared").lower()
    return recipes.load("tiny").changed(
        [f"policy.model={model}", f"task.folder={folder / 'data/stream'}", f"grpo.share_prefixes={shared}", *changes]
    )


class Clock(TrainerCallback):  # type: ignore[misc]
    """Seconds of each update."""

    def __init__(self) -> None:
        self.wall: list[float] = []
        self.cpu: list[float] = []

    def on_step_begin(self, *_: Any, **__: Any) -> None:
        self._started = time.perf_counter(), time.process_time()

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self.wall.append(time.perf_counter() - self._started[0])
        self.cpu.append(time.process_time() - self._started[1])


def updates(recipe: Recipe, out: Path, way: str) -> list[dict[str, float]]:
    generation.decodable = DECODABLE if way == "shared" else lambda _: False
    learner = learners.load(recipe)
    policy = LearningPolicy(learner)
    parts = assemble(recipe, out, policy)
    config = trl_config.grpo(recipe, out, validated=0, processes=1)
    tasks = TaskFile(Path(recipe.task.folder) / recipe.grpo.split)
    trainer = TrajectoryGRPOTrainer(
        parts,
        policy,
        tasks,
        None,
        model=loop.rooted(learner, out),
        args=config,
        processing_class=learner.words.tokenizer,
        train_dataset=Dataset.from_dict({"prompt": [str(number) for number in grpo.order(config, len(tasks))]}),
    )
    loop.quiet(trainer)
    clock = Clock()
    trainer.add_callback(clock)
    trainer.train()
    parts.close()
    lines = [line for line in trainer.state.log_history if "time/train" in line]
    return [
        {
            "whole, CPU of one core": cpu,
            "whole, wall": wall,
            "playing and generation, wall": line["time/generate"],
            "memory and environment, wall": line["time/environment"],
            "loss and gradient, wall": line["time/train"],
        }
        for cpu, wall, line in zip(clock.cpu, clock.wall, lines, strict=True)
    ]


if __name__ == "__main__":
    main()
