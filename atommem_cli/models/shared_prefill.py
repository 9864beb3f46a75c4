"""Prompts that begin alike are read once, and their cache is dealt to each of them.

The prompts of one batch are padded on the left, so all their caches must have one length: each row gets as many tokens
of its shared beginning as leave the same number to be read for every row. It stands at the right end of its cache, as
it would without sharing: a sliding window counts places of the cache, and may not see a hole.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from atommem_cli.models.prefix_trees import in_order, shared

LEAST = 64
"""Tokens of a beginning that are worth a pass of their own."""


def groups(prompts: Sequence[Sequence[int]]) -> list[tuple[int, list[int]]]:
    """Prompts that share a beginning of at least `LEAST` tokens and half their length.

    Returns:
        Tokens of the beginning, and the numbers of its prompts; 0 for one that shares none. Every prompt is in one.
    """
    rows = [np.asarray(prompt, np.int64) for prompt in prompts]
    found: list[tuple[int, list[int]]] = []
    for number in in_order(prompts):
        row = rows[number]
        if found:
            length, members = found[-1]
            first = rows[members[0]]
            common = min(shared(first, row), len(first) - 1, len(row) - 1)  # a last token is left to be read
            common = common if len(members) == 1 else min(length, common)
            if common >= LEAST and 2 * common >= max(len(row), *(len(rows[each]) for each in members)):
                found[-1] = common, [*members, number]
                continue
        found.append((0, [number]))
    return found


def filled(model: Any, prompts: Sequence[Sequence[int]]) -> Any:
    """A cache of the prompts' shared beginnings, as `generate` takes it; None where too little is shared.

    Args:
        model: a causal language model of `transformers`, on its device, whose layers keep keys and values.
        prompts: of one batch, which is padded on the left to the longest.
    """
    import torch
    from transformers import DynamicCache

    longest = max(map(len, prompts))
    if longest <= LEAST or len(prompts) < 2:
        return None
    kinds = {*(getattr(model.config.get_text_config(), "layer_types", None) or [])}
    together = groups(prompts)
    cached = {number: length for length, members in together for number in members}
    rest = max(len(prompt) - cached[number] for number, prompt in enumerate(prompts))
    once = sum(length for length, _ in together) + rest * len(prompts)
    stateful = getattr(model, "_is_stateful", False) or not kinds <= {"full_attention", "sliding_attention"}
    if stateful or 4 * once > 3 * longest * len(prompts):
        return None
    from atommem_cli.models.key_cache import RoomyCache, RoomyLayer

    kept = longest - rest  # places of every row's cache
    dealt = RoomyCache()
    for length, members in (group for group in together if group[0]):
        cache = DynamicCache()
        ids = torch.tensor([list(prompts[members[0]][:length])], device=model.device)
        model(input_ids=ids, past_key_values=cache, use_cache=True, logits_to_keep=1)
        for at, layer in enumerate(cache.layers):
            if at == len(dealt.layers):
                dealt.layers.append(RoomyLayer())
                dealt.layers[at].open(layer.keys, layer.values, len(prompts), kept)
            for number in members:
                some = max(0, len(prompts[number]) - rest)
                dealt.layers[at].keys[number, :, kept - some :] = layer.keys[0, :, :some]
                dealt.layers[at].values[number, :, kept - some :] = layer.values[0, :, :some]
    return dealt
