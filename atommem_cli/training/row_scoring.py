"""Which rows a training scores with shared tokens, and whether that is exact for its models."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from atommem_cli.models.tree_attention import ATTENTION
from atommem_cli.training.distributed import gather
from atommem_cli.training.shared_forward import RowScorer

TOLERANCE = {torch.float64: 1e-6, torch.float32: 1e-3}
"""Of the comparison with padded rows, in natural log-probabilities; for narrower types 0.2."""
TRIED = 8
"""Rows of the comparison."""


class Scorers:
    """The scorers of a trainer's models, each made at its first use."""

    def __init__(self, model: Any, *, share: bool, say: Callable[[str], None]) -> None:
        """
        Args:
            model: the one that learns, below any wrapper.
            share: whether the recipe wants it.
            say: told in one sentence why tokens are not shared.
        """
        self._say = say
        self._made: dict[int, RowScorer] = {}
        why = refusal(model) if share else None
        if why is not None:
            say(f"the rows of this model do not share their tokens: {why}")
        self.share = share and why is None
        """Whether rows share their tokens."""
        self._tried = not self.share
        self._blocks = True

    def score(self, model: Any, base: Any, ids: Tensor, mask: Tensor, most: int) -> tuple[Tensor, Tensor | None]:
        """As `RowScorer`, with `model` around `base`; at the first use compared with padded rows, on every rank."""
        if id(base) not in self._made:
            self._made[id(base)] = RowScorer(base, share=self.share)
        scorer = self._made[id(base)]
        scorer.blocks = scorer.blocks if self._blocks else None
        if not self._tried:
            self._try(scorer, model, ids[:TRIED], mask[:TRIED], most)
        return scorer(model, ids, mask, most)

    def _try(self, scorer: RowScorer, model: Any, ids: Tensor, mask: Tensor, most: int) -> None:
        self._tried = True
        blocks, scorer.blocks = scorer.blocks, None
        with torch.no_grad():
            scorer.share = False
            plain, _ = scorer(model, ids, mask, most)
            scorer.share = True
            shared, _ = scorer(model, ids, mask, most)
        narrow = torch.is_autocast_enabled(ids.device.type)
        allowed = 0.2 if narrow else TOLERANCE.get(scorer.dtype, 0.2)
        apart = max(gather([float((shared - plain).abs().max())]))
        if not apart <= allowed:
            self.share = scorer.share = False
            self._say(
                f"rows do not share their tokens: log-probabilities differ by {apart:.2g} from those of padded rows"
            )
        elif blocks is not None:
            scorer.blocks = 0
            why = next(filter(None, gather([_blocked(scorer, plain, allowed, model, ids, mask, most)])), "")
            self._blocks = not why
            scorer.blocks = None if why else blocks
            if why:
                self._say(f"large trees attend under a dense mask or piece by piece, not in blocks: {why}")


def _blocked(scorer: RowScorer, plain: Tensor, allowed: float, *given: Any) -> str:
    """Why these rows cannot attend under a mask of blocks, as the end of a sentence; empty where they can."""
    try:
        with torch.no_grad():
            found, _ = scorer(*given)
    except Exception as error:  # torch compiles it, with whatever compiler is there
        return " ".join(str(error).split())[:160] or type(error).__name__
    apart = float((found - plain).abs().max())
    return "" if apart <= allowed else f"log-probabilities differ by {apart:.2g} from those of padded rows"


def refusal(model: Any) -> str | None:
    """Why a model's rows cannot share their tokens exactly, as the end of a sentence; None where they can."""
    config = model.config.get_text_config()
    kinds = {*(getattr(config, "layer_types", None) or [])}
    if strange := sorted(kinds - {"full_attention", "sliding_attention"}):
        return f"it has layers of {strange[0].replace('_', ' ')}, which carry a state from token to token"
    if config._attn_implementation not in ("sdpa", ATTENTION):
        return f"its attention is {config._attn_implementation}, not sdpa"
    if getattr(config, "sliding_window", None) and not kinds:
        return "its configuration does not say which layers have its sliding window"
    if dropping := [name for name, part in model.named_modules() if isinstance(part, torch.nn.Dropout) and part.p]:
        return f"it drops out at random ({dropping[0]})"
    if getattr(config, "attention_dropout", 0):
        return "its attention drops out at random"
    if getattr(config, "output_router_logits", False):
        return "its router is balanced over tokens, and shared ones would count once"
    return None
