"""`atommem grpo`: learn the memory policy from the reward of whole episodes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from atommem_cli.config.recipe import Recipe
from atommem_cli.core.errors import SourceError
from atommem_cli.core.files import read_json
from atommem_cli.core.types import Progress
from atommem_cli.data.chosen_tasks import ChosenTasks
from atommem_cli.data.files import Manifest, TaskFile, read_manifest, verify
from atommem_cli.running import evaluation, helpers, room
from atommem_cli.running.build import Parts, assemble
from atommem_cli.runs import identity, writer
from atommem_cli.runs.layout import SUMMARY
from atommem_cli.scoring import metrics
from atommem_cli.training import checkpoints, curriculum, distributed, learners, loop, trl_config
from atommem_cli.training.learners import Learner
from atommem_cli.training.rollouts import LearningPolicy, PlayedBatch


@dataclass(frozen=True, slots=True)
class _Tasks:
    """What is trained and validated on."""

    train: TaskFile
    validation: TaskFile | None
    manifests: tuple[Manifest, Manifest | None]

    @classmethod
    def of(cls, recipe: Recipe) -> _Tasks:
        folder, section = Path(recipe.task.folder), recipe.grpo
        train, held = folder / section.split, folder / recipe.task.split
        trained = verify(train)
        if recipe.grpo.trainer.get("eval_strategy") == "no":
            return cls(ChosenTasks(recipe, section.split, section.limit), None, (trained, None))
        learned = ChosenTasks(recipe, section.split, section.limit)
        validated = ChosenTasks(recipe, recipe.task.split, section.validation)
        return cls(learned, validated, (trained, verify(held)))

    @property
    def validated(self) -> int:
        return len(self.validation) if self.validation else 0


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
        UsageError: recipe, tasks, model or folder are not what they should be.
        BackendError: memory, disk or an optional package is missing.
        Diverged: something is not finite, now or when the folder was last worked on.
        Interrupted: the user stopped it; the last checkpoint is on disk.
    """
    learners.check(recipe)
    helpers.check_rewards(recipe, "grpo")
    curriculum.check(recipe)
    tasks = _Tasks.of(recipe)
    config = trl_config.grpo(recipe, out, validated=tasks.validated, processes=distributed.count())
    _enough(config, len(tasks.train))
    adapters = learners.adapters(recipe.grpo.lora, "grpo.lora")
    learner = learners.load(recipe)
    known = {
        "command": "grpo",
        "recipe": recipe.training("grpo"),
        identity.SOURCES: {**identity.sources(recipe), **identity.reward_sources(curriculum.every_reward(recipe.grpo))},
        "tasks": [manifest.sha256 if manifest else "" for manifest in tasks.manifests],
        "start": learner.digest,
        "processes": distributed.count(),
    }
    with loop.session(out, known, recipe, command):
        if not (out / SUMMARY).exists():
            _train(recipe, out, tasks, config, adapters, learner, progress, say)
        return read_json(out / SUMMARY)


def _train(
    recipe: Recipe,
    out: Path,
    tasks: _Tasks,
    config: Any,
    adapters: Any,
    learner: Learner,
    progress: Progress | None,
    say: loop.Say,
) -> None:
    from datasets import Dataset

    from atommem_cli.training.trainer import TrajectoryGRPOTrainer

    checkpoint, spent = loop.resume(out, "grpo.trainer", config, say)
    if config.use_vllm and config.vllm_max_model_length:
        learner.turns.window = min(learner.turns.window or config.vllm_max_model_length, config.vllm_max_model_length)
    policy = LearningPolicy(learner)
    asked = helpers.of_rewards(curriculum.every_reward(recipe.grpo))
    parts = assemble(recipe, out / f"rank-{distributed.own()}", policy, further=asked)
    try:
        room.insist(parts)
        trainer = TrajectoryGRPOTrainer(
            parts,
            policy,
            tasks.train,
            tasks.validation,
            _Keeper(recipe, out, parts, policy, config.num_generations),
            say,
            model=loop.rooted(learner, out),
            args=config,
            processing_class=learner.words.tokenizer,
            peft_config=adapters,
            train_dataset=Dataset.from_dict({"prompt": [str(i) for i in order(config, len(tasks.train))]}),
            eval_dataset=Dataset.from_dict({"prompt": [str(i) for i in range(tasks.validated)]}),
        )
        loop.quiet(trainer)
        trainer.add_callback(checkpoints.callback(out, recipe, spent=spent, progress=progress, remark=_remark))
        lower = "grpo.micro_batch_tokens, grpo.trainer.per_device_train_batch_size"
        loop.fit(trainer, out, checkpoint, "grpo.trainer", lower)
    finally:
        parts.close()
    loop.finish(trainer, recipe, out)


def _enough(config: Any, tasks: int) -> None:
    at_once = config.generation_batch_size // config.num_generations
    if tasks < at_once:
        raise SourceError(
            f"grpo.split has {tasks} tasks and one update plays {at_once}: prepare more, or lower "
            "grpo.trainer.per_device_train_batch_size or gradient_accumulation_steps"
        )


def warnings(result: Mapping[str, Any]) -> list[str]:
    """What a reader of the result must know before believing it."""
    flat, unpriced = result.get("groups_without_spread", 0.0), result.get("operations_without_price", 1.0)
    found = []
    if "operations_without_price" in result and unpriced == 1:
        found.append(
            "no operation had a price, so grpo.credit taught nothing: nothing else was shown without one, or the agent "
            "asks its questions within what it has read"
        )
    if flat > MOST_FLAT:
        taught = "they taught nothing" if unpriced == 1 else "prices of operations alone taught there"
        found.append(
            f"in {flat:.0%} of the groups every rollout had the same reward, so {taught}: take easier or harder "
            "tasks, more rollouts, a higher temperature, or a reward with more grades (grpo.rewards)"
        )
    return found


MOST_FLAT = 0.5
"""Share of groups without spread above which a training is warned about."""


def order(config: Any, tasks: int) -> list[int]:
    """The tasks of a whole training by number, epoch after epoch, each shuffled by its own seed.

    It is one long epoch to TRL, whose sampler would begin its first permutation again when a training is
    resumed in a later one.
    """
    import torch

    at_once = config.generation_batch_size // config.num_generations
    wanted = int(config.num_train_epochs * tasks)
    if config.max_steps > 0:
        per_generation = config.steps_per_generation * config.num_iterations
        generations = -(-config.max_steps * config.gradient_accumulation_steps // per_generation)
        wanted = generations * at_once
    found: list[int] = []
    for epoch in range(-(-wanted // tasks)):
        shuffled = torch.randperm(tasks, generator=torch.Generator().manual_seed(config.seed + epoch)).tolist()
        found += shuffled if config.shuffle_dataset else range(tasks)
    config.shuffle_dataset, config.num_train_epochs = False, 1
    return found[:wanted]


def _remark(line: dict[str, Any]) -> str:
    flat, reward = 100 * (line.get(loop.FLAT) or 0), line.get("reward") or 0
    return f"reward {reward:.2f}, groups without spread {flat:.0f} %"


@dataclass(frozen=True, slots=True)
class _Keeper:
    """Writes the trajectories of chosen updates as a run folder, which every tool for runs can read."""

    recipe: Recipe
    out: Path
    parts: Parts
    policy: LearningPolicy
    group: int
    """Rollouts of a task."""

    def __call__(self, update: int, played: PlayedBatch) -> None:
        every = self.recipe.grpo.keep_rollouts
        if not every or update % every:
            return
        everything = distributed.gather(list(zip(played.tasks, played.trajectories, strict=True)))
        if distributed.own():
            return
        path = self.out / "rollouts" / f"step-{update:05d}"
        scorers = self.recipe.eval.scorers or metrics.default_scorers(everything[0][0].source)
        section = self.recipe.grpo
        changes = {"task.split": section.split, "task.limit": section.limit, "eval.repeats": self.group}
        recipe = self.recipe.changed([f"{key}={json.dumps(value)}" for key, value in changes.items()])
        known = {
            "command": "grpo",
            "recipe": recipe.content,
            identity.SOURCES: identity.sources(recipe),
            "tasks": read_manifest(Path(recipe.task.folder) / recipe.task.split).sha256,
            "episodes": len(everything),
            "scorers": scorers,
            "agent": self.parts.agent.describe(),
            "policy": self.policy.describe(),
            "embedder": self.parts.vectors.describe(),
        }
        with writer.RunFolder(path, known, recipe.dump()) as folder:
            for task, trajectory in everything:
                scores = evaluation.score(task.questions, trajectory.answers, scorers)
                folder.write_trajectory(trajectory, scores)
        evaluation.sum_up(path, {task.id: task.questions for task, _ in everything})
