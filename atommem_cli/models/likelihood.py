"""How likely replies are to a model that did not write them.

Axes: R rows, T tokens (padded on the left), C reply tokens of the longest reply.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from atommem_cli.core.calls import GoldReply
from atommem_cli.models.words import Words


class GoldRow(NamedTuple):
    """A reply as tokens behind those of its prompt."""

    prompt: tuple[int, ...]
    reply: tuple[int, ...]
    answer: tuple[int, ...]
    """Which tokens of the reply are the answer's own, by their number."""


def row(words: Words, asked: GoldReply) -> GoldRow | None:
    """A reply as tokens; None where the window does not take them."""
    prompt, reply = words.chat.prompt(asked.observation.messages), words.chat.reply(asked.reply)
    if words.window is not None and len(prompt) + len(reply) > words.window:
        return None
    spans = words.counter.spans(asked.reply)
    own = [at for at, (start, end) in enumerate(spans) if start < asked.end and end > asked.start]
    located = own and len(spans) == len(reply)  # else a word of it is the name of a control token
    return GoldRow(tuple(prompt), tuple(reply), tuple(own if located else range(len(reply))))


def mean(answer: Sequence[int], logprobs: Sequence[float]) -> float:
    """Of a reply's log-probabilities, over the answer's own tokens."""
    return sum(logprobs[at] for at in answer) / len(answer)


def logprobs(model: Any, rows: Sequence[GoldRow], pad: int, most_tokens: int) -> list[tuple[float, ...]]:
    """Natural log-probability of every token of each reply.

    Args:
        model: a causal language model of `transformers`, on its device.
        most_tokens: of one forward pass, padding included; a longer row runs alone.
    """
    import torch

    found: dict[int, tuple[float, ...]] = {}
    for part in _parts(rows, most_tokens):
        chosen = [rows[at] for at in part]
        width, most = max(len(one.prompt) + len(one.reply) for one in chosen), max(len(one.reply) for one in chosen)
        ids = torch.full((len(chosen), width), pad)  # (R, T)
        mask = torch.zeros_like(ids)
        for at, one in enumerate(chosen):
            whole = torch.tensor([*one.prompt, *one.reply])
            ids[at, width - len(whole) :], mask[at, width - len(whole) :] = whole, 1
        ids, mask = ids.to(model.device), mask.to(model.device)
        places = (mask.cumsum(-1) - 1).clamp(min=0)
        with torch.inference_mode():
            logits = model(input_ids=ids, attention_mask=mask, position_ids=places, logits_to_keep=most + 1).logits
        scores = logits[:, :-1].float().log_softmax(-1)  # (R, C, V): of the last C tokens
        said = scores.gather(-1, ids[:, -most:, None])[..., 0].tolist()
        for at, one, each in zip(part, chosen, said, strict=True):
            found[at] = tuple(each[most - len(one.reply) :])
    return [found[at] for at in range(len(rows))]


def _parts(rows: Sequence[GoldRow], most_tokens: int) -> Iterator[list[int]]:
    """Rows by number, longest first, that are run together."""
    part: list[int] = []
    width = 0
    for at in sorted(range(len(rows)), key=lambda at: -len(rows[at].prompt) - len(rows[at].reply)):
        if part and (len(part) + 1) * width > most_tokens:
            yield part
            part = []
        width = width if part else len(rows[at].prompt) + len(rows[at].reply)
        part.append(at)
    if part:
        yield part
