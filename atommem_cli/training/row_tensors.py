"""Micro-batches as TRL's loss takes them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from trl.trainer.utils import pad

from atommem_cli.training.grpo_rows import TrainingRow


def padded(values: Sequence[Tensor], value: float, side: str, device: torch.device) -> Tensor:
    """Vectors of several lengths as one matrix, filled up on one side."""
    made: Tensor = pad(list(values), padding_value=value, padding_side=side).to(device)
    return made


def tensors(rows: Sequence[TrainingRow], filler: int, normaliser: Tensor, device: torch.device) -> dict[str, Tensor]:
    """(R, P) prompts, (R, C) completions, (R,) advantages, or (R, C) where a token has credit of its own.

    Args:
        filler: the id that pads.
        normaliser: what the loss is divided by.
    """
    prompts = [torch.tensor(row.prompt) for row in rows]
    completions = [torch.tensor(row.completion) for row in rows]
    weights = [torch.full((len(row.completion),), row.weight) for row in rows]
    return {
        "prompt_ids": padded(prompts, filler, "left", device),
        "prompt_mask": padded([torch.ones_like(ids) for ids in prompts], 0, "left", device),
        "completion_ids": padded(completions, filler, "right", device),
        "completion_mask": padded([torch.ones_like(ids) for ids in completions], 0, "right", device),
        # TRL multiplies the loss by it: here it weighs rows, and is 0 for fillers.
        "tool_mask": padded(weights, 0.0, "right", device),
        "advantages": _advantages(rows, device),
        "num_items_in_batch": normaliser,
    }


def _advantages(rows: Sequence[TrainingRow], device: torch.device) -> Tensor:
    whole = torch.tensor([row.advantage for row in rows], device=device)  # (R,)
    if not any(row.credits for row in rows):
        return whole
    own = [torch.tensor(row.credits or [0.0] * len(row.completion)) for row in rows]
    return whole[:, None] + padded(own, 0.0, "right", device)


def sampled(rows: Sequence[TrainingRow], device: torch.device) -> Tensor:
    """Log-probabilities of the completions as the sampler had them: (R, C), 0 where it did not say."""
    return padded([torch.tensor(row.logprobs or [0.0] * len(row.completion)) for row in rows], 0.0, "right", device)
