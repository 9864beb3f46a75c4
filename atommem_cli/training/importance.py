"""The correction for a sampler whose probabilities are not quite the trainer's (vLLM), as TRL defines it.

TRL computes it for the rows it knows, the last calls of the episodes; this is the same for every row.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def importance_ratio(
    trained: Tensor, sampled: Tensor, mask: Tensor, mode: str, low: float | None, high: float | None
) -> Tensor:
    """pi_trainer / pi_sampler, truncated or masked (GRPOConfig.vllm_importance_sampling_mode).

    Args:
        trained: log-probabilities of the trainer, shape (R, C).
        sampled: log-probabilities of the sampler, shape (R, C); NaN where it does not say.
        mask: 1 for trained tokens, shape (R, C).
        mode: token_truncate, token_mask, sequence_truncate or sequence_mask.
        low, high: limits of the ratio; None is no limit.

    Returns:
        Shape (R, C) for the token modes, (R, 1) for the sequence modes.
    """
    difference = torch.nan_to_num((trained - sampled) * mask, nan=0.0)
    if mode.startswith("sequence"):
        difference = difference.sum(dim=-1, keepdim=True)
    ratio = torch.exp(difference)
    if mode.endswith("truncate"):
        return torch.clamp(ratio, min=low, max=high)
    outside = (ratio < (-math.inf if low is None else low)) | (ratio > (math.inf if high is None else high))
    return ratio.masked_fill(outside, 0.0)
