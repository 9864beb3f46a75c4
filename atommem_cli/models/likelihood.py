"""How likely replies are to a model that did not write them.

Axes: R rows, T tokens (padded on the left), C reply tokens of the longest reply.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import inf
from typing import Any, NamedTuple

from atommem_cli.core.calls import GoldReply
from atommem_cli.models.batching import PromptRow, cut
from atommem_cli.models.words import Words

Reply = tuple[tuple[int, ...], tuple[int, ...]]
"""Token ids of a prompt, and of what stands behind it."""


class GoldRow(NamedTuple):
    """A reply as tokens behind those of its prompt."""

    prompt: tuple[int, ...]
    reply: tuple[int, ...]
    answer: tuple[int, ...]
    """Which tokens of the reply are the answer's own, by their number."""


def row(words: Words, asked: GoldReply) -> GoldRow | None:
    """A reply as tokens; None where the window does not take them."""
    told = asked.observation
    prompt, reply = words.chat.prompt(told.messages, told.tools), words.chat.reply(asked.reply)
    if words.window is not None and len(prompt) + len(reply) > words.window:
        return None
    spans = words.counter.spans(asked.reply)
    own = [at for at, (start, end) in enumerate(spans) if start < asked.end and end > asked.start]
    located = own and len(spans) == len(reply)  # else a word of it is the name of a control token
    return GoldRow(tuple(prompt), tuple(reply), tuple(own if located else range(len(reply))))


def means(
    words: Words, asked: Sequence[GoldReply], said: Callable[[list[Reply]], Mapping[Reply, Sequence[float]]]
) -> list[float]:
    """See `calls.Likelihoods`.

    Args:
        said: natural log-probability of every token of each reply; asked once, about each one once, maybe about none.
    """
    rows = {one: row(words, one) for one in dict.fromkeys(asked)}
    found = said(list(dict.fromkeys((row.prompt, row.reply) for row in rows.values() if row)))
    mean = {one: _mean(row, found[row.prompt, row.reply]) if row else -inf for one, row in rows.items()}
    return [mean[one] for one in asked]


def _mean(row: GoldRow, logprobs: Sequence[float]) -> float:
    """Of a reply's log-probabilities, over the answer's own tokens."""
    return sum(logprobs[at] for at in row.answer) / len(row.answer)


def logprobs(model: Any, replies: Sequence[Reply], pad: int, most_tokens: int) -> dict[Reply, tuple[float, ...]]:
    """Natural log-probability of every token of each reply.

    Args:
        model: a causal language model of `transformers`, on its device.
        most_tokens: of one forward pass, padding included; a longer row runs alone.
    """
    import torch

    found: dict[Reply, tuple[float, ...]] = {}
    rows = [PromptRow(at, [*prompt, *reply], 0, 0) for at, (prompt, reply) in enumerate(replies)]
    for part in cut(sorted(rows, key=lambda row: len(row.prompt), reverse=True), most_tokens, None):
        chosen = [replies[row.index] for row in part]
        width, most = max(len(row.prompt) for row in part), max(len(reply) for _, reply in chosen)
        ids = torch.full((len(part), width), pad)  # (R, T)
        mask = torch.zeros_like(ids)
        for at, row in enumerate(part):
            ids[at, width - len(row.prompt) :] = torch.tensor(row.prompt)
            mask[at, width - len(row.prompt) :] = 1
        ids, mask = ids.to(model.device), mask.to(model.device)
        places = (mask.cumsum(-1) - 1).clamp(min=0)
        with torch.inference_mode():
            logits = model(input_ids=ids, attention_mask=mask, position_ids=places, logits_to_keep=most + 1).logits
        scores = logits[:, :-1].float().log_softmax(-1)  # (R, C, V): of the last C tokens
        said = scores.gather(-1, ids[:, -most:, None])[..., 0].tolist()
        for one, each in zip(chosen, said, strict=True):
            found[one] = tuple(each[most - len(one[1]) :])
    return found
