"""How a model reads rows that begin alike: as prefix trees, every shared token once, exactly.

A tree (`prefix_trees`) is one sequence for the model, in which the position of a token is its depth and it attends to
its ancestors alone (`tree_attention`): long pieces piece by piece, without a mask, many short ones under a mask of
(N, N), large trees on a GPU under a mask of blocks. It loads torch: import it where a model runs.

Axes: R rows, N nodes, B sequences of trees.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import accumulate
from typing import Any

import numpy as np
import torch
from torch import Tensor

from atommem_cli.models import prefix_trees
from atommem_cli.models.prefix_trees import Ids, Run, Tree
from atommem_cli.models.tree_attention import ATTENTION, block_mask, piece, register

LONG = 24
"""Tokens of a piece on average from which on pieces attend without a mask."""
LARGE = 4096
"""Nodes from which on trees attend under a mask of blocks, where a device can, and are cut where it
cannot: a dense mask has their square."""


def knee(model: Any) -> float:
    """Nodes at which a dense mask makes attention cost as much as all else: parameters of a layer over
    2 x heads x size of a head."""
    config = model.config.get_text_config()
    heads = config.num_attention_heads
    size = getattr(config, "head_dim", None) or config.hidden_size // heads
    inner = config.hidden_size * size * 2 * (heads + (getattr(config, "num_key_value_heads", None) or heads))
    layer = inner + 3 * config.hidden_size * (getattr(config, "intermediate_size", None) or 4 * config.hidden_size)
    return float(layer / (2 * heads * size))


class Reader:
    """Lays rows out for one model."""

    def __init__(self, model: Any) -> None:
        """
        Args:
            model: a causal language model of `transformers`, below any wrapper, of attention `sdpa`, whose layers are
                of full or sliding attention; its attention is `ATTENTION` from now on.
        """
        config = model.config.get_text_config()
        register()
        for each in {id(model.config): model.config, id(config): config}.values():
            each._attn_implementation = ATTENTION
        self._knee = min(knee(model), LARGE)
        self._window: int | None = getattr(config, "sliding_window", None)
        # Models with sliding layers take a mask for each kind; the others one.
        self._mapped = "sliding_attention" in (getattr(config, "layer_types", None) or [])

    def laid_out(
        self, rows: Sequence[Sequence[int]], device: Any, blocks: int | None = None
    ) -> tuple[dict[str, Any], list[Ids]]:
        """Rows of token ids as the model takes them.

        Args:
            blocks: nodes from which on trees attend under a mask of blocks; None is never.

        Returns:
            What the model is given, and the node of each token of each row: numbers into (B, N), flattened.
        """
        order = [(number, np.asarray(rows[number], np.int64)) for number in prefix_trees.in_order(rows)]

        def grown(knee: float) -> list[Tree]:
            return list(prefix_trees.grow(order, knee))

        whole = grown(float("inf"))  # nothing is gained by cutting where there is no mask
        runs = [tree.runs() for tree in whole]
        size = sum(tree.size for tree in whole)
        if blocks is not None and size >= blocks:
            trees = whole
            inputs, offsets = self._blocked(trees, device)
        elif size >= LONG * sum(map(len, runs)):
            trees = whole
            inputs, offsets = self._pieces(trees, runs, device)
        else:
            trees = grown(self._knee)
            inputs, offsets = self._masked(trees, device)
        paths = {
            number: path + offset
            for tree, offset in zip(trees, offsets, strict=True)
            for number, path in tree.paths.items()
        }
        return inputs, [paths[number] for number in range(len(rows))]

    def _masked(self, trees: Sequence[Tree], device: Any) -> tuple[dict[str, Any], list[int]]:
        """Trees in sequences as long as the longest tree: (B, N), with a mask of (B, 1, N, N)."""
        most = max(tree.size for tree in trees)
        index = np.arange(most)
        bins = _packed([tree.size for tree in trees], most)
        ids, depths = np.zeros((2, len(bins), most), np.int64)
        ends = np.tile(index + 1, (len(bins), 1))  # padding sees itself alone, so that no row of the mask is empty
        offsets = [0] * len(trees)
        for at, members in enumerate(bins):
            start = 0
            for number in members:
                tree = trees[number]
                here = slice(start, start + tree.size)
                ids[at, here], depths[at, here] = tree.tokens, tree.depths
                ends[at, here] = np.array(tree.ends) + start
                offsets[number] = at * most + start
                start += tree.size
        far, places = torch.from_numpy(ends).to(device), torch.from_numpy(index).to(device)
        mask = (places[None, None, :] <= places[None, :, None]) & (places[None, :, None] < far[:, None, :])
        masks, depth = {"full_attention": mask[:, None]}, torch.from_numpy(depths).to(device)
        if self._mapped and self._window:
            near = depth[:, :, None] - depth[:, None, :] < self._window
            masks["sliding_attention"] = (mask & near)[:, None]
        given = torch.from_numpy(ids).to(device)
        return {"input_ids": given, "position_ids": depth, "attention_mask": self._mapping(masks)}, offsets

    def _blocked(self, trees: Sequence[Tree], device: Any) -> tuple[dict[str, Any], list[int]]:
        """Trees one after another: (1, N), with a mask of blocks for each kind of layer."""
        offsets = _offsets(trees)
        inputs = _one_after_another(trees, device)
        ends = [end + offset for tree, offset in zip(trees, offsets, strict=True) for end in tree.ends]
        far, depths = torch.tensor(ends, device=device), inputs["position_ids"][0]
        masks = {"full_attention": block_mask(far, depths, None)}
        if self._mapped and self._window:
            masks["sliding_attention"] = block_mask(far, depths, self._window)
        return {**inputs, "attention_mask": self._mapping(masks)}, offsets

    def _pieces(
        self, trees: Sequence[Tree], runs: Sequence[Sequence[Run]], device: Any
    ) -> tuple[dict[str, Any], list[int]]:
        """Trees one after another: (1, N), and how their pieces attend."""
        offsets = _offsets(trees)
        inputs = _one_after_another(trees, device)
        depths = inputs["position_ids"][0]
        pieces = tuple(
            piece(start + offset, end + offset, torch.from_numpy(above + offset).to(device), depths)
            for found, offset in zip(runs, offsets, strict=True)
            for start, end, above in found
        )
        nothing = torch.ones(1, 1, 1, 1, dtype=torch.bool, device=device)  # of four axes: transformers makes no mask
        masks = self._mapping({"full_attention": nothing, "sliding_attention": nothing})
        return {**inputs, "attention_mask": masks, "pieces": pieces}, offsets

    def _mapping(self, masks: Mapping[str, Any]) -> Any:
        """The masks as the model takes them: one for all layers, or one for each kind."""
        return dict(masks) if self._mapped else masks["full_attention"]


@contextmanager
def picked(model: Any, places: Tensor) -> Iterator[None]:
    """Let the head of a model see these places alone, in this order, as (1, K).

    Args:
        model: below any wrapper.
        places: numbers into (B, N), flattened: shape (K,).
    """

    def pick(_: Any, __: Any, output: Any) -> Any:
        hidden = output.last_hidden_state
        output.last_hidden_state = hidden.reshape(-1, hidden.size(-1))[places][None]
        return output

    hook = model.base_model.register_forward_hook(pick)
    try:
        yield
    finally:
        hook.remove()


def _packed(sizes: Sequence[int], most: int) -> list[list[int]]:
    """Numbers of trees that fill sequences of this length, the largest first, each where there is room."""
    bins: list[list[int]] = []
    room: list[int] = []
    for number in sorted(range(len(sizes)), key=lambda number: -sizes[number]):
        at = next((at for at, left in enumerate(room) if left >= sizes[number]), len(bins))
        if at == len(bins):
            bins.append([])
            room.append(most)
        bins[at].append(number)
        room[at] -= sizes[number]
    return bins


def _offsets(trees: Sequence[Tree]) -> list[int]:
    """Where each begins when they stand one after another."""
    return list(accumulate((tree.size for tree in trees[:-1]), initial=0))


def _one_after_another(trees: Sequence[Tree], device: Any) -> dict[str, Tensor]:
    """Tokens and depths, (1, N)."""
    tokens = [token for tree in trees for token in tree.tokens]
    depths = [depth for tree in trees for depth in tree.depths]
    return {
        "input_ids": torch.tensor([tokens], device=device),
        "position_ids": torch.tensor([depths], device=device),
    }
