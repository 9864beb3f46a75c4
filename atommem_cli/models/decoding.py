"""Replies token by token, from a batch that shrinks: a row whose reply has ended takes no further part.

The tokens are those of `generate` of transformers for the same prompts. What several
prompts begin with is read once (`shared_prefill`); keys and values stand in room that is made for several tokens at
once; a step is one call of the model.

Axes: R rows, S places of the cache, V tokens of the vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from inspect import signature
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

ENDED = 0.25
"""Share of a batch's rows that have ended from which on the others go on without them."""

Pick = Callable[["Tensor", Sequence[int]], "Tensor"]
"""The next token, (R,), by logits (R, V) and which rows these are."""


def decodable(model: Any) -> bool:
    """Whether a model's replies can be written here: it keeps keys and values of its tokens, and nothing else.

    Args:
        model: a causal language model of `transformers`, below any wrapper. One whose weights several processes share
            is not: they go from token to token together.
    """
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


def decode(
    model: Any, below: Any, prompts: Sequence[list[int]], limits: Sequence[int], ends: Sequence[int], pick: Pick
) -> list[list[int]]:
    """The new tokens of each row: up to an end token, or to its own limit.

    Args:
        model: what is called: a causal language model, or what is wrapped around it.
        below: the model without wrappers; see `decodable`.
        limits: most new tokens of each row, at least 1.
        pick: draws or chooses.
    """
    import torch

    from atommem_cli.models.shared_prefill import read

    with torch.no_grad():
        cache, logits = read(model, below, prompts)
        width = max(map(len, prompts))
        pads = torch.tensor([width - len(prompt) for prompt in prompts], device=model.device)  # (R,)
        rows = list(range(len(prompts)))
        written: list[list[int]] = [[] for _ in prompts]
        seen = _Seen(below)
        while True:
            tokens = pick(logits.float(), rows)
            going = []
            for place, (row, token) in enumerate(zip(rows, tokens.tolist(), strict=True)):
                reply = written[row]
                if reply and (reply[-1] in ends or len(reply) == limits[row]):
                    continue
                reply.append(token)
                if token not in ends and len(reply) < limits[row]:
                    going.append(place)
            if not going:
                return written
            if len(going) <= (1 - ENDED) * len(rows):
                rows = [rows[place] for place in going]
                tokens, pads = _keep(cache, going, tokens, pads)
            length = cache.get_seq_length()
            logits = model(
                input_ids=tokens[:, None], attention_mask=seen(pads, length + 1), position_ids=(length - pads)[:, None],
                past_key_values=cache, use_cache=True, logits_to_keep=1,
            ).logits[:, -1]  # fmt: skip


class _Seen:
    """What one more token of each row attends to."""

    def __init__(self, model: Any) -> None:
        config = model.config.get_text_config()
        self._window: int | None = None
        if "sliding_attention" in (getattr(config, "layer_types", None) or []):
            self._window = config.sliding_window

    def __call__(self, pads: Tensor, length: int) -> Any:
        """The mask (R, 1, 1, S), or one for each kind of layers, which models with several kinds take."""
        import torch

        places = torch.arange(length, device=pads.device)
        there = (places >= pads[:, None])[:, None, None]
        if self._window is None:
            return there
        return {"full_attention": there, "sliding_attention": there & (places >= length - self._window)}


def _keep(cache: Any, places: Sequence[int], *others: Tensor) -> list[Tensor]:
    """These rows of the cache alone, in this order, some perhaps more than once; and of the others."""
    import torch

    chosen = torch.tensor(places, device=others[0].device)
    for layer in cache.layers:
        layer.choose(chosen)
    return [other[chosen] for other in others]
