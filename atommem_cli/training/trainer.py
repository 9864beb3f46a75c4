"""GRPO over trajectories of many contexts, on TRL's GRPOTrainer.

TRL wants one row per sampled prompt; an episode is many prompts, because the context is rebuilt at every step. So TRL
gets the *last* call of each episode, rewards and compares the episodes by it, one number per trajectory, untouched;
then every call of an episode becomes a row that carries its trajectory's advantage. Sampler, groups, advantages,
clipping, KL, logging, checkpoints and distribution stay TRL's. The optimiser's steps do not depend on the contexts.

Overridden of TRL 1.16 are `_generate_and_score_completions` (expand), `_compute_loss` (many micro-batches in one slot),
`_get_per_token_logps_and_entropies` (shared tokens once), `prediction_step` (validation plays) and `training_step` (its
time); tests/training/test_trl_private.py lists what else.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import torch
from accelerate import DistributedType
from torch import Tensor
from trl import GRPOTrainer

from atommem_cli.core import folders
from atommem_cli.core.types import Task
from atommem_cli.running.build import Parts
from atommem_cli.scoring import rewards
from atommem_cli.training import grpo_rows, loop, rollout_metrics
from atommem_cli.training.distributed import accumulating, gather
from atommem_cli.training.divergence import agree
from atommem_cli.training.grpo_rows import Counts, TrainingRow
from atommem_cli.training.importance import importance_ratio
from atommem_cli.training.rollouts import LearningPolicy, PlayedBatch, play
from atommem_cli.training.row_scoring import Scorers
from atommem_cli.training.row_tensors import sampled, tensors

Keep = Callable[[int, PlayedBatch], None]

NOTHING = 1e-6
"""An advantage up to here is rounding: the mean of equal rewards need not be one of them in float32."""


class Tasks(Protocol):
    """Tasks by number, from 0."""

    def __getitem__(self, number: int, /) -> Task: ...


class TrajectoryGRPOTrainer(GRPOTrainer):  # type: ignore[misc]
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
        weights: Mapping[str, float] = parts.recipe.grpo.rewards
        trl["args"].reward_weights = list(weights.values())
        given = [self._reward(name, rewards.of(name, parts.ask)) for name in weights]
        super().__init__(reward_funcs=given, rollout_func=_rollout, **trl)
        policy.trainer = self
        self._scorers = Scorers(self._below(self.model), share=parts.recipe.grpo.share_prefixes, say=say)

    # --- what TRL calls

    def _reward(self, name: str, of: rewards.BatchReward) -> Callable[..., list[float]]:
        def reward(**_: Any) -> list[float]:
            assert self._played is not None
            return of(list(zip(self._played.tasks, self._played.trajectories, strict=True)))

        reward.__name__ = folders.part(name)
        return reward

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
        played = self._played = play(self._parts, self._policy, tasks, samples, turn)
        update = self.state.global_step
        agree(update, None if self._policy.finite else "a logit of the policy", update - 1)
        if self._keep and mode == "train":
            self._keep(self.state.global_step, played)
        # An episode whose first prompt did not fit wrote nothing; TRL wants a token all the same.
        nothing = TrainingRow((self._tokenizer.pad_token_id,), (self.eos_token_ids[0],), 0.0)
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

    def _get_per_token_logps_and_entropies(
        self,
        model: Any,
        input_ids: Tensor,
        attention_mask: Tensor,
        logits_to_keep: int,
        batch_size: int | None = None,
        compute_entropy: bool = False,
        **others: Any,
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        if others.get("compute_aux_loss"):
            return super()._get_per_token_logps_and_entropies(  # type: ignore[no-any-return]
                model, input_ids, attention_mask, logits_to_keep, batch_size, compute_entropy, **others
            )
        with self.accelerator.autocast():
            scored = self._scorers.score(model, self._below(model), input_ids, attention_mask, logits_to_keep)
        return scored[0], scored[1] if compute_entropy else None, None

    def _below(self, model: Any) -> Any:
        """A model without what is wrapped around it."""
        bare = self.accelerator.unwrap_model(model)
        return bare.get_base_model() if hasattr(bare, "get_base_model") else bare

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

    def _expand(self, played: PlayedBatch, advantages: Sequence[float]) -> list[list[dict[str, Tensor]]]:
        recipe, args = self._parts.recipe, self.args
        made = [
            grpo_rows.rows_of(trajectory, advantage, group, mask_truncated=self.mask_truncated_completions)
            for trajectory, advantage, group in zip(played.trajectories, advantages, played.groups, strict=True)
        ]
        local = [(sum(len(row.completion) for rows in made for row in rows), sum(map(len, made)), sum(map(bool, made)))]
        counts = Counts(*map(sum, zip(*gather(local), strict=True)))
        made = [grpo_rows.weighted(rows, recipe.grpo.unit, counts) for rows in made]
        # Rows whose advantage is 0 have no gradient of their own; only KL and entropy act on them.
        every = self.beta != 0 or self._entropy_bonus_enabled
        trained = [rows for rows in made if rows and (every or abs(rows[0].advantage) > NOTHING)]
        order = torch.randperm(len(trained), generator=self._shuffler()).tolist()
        accumulation = args.gradient_accumulation_steps
        dealt = grpo_rows.slots(
            [trained[at] for at in order],
            args.steps_per_generation // accumulation,
            accumulation,
            recipe.grpo.micro_batch_tokens,
            share=self._scorers.share,
        )
        self._log_batch(sum(map(len, made)), dealt)
        shape = grpo_rows.common_shape(gather([[[len(batch) for batch in slot] for slot in dealt]]))
        filler = TrainingRow((self._tokenizer.pad_token_id,), (self.eos_token_ids[0],), 0.0, weight=0.0)
        normaliser = torch.tensor(float(counts.tokens), device=self.accelerator.device)
        return [[self._tensors(batch, normaliser) for batch in slot] for slot in grpo_rows.level(dealt, shape, filler)]

    def _tensors(self, rows: Sequence[TrainingRow], normaliser: Tensor) -> dict[str, Tensor]:
        batch = tensors(rows, self._tokenizer.pad_token_id, normaliser, self.accelerator.device)
        batch.update(self._other_policies(batch, rows))
        return batch

    def _other_policies(self, batch: dict[str, Tensor], rows: Sequence[TrainingRow]) -> dict[str, Tensor]:
        """Log-probabilities (R, C) under the policies that the loss compares with, where it does."""
        args = self.args
        corrected = self.use_vllm and self.vllm_importance_sampling_correction
        found = {}
        if corrected or args.gradient_accumulation_steps % (args.steps_per_generation * self.num_iterations):
            found["old_per_token_logps"] = self._logprobs(self.model, batch)
        if corrected:
            said = sampled(rows, self.accelerator.device)
            mask = batch["completion_mask"] * (batch["tool_mask"] > 0)
            found["sampling_per_token_logps"] = said
            found["importance_sampling_ratio"] = importance_ratio(
                found["old_per_token_logps"],
                said,
                mask,
                self.vllm_importance_sampling_mode,
                self.vllm_importance_sampling_clip_min,
                self.vllm_importance_sampling_clip_max,
            )
        if self.beta != 0:
            found["ref_per_token_logps"] = self._reference(batch)
        return found

    def _reference(self, batch: dict[str, Tensor]) -> Tensor:
        if self.ref_model is not None:
            return self._logprobs(self.ref_model, batch)
        with self.accelerator.unwrap_model(self.model).disable_adapter():
            return self._logprobs(self.model, batch)

    def _logprobs(self, model: Any, batch: dict[str, Tensor]) -> Tensor:
        """Shape (R, C), without a graph."""
        with torch.no_grad():
            logprobs: Tensor
            logprobs, _, _ = self._get_per_token_logps_and_entropies(
                model,
                torch.cat([batch["prompt_ids"], batch["completion_ids"]], dim=1),
                torch.cat([batch["prompt_mask"], batch["completion_mask"]], dim=1),
                batch["completion_ids"].size(1),
            )
        return logprobs

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

    def _log_batch(self, made: int, dealt: Sequence[Sequence[Sequence[TrainingRow]]]) -> None:
        batches = [batch for slot in dealt for batch in slot]
        rows = sum(map(len, batches))
        tokens = sum(row.tokens for batch in batches for row in batch)
        spent = sum(grpo_rows.cost(batch, share=self._scorers.share) for batch in batches)
        made, rows, tokens, spent = map(sum, zip(*gather([(made, rows, tokens, spent)]), strict=True))
        self._add("batch/rows", rows)
        if made:
            self._add("batch/skipped", 1 - rows / made)
        if spent and self._scorers.share:
            self._add("batch/nodes", spent)
            self._add("batch/shared", tokens / spent)
        elif spent:
            self._add("batch/padding", 1 - tokens / spent)


def _rollout(prompts: Sequence[str], trainer: TrajectoryGRPOTrainer) -> dict[str, Any]:
    return trainer.rollout(prompts)
