"""Prompts are read as trees: what several of them begin with, once. Then each has a cache of its own.

Caches of one batch have one length. A shorter prompt stands at the right end of its own, as it would be with padding on
the left: a sliding window counts places of the cache, and may not see a hole.

Axes: R rows, P prompt tokens (padded on the left), S places, V tokens of the vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import DynamicCache

from atommem_cli.models.key_cache import RoomyCache
from atommem_cli.models.tree_reading import Reader, picked


def read(model: Any, below: Any, prompts: Sequence[Sequence[int]]) -> tuple[RoomyCache, Tensor]:
    """Read prompts, of one token at least each.

    Args:
        model: what is called: a causal language model, or what is wrapped around it.
        below: the model without wrappers (see `Reader`).

    Returns:
        Keys and values of (R, P), and what comes after each prompt: logits (R, V).
    """
    width = max(map(len, prompts))
    inputs, paths = Reader(below).laid_out(prompts, model.device)
    last = torch.tensor([int(path[-1]) for path in paths], device=model.device)
    once = DynamicCache()
    with picked(below, last):
        logits = model(**inputs, past_key_values=once, use_cache=True).logits[0]
    # What stands in for padding is never seen.
    nodes = np.zeros((len(prompts), width), np.int64)  # (R, P)
    for row, path in zip(nodes, paths, strict=True):
        row[width - len(path) :] = path
    return RoomyCache(once, torch.from_numpy(nodes).to(model.device)), logits
