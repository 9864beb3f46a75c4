"""Log-probabilities of rows that begin alike, every shared token computed once, exactly.

Rows become prefix trees (`prefix_trees`); a tree is one sequence for the model, in which the position of a token is its
depth and it attends to its ancestors alone. Long pieces attend piece by piece, without a mask; many short ones under a
mask of (N, N). Autograd adds up what the rows that share a token ask of it. Models for which this is not exact have
their rows padded, as ever.

Only what is scored goes through the model's head: a token's distribution is that of the one before it. TRL's own head
takes every position of a row where there is no Triton.

Axes: R rows, P prompt tokens (padded on the left), C completion tokens (padded on the right), N nodes, B trees.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention
from trl.kernels import chunked_logprob

from atommem_cli.models import prefix_trees
from atommem_cli.models.prefix_trees import Run, Tree

ATTENTION = "atommem_trees"
"""Name of the attention that knows trees, among those of transformers; for everything else it is `sdpa`."""
TILE = 512
"""Tokens of one tile of TRL's head on the CPU, which has no option for it: its 4,096 hold the logits of as many tokens
at once, several times over."""
LONG = 24
"""Tokens of a piece on average from which on pieces attend without a mask."""


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
        if share:
            _register()
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
        long = sum(tree.size for tree in whole) >= LONG * sum(map(len, runs))
        trees = whole if long else grown(self._knee)
        inputs, offsets = self._pieces(trees, runs, ids.device) if long else self._masked(trees, ids.device)
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

    def _pieces(
        self, trees: Sequence[Tree], runs: Sequence[Sequence[Run]], device: Any
    ) -> tuple[dict[str, Any], list[int]]:
        """Trees one after another: (1, N), and how their pieces attend."""
        offsets = np.cumsum([0, *(tree.size for tree in trees)]).tolist()
        depths = torch.tensor([depth for tree in trees for depth in tree.depths], device=device)
        pieces = tuple(
            _piece(start + offset, end + offset, torch.from_numpy(above + offset).to(device), depths)
            for found, offset in zip(runs, offsets, strict=False)
            for start, end, above in found
        )
        nothing = torch.ones(1, 1, 1, 1, dtype=torch.bool, device=device)  # of four axes: transformers makes no mask
        return {
            "input_ids": torch.tensor([[token for tree in trees for token in tree.tokens]], device=device),
            "position_ids": depths[None],
            "attention_mask": self._mapping({"full_attention": nothing, "sliding_attention": nothing}),
            "pieces": pieces,
        }, offsets[:-1]

    def _mapping(self, masks: Mapping[str, Tensor]) -> Any:
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


def _piece(start: int, end: int, above: Tensor, depths: Tensor) -> Piece:
    own = torch.arange(start, end, device=above.device)
    path = torch.cat([above, own])
    far = depths[own][:, None] - depths[path][None, :]  # on one path, depth is order
    return Piece(start, end, path if len(above) else slice(start, end), far)


def _spread(values: Tensor, scored: Tensor) -> Tensor:
    """(1, K) values at the K places of a mask (R, C), 0 elsewhere."""
    return values.new_zeros(scored.shape).masked_scatter(scored, values[0])


@functools.cache
def _register() -> None:
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import sdpa_mask

    AttentionInterface.register(ATTENTION, _attend)
    AttentionMaskInterface.register(ATTENTION, sdpa_mask)


def _attend(
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
    """Attention as `sdpa`, or piece by piece: queries (1, H, N, D), keys and values of as many heads or fewer.

    Returns:
        Shape (1, N, H, D).
    """
    if pieces is None:
        from transformers.integrations.sdpa_attention import sdpa_attention_forward

        plain: tuple[Tensor, None] = sdpa_attention_forward(
            module, query, key, value, attention_mask, scaling=scaling, sliding_window=sliding_window, **rest
        )
        return plain
    grouped = query.size(1) != key.size(1)
    found = []
    for piece in pieces:
        mask = piece.mask(sliding_window, query.dtype)
        found.append(
            scaled_dot_product_attention(
                query[:, :, piece.start : piece.end],
                key[:, :, piece.seen],
                value[:, :, piece.seen],
                attn_mask=mask,
                is_causal=mask is None,
                scale=scaling,
                enable_gqa=grouped,
            )
        )
    return torch.cat(found, dim=2).transpose(1, 2).contiguous(), None
