"""Sampling that depends on a row's own seed, whoever shares its batch.

A draw from softmax(z) is argmax(z + g) with standard Gumbel noise g. The noise of step t of row i is the
t-th draw of a generator seeded with that row's seed: batch mates, order and padding play no part. It is
drawn on the model's device, and differs between CPU and GPU.

Axes: R rows, V tokens of the vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from torch import Tensor


class GumbelSampler:
    """A logits processor whose argmax is the sampled token; for one `generate` call."""

    def __init__(self, seeds: Sequence[int], temperature: float, top_p: float, device: torch.device) -> None:
        """
        Args:
            seeds: one per row, 0 or more.
            temperature: above 0.
            top_p: in (0, 1]; 1 keeps every token.
        """
        import torch

        self._generators = [torch.Generator(device).manual_seed(seed) for seed in seeds]
        self._temperature = temperature
        self._top_p = top_p

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Args: scores, shape (R, V), float32. Returns: the same shape, in float64."""
        return self.noisy(scores, range(len(self._generators)))

    def noisy(self, scores: Tensor, rows: Sequence[int]) -> Tensor:
        """As `__call__`, where only some rows, by number, are still written: scores (rows, V), in their order."""
        import torch

        # float32 noise has too few values near its edge to pick rare tokens as often as they deserve.
        scores = scores.double() / self._temperature
        if self._top_p < 1:
            scores = scores.masked_fill(~_nucleus(scores, self._top_p), -torch.inf)
        uniform = torch.empty_like(scores)
        for noise, row in zip(uniform.unbind(), rows, strict=True):
            noise.uniform_(generator=self._generators[row])
        return scores - uniform.log_().neg_().log_()


class Finite:
    """A logits processor that changes nothing and remembers whether every row had a best token so far."""

    def __init__(self, device: torch.device) -> None:
        import torch

        self._sound = torch.ones((), dtype=torch.bool, device=device)

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Args: scores, shape (R, V). Returns: the same."""
        self.look(scores)
        return scores

    def look(self, scores: Tensor) -> None:
        """Args: scores, shape (R, V)."""
        self._sound &= scores.amax(dim=-1).isfinite().all()  # NaN where one of the row is

    def __bool__(self) -> bool:
        return bool(self._sound)


class OwnLimits:
    """A stopping criterion: each row ends after its own number of new tokens."""

    def __init__(self, limits: Tensor, prompt: int) -> None:
        """
        Args:
            limits: most new tokens of each row, shape (R,).
            prompt: padded tokens before the first new one.
        """
        self._limits = limits
        self._prompt = prompt

    def __call__(self, input_ids: Tensor, scores: Tensor | None) -> Tensor:
        """Returns: which rows are over, shape (R,)."""
        return self._limits <= input_ids.shape[1] - self._prompt


def _nucleus(scores: Tensor, top_p: float) -> Tensor:
    """Which tokens are kept: the fewest whose probabilities sum to `top_p`, ties by index. Shape (R, V)."""
    import torch

    ordered, order = scores.sort(dim=-1, descending=True, stable=True)
    probability = ordered.softmax(dim=-1)
    # What comes before a token decides, so that the first one always stays.
    kept = probability.cumsum(dim=-1) - probability < top_p
    return torch.empty_like(kept).scatter_(-1, order, kept)
