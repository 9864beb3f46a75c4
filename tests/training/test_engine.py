"""The vLLM path without a GPU: an engine with the signature of TRL's, which samples from the trained model itself."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import pytest
import torch
from training_recipes import recipe
from trl.generation.vllm_generation import VLLMGeneration

from atommem_cli.models.batching import PromptRow
from atommem_cli.models.generation import Sampling, complete
from training.test_trainer import Watched, made


class Engine:
    """Replies as `VLLMGeneration` does: end tokens included, log-probabilities under the sampling distribution."""

    def __init__(self, trainer: Any, shift: float = 0.0) -> None:
        self.trainer = trainer
        self.temperature = 1.0
        self.shift = shift
        """Added to each log-probability that it reports: an engine that disagrees with the trainer."""
        self.synced = 0
        self.asked: list[tuple[int, float]] = []

    def sync_weights(self) -> None:
        self.synced += 1

    def generate(
        self, prompts: list[list[int]], images: Any, num_generations: int, profiler: Any = None
    ) -> tuple[Any, ...]:
        assert images is None
        assert num_generations == 1
        self.asked.append((len(prompts), self.temperature))
        trainer = self.trainer
        rows = [PromptRow(i, prompt, trainer.max_completion_length, seed=i) for i, prompt in enumerate(prompts)]
        with torch.no_grad():
            written = complete(trainer.model, rows, trainer._policy._student.turns, Sampling(self.temperature), 10**6)
        ids = [written[row.index] for row in rows]
        return prompts, ids, [self._logprobs(p, c) for p, c in zip(prompts, ids, strict=True)], None

    def _logprobs(self, prompt: list[int], reply: list[int]) -> list[list[float]]:
        with torch.no_grad():
            ids = torch.tensor([[*prompt, *reply]], device=self.trainer.accelerator.device)
            logits = self.trainer.model(input_ids=ids).logits[0, len(prompt) - 1 : -1]
        chosen = logits.log_softmax(-1)[torch.arange(len(reply)), torch.tensor(reply)]
        return [[value + self.shift] for value in chosen.tolist()]


def trained(out: Path, shift: float = 0.0, **trainer: Any) -> Any:
    done = made(recipe(max_steps=2, **trainer), out)
    done.use_vllm, done.vllm_mode, done._last_loaded_step = True, "colocate", -1
    done.vllm_generation = Engine(done, shift)
    done.train()
    return done


def replies(batch: dict[str, Any]) -> Any:
    """Where tokens of replies are: (R, C). A batch that nothing is learned from has a filler instead."""
    return batch["completion_mask"].bool() & (batch["tool_mask"] > 0)


def test_the_stand_in_is_called_as_trls_engine_is() -> None:
    mine, theirs = (inspect.signature(kind.generate).parameters for kind in (Engine, VLLMGeneration))
    assert list(mine) == list(theirs)
    assert list(inspect.signature(VLLMGeneration.sync_weights).parameters) == ["self"]


def test_an_engine_that_agrees_with_the_trainer_needs_no_correction(tmp_path: Path) -> None:
    done = trained(tmp_path)
    batches = [batch for dealt in done.dealt for slot in dealt for batch in slot]
    assert any(replies(batch).any() for batch in batches)
    for batch in batches:
        mask = replies(batch)
        ratio = batch["importance_sampling_ratio"].expand_as(mask)
        assert torch.allclose(ratio[mask], torch.ones((), device=mask.device), atol=1e-4)
        assert torch.allclose(batch["sampling_per_token_logps"][mask], batch["old_per_token_logps"][mask], atol=1e-5)
    assert done.vllm_generation.synced == 3  # before each of two updates and before the last validation
    assert isinstance(done, Watched)


def test_validation_is_greedy_and_training_samples(tmp_path: Path) -> None:
    done = trained(tmp_path)
    temperatures = {temperature for _, temperature in done.vllm_generation.asked}
    assert temperatures == {0.0, 1.0}
    assert done.vllm_generation.temperature == 1.0
    assert all(rows in (8, 4) for rows, _ in done.vllm_generation.asked[:4])


@pytest.mark.parametrize(("mode", "expected"), [("token_truncate", 1.5), ("token_mask", 0.0)])
def test_an_engine_that_disagrees_is_corrected_in_every_row(tmp_path: Path, mode: str, expected: float) -> None:
    settings = {"vllm_importance_sampling_mode": mode, "vllm_importance_sampling_clip_max": 1.5}
    done = trained(tmp_path, shift=-1.0, **settings)  # pi_trainer / pi_engine = e
    batches = [batch for dealt in done.dealt for slot in dealt for batch in slot]
    assert any(replies(batch).any() for batch in batches)
    for batch in batches:
        ratio = batch["importance_sampling_ratio"][replies(batch)]
        assert torch.allclose(ratio, torch.tensor(expected, device=ratio.device))
