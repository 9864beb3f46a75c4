"""Attention in prefix trees, in which a token sees its ancestors alone: piece by piece without a mask, under a dense
mask, or under a mask of blocks (FlexAttention).

Axes: N nodes of a sequence, H heads, D size of a head.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask, create_block_mask
from torch.nn.functional import scaled_dot_product_attention

ATTENTION = "atommem_trees"
"""Name of the attention that knows trees, among those of transformers; for everything else it is `sdpa`."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A run of nodes without a branch."""

    start: int
    end: int
    """One past the last."""
    seen: Tensor | slice
    """Nodes on the path to the last one, in order."""
    far: Tensor
    """How many places before each node each of the seen ones is: (nodes, seen), negative after it."""
    masks: dict[tuple[int | None, torch.dtype], Tensor] = field(default_factory=dict)
    """What its nodes see, to be added to the scores; one for all layers of a window."""

    def mask(self, window: int | None, dtype: torch.dtype) -> Tensor | None:
        """None where it is plainly causal."""
        if isinstance(self.seen, slice) and not window:
            return None
        if (window, dtype) not in self.masks:
            there = (self.far >= 0) & (self.far < window) if window else self.far >= 0
            made = torch.zeros(there.shape, dtype=dtype, device=there.device)
            self.masks[window, dtype] = made.masked_fill(there.logical_not(), float("-inf"))
        return self.masks[window, dtype]


def piece(start: int, end: int, above: Tensor, depths: Tensor) -> Piece:
    """The piece of these nodes.

    Args:
        above: the path that leads to the first of them.
        depths: of all nodes of the sequence.
    """
    own = torch.arange(start, end, device=above.device)
    path = torch.cat([above, own])
    far = depths[own][:, None] - depths[path][None, :]  # on one path, depth is order
    return Piece(start, end, path if len(above) else slice(start, end), far)


def block_mask(ends: Tensor, depths: Tensor, window: int | None) -> BlockMask:
    """What each node of one sequence sees, as FlexAttention takes it: (1, 1, N, N).

    Args:
        ends: of each node, one past the last of its descendants; (N,).
        depths: of each node; (N,).
        window: how many places of its own path a node sees, itself included; None is all.
    """

    def sees(_: Tensor, __: Tensor, node: Tensor, other: Tensor) -> Tensor:
        above = (other <= node) & (node < ends[other])
        return above if window is None else above & (depths[node] - depths[other] < window)

    return create_block_mask(sees, None, None, len(ends), len(ends), device=ends.device)


@functools.cache
def register() -> None:
    """Make it known to transformers."""
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import sdpa_mask

    AttentionInterface.register(ATTENTION, attend)
    AttentionMaskInterface.register(ATTENTION, sdpa_mask)


def attend(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Any,
    scaling: float | None = None,
    sliding_window: int | None = None,
    pieces: tuple[Piece, ...] | None = None,
    **rest: Any,
) -> tuple[Tensor, None]:
    """Attention as `sdpa`, piece by piece, or under a mask of blocks.

    Args:
        query: (1, H, N, D); keys and values have as many heads or fewer.

    Returns:
        Shape (1, N, H, D).
    """
    if isinstance(attention_mask, BlockMask):
        from transformers.integrations.flex_attention import flex_attention_forward

        return flex_attention_forward(module, query, key, value, attention_mask, scaling=scaling)[0], None
    if pieces is None:
        from transformers.integrations.sdpa_attention import sdpa_attention_forward

        plain: tuple[Tensor, None] = sdpa_attention_forward(
            module, query, key, value, attention_mask, scaling=scaling, sliding_window=sliding_window, **rest
        )
        return plain
    grouped = query.size(1) != key.size(1)
    found = []
    for part in pieces:
        mask = part.mask(sliding_window, query.dtype)
        found.append(
            scaled_dot_product_attention(
                query[:, :, part.start : part.end],
                key[:, :, part.seen],
                value[:, :, part.seen],
                attn_mask=mask,
                is_causal=mask is None,
                scale=scaling,
                enable_gqa=grouped,
            )
        )
    return torch.cat(found, dim=2).transpose(1, 2).contiguous(), None
