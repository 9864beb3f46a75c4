"""Replies token by token, from a batch that shrinks: a row whose reply has ended takes no further part.

The tokens are those of `generate` of transformers for the same prompts. What several prompts begin with is read once
(`shared_prefill`); keys and values stand in room that is made for several tokens at once; a step is one call of the
model.

Axes: R rows, S places of the cache, V tokens of the vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

ENDED = 0.25
"""Share of a batch's rows that have ended from which on the others go on without them."""

Pick = Callable[["Tensor", Sequence[int]], "Tensor"]
"""The next token, (R,), by logits (R, V) and which rows these are."""


def decode(
    model: Any, below: Any, prompts: Sequence[list[int]], limits: Sequence[int], ends: Sequence[int], pick: Pick
) -> list[list[int]]:
    """The new tokens of each row: up to an end token, or to its own limit.

    Args:
        model: what is called: a causal language model, or what is wrapped around it.
        below: the model without wrappers; see `decodable.decodable`.
        limits: most new tokens of each row, at least 1.
        pick: draws or chooses.
    """
    import torch

    from atommem_cli.models.shared_prefill import read

    with torch.no_grad():
        cache, logits = read(model, below, prompts)
        steps = Steps(model, below, cache, prompts)
        rows = list(range(len(prompts)))
        written: list[list[int]] = [[] for _ in prompts]
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
                tokens = steps.keep(going, tokens)
            logits = steps(tokens)


class Steps:
    """One token more of each row, and what comes after it."""

    def __init__(self, model: Any, below: Any, cache: Any, prompts: Sequence[Sequence[int]]) -> None:
        """
        Args:
            model, below: see `decode`.
            cache: of the prompts, as `shared_prefill.read` makes it.
        """
        import torch

        self._model, self._cache = model, cache
        width = max(map(len, prompts))
        self._pads = torch.tensor([width - len(prompt) for prompt in prompts], device=model.device)  # (R,)
        config = below.config.get_text_config()
        sliding = "sliding_attention" in (getattr(config, "layer_types", None) or [])
        self._window: int | None = config.sliding_window if sliding else None

    def __call__(self, tokens: Tensor) -> Tensor:
        """Args: tokens (R,). Returns: logits (R, V)."""
        length = self._cache.get_seq_length()
        logits: Tensor = self._model(
            input_ids=tokens[:, None],
            attention_mask=self._seen(length + 1),
            position_ids=(length - self._pads)[:, None],
            past_key_values=self._cache,
            use_cache=True,
            logits_to_keep=1,
        ).logits
        return logits[:, -1]

    def keep(self, places: Sequence[int], tokens: Tensor) -> Tensor:
        """Go on with these rows alone, in this order; theirs of the tokens."""
        import torch

        chosen = torch.tensor(places, device=tokens.device)
        for layer in self._cache.layers:
            layer.choose(chosen)
        self._pads = self._pads[chosen]
        return tokens[chosen]

    def _seen(self, length: int) -> Any:
        """What the new token attends to: (R, 1, 1, S), for each kind of layers where a model takes that."""
        import torch

        places = torch.arange(length, device=self._pads.device)
        there = (places >= self._pads[:, None])[:, None, None]
        if self._window is None:
            return there
        return {"full_attention": there, "sliding_attention": there & (places >= length - self._window)}
