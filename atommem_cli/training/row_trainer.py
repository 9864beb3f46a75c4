"""TRL's GRPOTrainer on rows of a prompt and a reply: their log-probabilities, tokens that they share computed once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from trl import GRPOTrainer

from atommem_cli.config.schema import GrpoSection
from atommem_cli.models.decodable import beneath
from atommem_cli.models.likelihood import Reply
from atommem_cli.training import grpo_rows
from atommem_cli.training.distributed import gather
from atommem_cli.training.grpo_rows import TrainingRow
from atommem_cli.training.importance import importance_ratio
from atommem_cli.training.row_scoring import Scorers
from atommem_cli.training.row_tensors import sampled, tensors


class RowGRPOTrainer(GRPOTrainer):  # type: ignore[misc]
    """TRL's trainer, and what the log-probabilities of its rows are under the policies that matter."""

    scorers: Scorers
    _budget: int

    def score_rows(self, section: GrpoSection, say: Callable[[str], None]) -> None:
        """Get ready, once TRL's own part is.

        Args:
            say: told in one sentence why rows do not share their tokens, where they do not.
        """
        self.scorers = Scorers(self._below(self.model), share=section.share_prefixes, say=say)
        self._budget = section.micro_batch_tokens

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
            scored = self.scorers.score(model, self._below(model), input_ids, attention_mask, logits_to_keep)
        return scored[0], scored[1] if compute_entropy else None, None

    def _below(self, model: Any) -> Any:
        """A model without what is wrapped around it."""
        return beneath(self.accelerator.unwrap_model(model))

    def filler(self, weight: float = 1.0) -> TrainingRow:
        """A row of one token that says nothing."""
        return TrainingRow((self._tokenizer.pad_token_id,), (self.eos_token_ids[0],), 0.0, weight)

    def logprobs_of(self, replies: Sequence[Reply]) -> dict[Reply, tuple[float, ...]]:
        """Log-probability of every token of these replies under the model as it is; on all ranks at once."""
        rows = [TrainingRow(*reply, 0.0) for reply in replies]
        batches = grpo_rows.micro_batches(rows, self._budget, share=self.scorers.share)
        shape = grpo_rows.common_shape(gather([[[len(batch) for batch in batches]]]))
        found: dict[Reply, tuple[float, ...]] = {}
        training = self.model.training
        self.model.eval()
        for rows in grpo_rows.level([batches], shape, self.filler())[0]:
            batch = tensors(rows, self._tokenizer.pad_token_id, torch.ones(()), self.accelerator.device)
            for row, said in zip(rows, self._logprobs(self.model, batch).tolist(), strict=True):
                found[row.prompt, row.completion] = tuple(said[: len(row.completion)])
        self.model.train(training)
        return found

    def other_policies(self, batch: dict[str, Tensor], rows: Sequence[TrainingRow]) -> dict[str, Tensor]:
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
