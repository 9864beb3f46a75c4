"""Log-probabilities of rows that begin alike, every shared token computed once, exactly.

Rows become prefix trees (`prefix_trees`); a tree is one sequence for the model, in which the position of a token is its
depth and it attends to its ancestors alone (`tree_attention`): long pieces piece by piece, without a mask, many short
ones under a mask of (N, N), large trees on a GPU under a mask of blocks. Autograd adds up what the rows that share a
token ask of it. Models for which this is not exact have their rows padded, as ever.

Only what is scored goes through the model's head: a token's distribution is that of the one before it. TRL's own head
takes every position of a row where there is no Triton.

Axes: R rows, P prompt tokens (padded on the left), C completion tokens (padded on the right), N nodes, B trees.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import accumulate
from typing import Any

import numpy as np
import torch
from torch import Tensor
from trl.kernels import chunked_logprob

from atommem_cli.models import prefix_trees
from atommem_cli.models.prefix_trees import Run, Tree
from atommem_cli.training.tree_attention import ATTENTION, block_mask, piece, register

TILE = 512
"""Tokens of one tile of TRL's head on the CPU, which has no option for it: its 4,096 hold the logits of as many tokens
at once, several times over."""
LONG = 24
"""Tokens of a piece on average from which on pieces attend without a mask."""
BLOCKS = 4096
"""Nodes from which on trees attend under a mask of blocks, where a device can (findings.md 10)."""
BLOCKS_ON = "cuda"
"""Kind of device that can: FlexAttention has no backward pass on the CPU."""


def knee(model: Any) -> float:
    """Nodes at which a dense mask makes attention cost as much as all else: parameters of a layer over
    2 x heads x size of a head."""
    config = model.config.get_text_config()
    size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    inner = config.hidden_size * size * 2 * (config.num_attention_heads + config.num_key_value_heads)
    layer = inner + 3 * config.hidden_size * config.intermediate_size
    return float(layer / (2 * config.num_attention_heads * size))


class RowScorer:
    """Scores the completions of rows with one model."""

    def __init__(self, model: Any, *, share: bool) -> None:
        """
        Args:
            model: a causal language model of `transformers`, with TRL's fused head, below any wrapper.
            share: whether tokens that rows share are computed once; see `row_scoring.refusal`. The
                model's attention is `ATTENTION` then.
        """
        config = model.config.get_text_config()
        self.share = share
        """Whether it does; may be taken back."""
        self._backbone = model.base_model
        first = next(model.parameters())
        if first.device.type == "cpu":
            chunked_logprob.TOKEN_CHUNK_SIZE = TILE
        self.dtype: torch.dtype = first.dtype
        """Of its weights."""
        self.blocks = BLOCKS if first.device.type == BLOCKS_ON else None
        """Nodes from which on trees attend under a mask of blocks; None where they never do."""
        if share:
            register()
            for each in {id(model.config): model.config, id(config): config}.values():
                each._attn_implementation = ATTENTION
            self._knee = knee(model)
            self._window: int | None = getattr(config, "sliding_window", None)
            self._layers = {*(getattr(config, "layer_types", None) or [])}
            self._mapped = hasattr(self._backbone, "has_sliding_layers")

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
        if self.share:
            inputs, places = self._trees(ids, mask == 1, scored)
        else:
            inputs = {"input_ids": ids, "attention_mask": mask}
            width = ids.size(1)
            before = torch.arange(width - most - 1, width - 1, device=ids.device)
            places = (torch.arange(len(ids), device=ids.device)[:, None] * width + before)[scored]
        with self._picked(places):
            output = model(**inputs, shift_labels=ids[:, -most:][scored][None], fused_lm_head=True)
        return _spread(output.log_probs, scored), None if output.entropy is None else _spread(output.entropy, scored)

    def _trees(self, ids: Tensor, there: Tensor, scored: Tensor) -> tuple[dict[str, Any], Tensor]:
        """What the model is given, and where it tells the distribution of each scored token."""
        rows = [row[mask].tolist() for row, mask in zip(ids.cpu(), there.cpu(), strict=True)]
        order = prefix_trees.in_order(rows)

        def grown(knee: float) -> list[Tree]:
            return list(prefix_trees.grow(((number, rows[number]) for number in order), knee))

        whole = grown(float("inf"))  # nothing is gained by cutting where there is no mask
        runs = [tree.runs() for tree in whole]
        size = sum(tree.size for tree in whole)
        if self.blocks is not None and size >= self.blocks:
            trees = whole
            inputs, offsets = self._blocked(trees, ids.device)
        elif size >= LONG * sum(map(len, runs)):
            trees = whole
            inputs, offsets = self._pieces(trees, runs, ids.device)
        else:
            trees = grown(self._knee)
            inputs, offsets = self._masked(trees, ids.device)
        paths = {
            number: path + offset
            for tree, offset in zip(trees, offsets, strict=True)
            for number, path in tree.paths.items()
        }
        lengths = scored.sum(1).tolist()
        places = [paths[number][len(rows[number]) - length - 1 : -1] for number, length in enumerate(lengths)]
        return inputs, torch.from_numpy(np.concatenate(places)).to(ids.device)

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
        if "sliding_attention" in self._layers and self._window:
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
        if "sliding_attention" in self._layers and self._window:
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
    def _picked(self, places: Tensor) -> Iterator[None]:
        """Let the head see these places alone, in this order: numbers into (B, N), flattened."""

        def pick(_: Any, __: Any, output: Any) -> Any:
            hidden = output.last_hidden_state
            output.last_hidden_state = hidden.reshape(-1, hidden.size(-1))[places][None]
            return output

        hook = self._backbone.register_forward_hook(pick)
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


def _spread(values: Tensor, scored: Tensor) -> Tensor:
    """(1, K) values at the K places of a mask (R, C), 0 elsewhere."""
    return values.new_zeros(scored.shape).masked_scatter(scored, values[0])
