"""Log-probabilities of rows that begin alike, every shared token computed once, exactly.

Rows are read as prefix trees (`tree_reading`); autograd adds up what the rows that share a token ask of it. Models for
which this is not exact have their rows padded, as ever.

Only what is scored goes through the model's head: a token's distribution is that of the one before it. TRL's own head
takes every position of a row where there is no Triton.

Axes: R rows, P prompt tokens (padded on the left), C completion tokens (padded on the right).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from trl.kernels import chunked_logprob

from atommem_cli.models.tree_reading import LARGE, Reader, picked

TILE = 512
"""Tokens of one tile of TRL's head on the CPU, which has no option for it: its 4,096 hold the logits of as many tokens
at once, several times over."""
BLOCKS_ON = "cuda"
"""Kind of device on which trees may attend under a mask of blocks: FlexAttention has no backward pass on the CPU."""


class RowScorer:
    """Scores the completions of rows with one model."""

    def __init__(self, model: Any, *, share: bool) -> None:
        """
        Args:
            model: a causal language model of `transformers`, with TRL's fused head, below any wrapper.
            share: whether tokens that rows share are computed once; see `row_scoring.refusal`. The
                model's attention is that of `tree_attention` then.
        """
        self.share = share
        """Whether it does; may be taken back."""
        self._model = model
        first = next(model.parameters())
        if first.device.type == "cpu":
            chunked_logprob.TOKEN_CHUNK_SIZE = TILE
        self.dtype: torch.dtype = first.dtype
        """Of its weights."""
        self.blocks = LARGE if first.device.type == BLOCKS_ON else None
        """Nodes from which on trees attend under a mask of blocks; None where they never do."""
        self._reader = Reader(model) if share else None

    def __call__(self, model: Any, ids: Tensor, mask: Tensor, most: int) -> tuple[Tensor, Tensor | None]:
        """Score completions.

        Args:
            model: the one of `__init__`, or what is wrapped around it.
            ids, mask: (R, P + C); the mask is 1 where a token is.
            most: C.

        Returns:
            Log-probabilities and, where the head has them, entropies of the completion tokens: (R, C), 0 where none is.
        """
        scored = mask[:, -most:] == 1
        if self.share and self._reader:
            inputs, places = self._trees(self._reader, ids, mask == 1, scored)
        else:
            inputs = {"input_ids": ids, "attention_mask": mask}
            width = ids.size(1)
            before = torch.arange(width - most - 1, width - 1, device=ids.device)
            places = (torch.arange(len(ids), device=ids.device)[:, None] * width + before)[scored]
        with picked(self._model, places):
            output = model(**inputs, shift_labels=ids[:, -most:][scored][None], fused_lm_head=True)
        return _spread(output.log_probs, scored), None if output.entropy is None else _spread(output.entropy, scored)

    def _trees(self, reader: Reader, ids: Tensor, there: Tensor, scored: Tensor) -> tuple[dict[str, Any], Tensor]:
        """What the model is given, and where it tells the distribution of each scored token."""
        rows = [row[mask].tolist() for row, mask in zip(ids.cpu(), there.cpu(), strict=True)]
        inputs, paths = reader.laid_out(rows, ids.device, self.blocks)
        lengths = scored.sum(1).tolist()
        places = [path[len(path) - length - 1 : -1] for path, length in zip(paths, lengths, strict=True)]
        return inputs, torch.from_numpy(np.concatenate(places)).to(ids.device)


def _spread(values: Tensor, scored: Tensor) -> Tensor:
    """(1, K) values at the K places of a mask (R, C), 0 elsewhere."""
    return values.new_zeros(scored.shape).masked_scatter(scored, values[0])
