"""Which models' replies can be written by our own loop (`decoding`); the others are left to `generate`."""

from __future__ import annotations

from collections.abc import MutableMapping
from inspect import signature
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    from torch import Tensor

SHARED, OWN = 30, (28, 3)
"""Tokens that the prompts of the trial share, and that they have of their own: long pieces attend in another way than
short ones (`tree_reading`)."""
APART = {"float64": 1e-4, "float32": 3e-3}
"""Most distance in total variation between a model's distributions read in both ways; in narrower arithmetic 0.1."""

_TRIED: MutableMapping[Any, bool] = WeakKeyDictionary()


def beneath(model: Any) -> Any:
    """A model without the wrapper of its adapters; adapted all the same."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def decodable(model: Any) -> bool:
    """Whether a model's replies can be written here.

    What it is decides, and a trial at its first use: a few tokens are read both ways.

    Args:
        model: a causal language model of `transformers`, below any wrapper. One whose weights several processes share
            is not: they go from token to token together.
    """
    if not _plain(model):
        return False
    if model not in _TRIED:
        _TRIED[model] = all(_alike(model, own) for own in OWN)
    return _TRIED[model]


def _plain(model: Any) -> bool:
    """Whether it keeps keys and values of its tokens and nothing else, and takes what is given to it here."""
    import torch.distributed
    from transformers import GenerationMixin
    from transformers.integrations.deepspeed import is_deepspeed_zero3_enabled
    from transformers.integrations.fsdp import is_fsdp_managed_module

    config = model.config.get_text_config()
    kinds = {*(getattr(config, "layer_types", None) or [])}
    several = torch.distributed.is_available() and torch.distributed.is_initialized()
    return (
        config._attn_implementation in ("sdpa", "atommem_trees")
        and kinds <= {"full_attention", "sliding_attention"}
        and (bool(kinds) or not getattr(config, "sliding_window", None))
        and model._supports_attention_backend
        and not getattr(model, "_is_stateful", False)
        and not getattr(config, "num_kv_shared_layers", 0)
        and type(model).prepare_inputs_for_generation is GenerationMixin.prepare_inputs_for_generation
        and {"position_ids", "past_key_values", "logits_to_keep"} <= {*signature(type(model).forward).parameters}
        and not (several and (is_deepspeed_zero3_enabled() or is_fsdp_managed_module(model)))
    )


def _alike(model: Any, own: int) -> bool:
    """Whether prompts, and a token more, are read as they are one by one.

    Args:
        own: tokens of each prompt beside those that they share.
    """
    import torch

    from atommem_cli.models.decoding import Steps
    from atommem_cli.models.shared_prefill import read

    known = model.get_input_embeddings().num_embeddings
    prompts = [
        [(7 * at + number * (at >= SHARED)) % known for at in range(SHARED + own + number)] for number in (0, 1, 2)
    ]

    def alone(row: list[int]) -> Tensor:
        distribution: Tensor = model(torch.tensor([row], device=model.device)).logits[0, -1].float().softmax(-1)
        return distribution

    try:
        with torch.no_grad():
            cache, first = read(model, model, prompts)
            tokens = first.argmax(-1)
            second = Steps(model, model, cache, prompts)(tokens)
            found = torch.cat([first, second]).float().softmax(-1)
            longer = [[*prompt, token] for prompt, token in zip(prompts, tokens.tolist(), strict=True)]
            expected = torch.stack([alone(row) for row in (*prompts, *longer)])
    except Exception:  # whatever a model's own code raises that is given what it does not know
        return False
    apart = (found - expected).abs().sum(-1).max() / 2
    narrow = torch.is_autocast_enabled(model.device.type)
    return bool(apart <= (0.1 if narrow else APART.get(str(model.dtype).removeprefix("torch."), 0.1)))
