"""Training: what trajectories cost over TRL's own trainer, and what packing is worth.

Run: OMP_WAIT_POLICY=passive python tests/bench/bench_training.py
"""

from __future__ import annotations

import hashlib
import random
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

import torch
from datasets import Dataset
from training_recipes import data, recipe
from transformers import TrainerCallback
from trl import GRPOTrainer

from atommem_cli.config.recipe import Recipe
from atommem_cli.data.files import TaskFile
from atommem_cli.running.build import assemble
from atommem_cli.scoring.rewards import REWARDS
from atommem_cli.training import grpo_rows, learners, loop, trl_config
from atommem_cli.training.grpo_rows import TrainingRow
from atommem_cli.training.rollouts import LearningPolicy
from atommem_cli.training.trainer import TrajectoryGRPOTrainer

STEPS, WARM = 24, 4
PAIRS = 5


def main() -> None:
    torch.set_num_threads(1)
    REWARDS["spread"] = lambda _, trajectory: spread(trajectory.transitions[-1].generation.text)
    with tempfile.TemporaryDirectory() as folder:
        one_context(Path(folder))
        packed(Path(folder))
        environment(Path(folder))


def spread(text: str) -> float:
    """A reward that noise has spread in."""
    return hashlib.sha256(text.encode()).digest()[0] / 255


def one_context(folder: Path) -> None:
    """Goal: at most 5 % slower than TRL's own trainer on the same prompts."""
    ratios = []
    for pair in range(PAIRS):
        order = [ours, trls] if pair % 2 else [trls, ours]
        seconds = {run.__name__: run(folder / f"{pair}-{run.__name__}") for run in order}
        ratios.append(seconds["ours"] / seconds["trls"])
    print(
        f"grpo, one context a trajectory: {statistics.median(ratios):.2f}x the CPU seconds of TRL's GRPOTrainer a step "
        f"({min(ratios):.2f}-{max(ratios):.2f} in {PAIRS} pairs; goal at most 1.05x)"
    )


def short() -> Recipe:
    return recipe(
        "agent.name=closed_book", "grpo.rewards={spread: 1.0}", "limits.answer=16", "limits.reply=16",
        "grpo.micro_batch_tokens=4096", per_device_train_batch_size=32, gradient_accumulation_steps=1,
        num_generations=4, max_steps=STEPS, save_strategy="no", eval_strategy="no",
    )  # fmt: skip


def ours(folder: Path) -> float:
    return _seconds(trainer(short(), folder))


def trls(folder: Path) -> float:
    given = short()
    learner = learners.load(given)
    parts = assemble(given, folder, LearningPolicy(learner))
    prompts = []
    for task in map(tasks_of(given).__getitem__, range(12)):
        request = next(parts.agent.play(parts.episode(task, 0, (), 0)))
        prompts.append([{"role": m.role, "content": m.content} for m in request.observation.messages])
    config = trl_config.grpo(given, folder, validated=0, processes=1)
    own = GRPOTrainer(
        loop.rooted(learner, folder),
        reward_funcs=[lambda completions, **_: [spread(c[0]["content"]) for c in completions]],
        args=config,
        processing_class=learner.words.tokenizer,
        train_dataset=Dataset.from_dict({"prompt": prompts}),
    )
    return _seconds(own)


class Clock(TrainerCallback):  # type: ignore[misc]
    """Seconds of CPU of each step."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def on_step_begin(self, *_: Any, **__: Any) -> None:
        self._started = time.process_time()

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self.times.append(time.process_time() - self._started)


def _seconds(made: Any) -> float:
    """Median seconds of CPU of a step, after the first ones."""
    loop.quiet(made)
    clock = Clock()
    made.add_callback(clock)
    made.train()
    return statistics.median(clock.times[WARM:])


def tasks_of(given: Recipe) -> TaskFile:
    return TaskFile(data() / given.grpo.split)


def trainer(given: Recipe, folder: Path) -> TrajectoryGRPOTrainer:
    learner = learners.load(given)
    policy = LearningPolicy(learner)
    tasks = tasks_of(given)
    return TrajectoryGRPOTrainer(
        assemble(given, folder, policy),
        policy,
        tasks,
        None,
        model=loop.rooted(learner, folder),
        args=trl_config.grpo(given, folder, validated=0, processes=1),
        processing_class=learner.words.tokenizer,
        train_dataset=Dataset.from_dict({"prompt": [str(i) for i in range(len(tasks))]}),
    )


def packed(folder: Path) -> None:
    """Goal: at least 1.3x the tokens a second of one padded shape for all rows."""
    dice = random.Random(0)
    trajectories = []
    for _ in range(16):  # 20 contexts: chunks and memories grow, replies are short or long
        rows = [
            TrainingRow(
                tuple(dice.choices(range(3, 90), k=dice.randint(40, 80) + 6 * step)),
                tuple(dice.choices(range(3, 90), k=int(dice.lognormvariate(2.7, 0.6)) + 1)),
                advantage=dice.uniform(-1, 1),
            )
            for step in range(20)
        ]
        trajectories.append(rows)
    made = trainer(recipe("grpo.rewards={spread: 1.0}", gradient_accumulation_steps=1), folder / "packed")
    made.model.train()
    made.current_gradient_accumulation_steps = 1
    everything = [row for rows in trajectories for row in rows]
    widest = max(len(r.prompt) for r in everything), max(len(r.completion) for r in everything)
    at_once = 8192 // sum(widest)
    naive = [everything[at : at + at_once] for at in range(0, len(everything), at_once)]
    [slot], spent = grpo_rows.slots(trajectories, 1, 1, 8192)
    normaliser = torch.tensor(float(sum(len(row.completion) for row in everything)))
    batches = {
        "naive": [widen(made._tensors(rows, normaliser), *widest) for rows in naive],
        "packed": [made._tensors(rows, normaliser) for rows in slot],
    }
    ratios = []
    for pair in range(2 * PAIRS):
        names = list(batches) if pair % 2 else list(batches)[::-1]
        seconds = {name: pass_over(made, batches[name]) for name in names}
        ratios.append(seconds["naive"] / seconds["packed"])
    waste = 1 - sum(r.tokens for r in everything) / (len(everything) * sum(widest))
    left = 1 - sum(r.tokens for r in everything) / spent
    print(
        f"grpo, 20 contexts a trajectory: {statistics.median(ratios):.2f}x the tokens a second of one padded shape "
        f"({min(ratios):.2f}-{max(ratios):.2f} in {2 * PAIRS} pairs; padding {waste:.0%} -> {left:.0%}; goal 1.3x)"
    )


def widen(batch: dict[str, torch.Tensor], prompt: int, completion: int) -> dict[str, torch.Tensor]:
    """Pad a batch to the shape of the widest row of all."""
    made = dict(batch)
    for key, value in batch.items():
        if value.ndim == 2:
            missing = (prompt if key.startswith("prompt") else completion) - value.shape[1]
            left = key.startswith("prompt")
            made[key] = torch.nn.functional.pad(value, (missing, 0) if left else (0, missing))
    return made


def pass_over(made: TrajectoryGRPOTrainer, batches: list[dict[str, torch.Tensor]]) -> float:
    """Seconds of forward and backward over all batches."""
    made._slots = [batches]
    made.model.zero_grad()
    started = time.perf_counter()
    made._compute_loss(made.model, {"slot": torch.zeros(1)}).backward()
    return time.perf_counter() - started


def environment(folder: Path) -> None:
    """Goal: memory, store, embedding and prompts under 5 % of a step."""
    given = recipe(
        "grpo.rewards={spread: 1.0}", "chunk.tokens=16", "store.name=chroma", "limits.reply=32",
        per_device_train_batch_size=32, gradient_accumulation_steps=1, max_steps=12, save_strategy="no",
        eval_strategy="no",
    )  # fmt: skip
    made = trainer(given, folder / "environment")
    loop.quiet(made)
    made.train()
    lines = [line for line in made.state.log_history if "time/train" in line][2:]
    parts = {part: sum(line[f"time/{part}"] for line in lines) for part in ("generate", "environment", "train")}
    whole = sum(parts.values())
    print("grpo, a step: " + ", ".join(f"{name} {value / whole:.1%}" for name, value in parts.items())
          + " (goal: environment under 5 %)")  # fmt: skip


if __name__ == "__main__":
    main()
