"""GRPO over trajectories of many contexts, on TRL's GRPOTrainer.

TRL wants one row per sampled prompt; an episode is many prompts, because the context is rebuilt at every step. So TRL
gets the *last* call of each episode, rewards and compares the episodes by it, one number per trajectory, untouched;
then every call of an episode becomes a row that carries its trajectory's advantage, and what its operations are
credited with (`credit`). Sampler, groups, advantages, clipping, KL, logging, checkpoints and distribution stay TRL's.
The optimiser's steps do not depend on the contexts.

Overridden of TRL 1.16 are `_generate_and_score_completions` (expand), `_compute_loss` (many micro-batches in one slot),
`_get_per_token_logps_and_entropies` (shared tokens once: `row_trainer`), `prediction_step` (validation plays) and
`training_step` (its time); tests/training/test_trl_private.py lists what else.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import torch
from accelerate import DistributedType
from torch import Tensor

from atommem_cli.core import folders
from atommem_cli.core.types import Task
from atommem_cli.running import gold
from atommem_cli.running.build import Parts
from atommem_cli.scoring import rewards
from atommem_cli.scoring.reward import BatchReward
from atommem_cli.training import curriculum, grpo_rows, loop, rollout_metrics
from atommem_cli.training.credit import OperationCredit
from atommem_cli.training.distributed import accumulating, gather
from atommem_cli.training.divergence import agree
from atommem_cli.training.grpo_rows import Counts, TrainingRow
from atommem_cli.training.rollouts import LearningPolicy, PlayedBatch, play
from atommem_cli.training.row_tensors import tensors
from atommem_cli.training.row_trainer import RowGRPOTrainer

Keep = Callable[[int, PlayedBatch], None]


class Tasks(Protocol):
    """Tasks by number, from 0."""

    def __getitem__(self, number: int, /) -> Task: ...


class TrajectoryGRPOTrainer(RowGRPOTrainer):
    """TRL's trainer, for agents whose episodes are several model calls."""

    def __init__(
        self,
        parts: Parts,
        policy: LearningPolicy,
        train: Tasks,
        validation: Tasks | None,
        keep: Keep | None = None,
        say: loop.Say = loop.nothing,
        **trl: Any,
    ) -> None:
        """
        Args:
            parts: agent, memory and limits; its policy is `policy`.
            train, validation: by number; a row of TRL's data set names one as `prompt`.
            keep: called with the update and what was played, on every rank.
            say: told in one sentence why rows do not share their tokens, where they do not.
            trl: what GRPOTrainer takes, but rewards and rollouts.
        """
        self._parts, self._policy = parts, policy
        self._tasks = {"train": train, "eval": validation or train}
        self._keep = keep
        self._played: PlayedBatch | None = None
        self._slots: list[list[dict[str, Tensor]]] = []
        self._playing = self._learning = 0.0  # seconds
        section = parts.recipe.grpo
        weights = rewards.with_parts(curriculum.every_reward(section))
        trl["args"].reward_weights = list(weights.values())
        answers = gold.value(parts.agent, policy.likelihoods)
        self._worth: dict[str, list[float]] = {}  # of what was played, by reward
        given = [self._reward(name, rewards.of(name, parts.ask, answers)) for name in weights]
        super().__init__(reward_funcs=given, rollout_func=_rollout, **trl)
        policy.trainer = self
        self._names = [*weights]
        single = section.credit.name == "operation"
        self._credit = OperationCredit(parts, policy, answers, self.num_generations) if single else None
        self.score_rows(section, say)

    # --- what TRL calls

    def _reward(self, name: str, of: BatchReward) -> Callable[..., list[float]]:
        def reward(**_: Any) -> list[float]:
            assert self._played is not None
            self._worth[name] = of(list(zip(self._played.tasks, self._played.trajectories, strict=True)))
            return self._worth[name]

        reward.__name__ = folders.part(name)
        return reward

    def _begin_phase(self, mode: str) -> Sequence[int]:
        """The stages that are played now; what is played is rewarded as its phase says."""
        section = self._parts.recipe.grpo
        phase = curriculum.phase_at(section, self.state.global_step) if mode == "train" else None
        weights = curriculum.weights(section, phase)
        self.reward_weights = torch.tensor([weights.get(name, 0.0) for name in self._names], dtype=torch.float32)
        return phase.stages if phase else curriculum.STAGES

    def rollout(self, prompts: Sequence[str]) -> dict[str, Any]:
        """Play one episode per prompt (the number of a task) and give TRL the last call of each."""
        mode = "train" if self.model.training else "eval"
        group = self.num_generations if mode == "train" else 1
        first = self.accelerator.process_index * len(prompts)
        tasks: list[Task] = []
        for at, prompt in enumerate(prompts):
            tasks.append(tasks[-1] if at and prompt == prompts[at - 1] else self._tasks[mode][int(prompt)])
        samples = [(first + at) % group for at in range(len(prompts))]
        turn = self.state.global_step + 1 if mode == "train" else 0
        stages = self._begin_phase(mode)
        played = self._played = play(self._parts, self._policy, tasks, samples, turn, stages)
        update = self.state.global_step
        agree(update, None if self._policy.finite else "a logit of the policy", update - 1)
        if self._keep and mode == "train" and len(stages) == len(curriculum.STAGES):  # a part could not be replayed
            self._keep(self.state.global_step, played)
        nothing = self.filler()  # of an episode whose first prompt did not fit, since TRL wants a token all the same
        last = []
        for trajectory in played.trajectories:
            rows = grpo_rows.rows_of(trajectory, 0.0)
            last.append(rows[-1] if rows else nothing)
            if mode == "train":  # TRL counts the last call itself
                self.state.num_input_tokens_seen += sum(row.tokens for row in rows[:-1])
        logprobs = [list(row.logprobs) or [0.0] * len(row.completion) for row in last]
        return {
            "prompt_ids": [list(row.prompt) for row in last],
            "completion_ids": [list(row.completion) for row in last],
            "logprobs": logprobs if self.use_vllm else None,
        }

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        output: dict[str, Any] = super()._generate_and_score_completions(inputs)
        mode = "train" if self.model.training else "eval"
        assert self._played is not None
        self._log_dynamics(mode, self._played)
        if mode == "eval":
            return output
        if self._credit:
            self._share(self._credit, self._played)
        self._slots = self._expand(self._played, output["advantages"].tolist())
        # TRL shuffles and splits what it gets by its first axis; the slots are looked up by number.
        return {"slot": torch.zeros(self.args.steps_per_generation, dtype=torch.long)}

    def _compute_loss(self, model: Any, inputs: dict[str, Any]) -> Tensor:
        *first, last = self._slots[self._step % self.args.steps_per_generation]
        total = torch.zeros((), device=self.accelerator.device)
        loss: Tensor
        for batch in first:
            with accumulating(self.accelerator, model):
                loss = super()._compute_loss(model, batch)
                self.accelerator.backward(loss, **self._backward)
            total += loss.detach()
        loss = super()._compute_loss(model, last)
        return loss + total  # the value of the whole slot, the graph of its last micro-batch

    def prediction_step(
        self, model: Any, inputs: Any, prediction_loss_only: bool, ignore_keys: list[str] | None = None
    ) -> tuple[None, None, None]:
        self._prepare_inputs(inputs)  # plays and scores; there is no loss to speak of
        return None, None, None

    def training_step(self, model: Any, inputs: Any, num_items_in_batch: Any) -> Tensor:
        started, playing = time.perf_counter(), self._playing
        loss: Tensor = super().training_step(model, inputs, num_items_in_batch)
        self._learning += time.perf_counter() - started - (self._playing - playing)
        if self._step % self.current_gradient_accumulation_steps == 0:
            self._add("time/train", self._learning)
            self._learning = 0.0
        return loss

    # --- from trajectories to rows

    def _share(self, credit: OperationCredit, played: PlayedBatch) -> None:
        worth = rewards.total_of(self._parts.recipe.grpo.rewards, self._worth)
        found = credit.share(played, worth, self.accelerator.process_index * len(played.tasks))
        self._playing += found["time/credit"]
        for key, value in found.items():
            self._add(key, value)

    def _expand(self, played: PlayedBatch, advantages: Sequence[float]) -> list[list[dict[str, Tensor]]]:
        recipe, args = self._parts.recipe, self.args
        made = [
            grpo_rows.rows_of(t, advantage, group, mask_truncated=self.mask_truncated_completions, credits=credits)
            for t, advantage, group, credits in zip(
                played.trajectories, advantages, played.groups, played.credits or [{}] * len(advantages), strict=True
            )
        ]
        local = [(sum(len(row.completion) for rows in made for row in rows), sum(map(len, made)), sum(map(bool, made)))]
        counts = Counts(*map(sum, zip(*gather(local), strict=True)))
        made = [grpo_rows.weighted(rows, recipe.grpo.unit, counts) for rows in made]
        # Rows whose advantage is 0 have no gradient of their own; only KL and entropy act on them.
        every = self.beta != 0 or self._entropy_bonus_enabled
        trained = list(filter(None, ([row for row in rows if every or row.learns] for rows in made)))
        order = torch.randperm(len(trained), generator=self._shuffler()).tolist()
        accumulation = args.gradient_accumulation_steps
        dealt, spent = grpo_rows.slots(
            [trained[at] for at in order],
            args.steps_per_generation // accumulation,
            accumulation,
            recipe.grpo.micro_batch_tokens,
            share=self.scorers.share,
        )
        self._log_batch(grpo_rows.sizes(sum(map(len, made)), dealt, spent))
        shape = grpo_rows.common_shape(gather([[[len(batch) for batch in slot] for slot in dealt]]))
        normaliser = torch.tensor(float(counts.tokens), device=self.accelerator.device)
        full = grpo_rows.level(dealt, shape, self.filler(weight=0.0))
        return [[self._tensors(batch, normaliser) for batch in slot] for slot in full]

    def _tensors(self, rows: Sequence[TrainingRow], normaliser: Tensor) -> dict[str, Tensor]:
        batch = tensors(rows, self._tokenizer.pad_token_id, normaliser, self.accelerator.device)
        batch.update(self.other_policies(batch, rows))
        return batch

    def _shuffler(self) -> torch.Generator:
        """The same for a generation whenever it is played."""
        return torch.Generator().manual_seed(self.args.seed + self.state.global_step)

    @property
    def _backward(self) -> dict[str, Any]:
        # As transformers' training_step says it: TRL's loss is scaled already.
        return {"scale_wrt_gas": False} if self.accelerator.distributed_type == DistributedType.DEEPSPEED else {}

    # --- what is seen of it

    def _add(self, key: str, value: float) -> None:
        self._metrics["train" if self.model.training else "eval"][key].append(value)

    def _log_dynamics(self, mode: str, played: PlayedBatch) -> None:
        self._playing += played.seconds
        for key in [key for key in self._metrics[mode] if key.startswith("completions/")]:
            del self._metrics[mode][key]  # TRL saw the last call of each episode only
        total = rollout_metrics.add(gather([rollout_metrics.sums(played.trajectories, self._policy.tokenizer)]))
        for key, value in rollout_metrics.means(total, self._parts.agent.operations).items():
            self._add(key, value)
        self._add("time/generate", played.clock.model)
        self._add("time/environment", played.seconds - played.clock.model)

    def _log_batch(self, sizes: tuple[int, int, int, int]) -> None:
        total = map(sum, zip(*gather([sizes]), strict=True))
        for key, value in grpo_rows.metrics(*total, share=self.scorers.share).items():
            self._add(key, value)


def _rollout(prompts: Sequence[str], trainer: TrajectoryGRPOTrainer) -> dict[str, Any]:
    return trainer.rollout(prompts)
