"""Replies from a causal language model in this process: one way to sample, for evaluation and for training.

Nothing but temperature and top-p acts on the next token: what a model's generation_config.json asks for
(repetition penalties, top-k, temperatures) is not applied, so models are compared under equal settings.

Axes: R rows, P prompt tokens (padded on the left), C completion tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from atommem_cli.core.calls import Finish, Generation
from atommem_cli.core.episode import Call
from atommem_cli.core.errors import Diverged
from atommem_cli.models.batching import PromptRow, prompt_batches
from atommem_cli.models.decodable import beneath, decodable
from atommem_cli.models.decoding import decode
from atommem_cli.models.sampling import Finite, GumbelSampler, OwnLimits
from atommem_cli.models.words import Words

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the next token is drawn."""

    temperature: float
    """0 is greedy."""
    top_p: float = 1.0
    """In (0, 1]; 1 keeps every token."""


class Turns:
    """Calls to prompt tokens, and reply tokens to replies."""

    def __init__(self, words: Words) -> None:
        pad: int | None = words.tokenizer.pad_token_id
        self.ends = words.ends
        self.window = words.window
        """Tokens of prompt and reply together; None is no limit."""
        self.pad: int = pad if pad is not None else min(words.ends, default=0)
        self._tokenizer = words.tokenizer
        self._chat = words.chat

    def rows(self, calls: Sequence[Call]) -> tuple[list[PromptRow], dict[int, Generation]]:
        """What can be run; and, by index, the replies of the calls whose prompt does not fit."""
        rows, refused = [], {}
        for index, call in enumerate(calls):
            told = call.observation
            row = PromptRow(index, self._chat.prompt(told.messages, told.tools), told.max_new_tokens, call.seed)
            if self.window is not None and row.tokens > self.window:
                error = f"{len(row.prompt)} prompt tokens and {row.most} new ones exceed the window of {self.window}"
                refused[index] = Generation("", Finish.OVERFLOW, error=error)
            else:
                rows.append(row)
        return rows, refused

    def cut(self, row: PromptRow, ids: Sequence[int]) -> list[int]:
        """The reply's own tokens: up to its end token, or to its own limit."""
        ends = (at for at, token in enumerate(ids[: row.most], start=1) if token in self.ends)
        return list(ids[: next(ends, row.most)])

    def text(self, ids: Sequence[int]) -> str:
        """What tokens say; ends and other control tokens say nothing."""
        said: str = self._tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return said

    def reply(self, row: PromptRow, ids: Sequence[int], *, keep: bool = False) -> Generation:
        """The reply that these tokens are (see `cut`).

        Args:
            keep: whether the tokens themselves come with it (`Observation.keep_tokens`).
        """
        text = self.text(ids)
        finish = Finish.STOP if ids and ids[-1] in self.ends else Finish.LENGTH
        tokens = tuple(ids) if keep else ()
        return Generation(text, finish, prompt_tokens=len(row.prompt), new_tokens=len(ids), token_ids=tokens)


def complete(
    model: Any, rows: Sequence[PromptRow], turns: Turns, sampling: Sampling, micro_batch_tokens: int
) -> dict[int, list[int]]:
    """Sample a reply to every row.

    Args:
        model: a causal language model of `transformers`, on its device.
        micro_batch_tokens: most tokens, padding and new ones included, of one `generate` call.

    Returns:
        The new token ids of each row, by the row's index.

    Raises:
        Diverged: the model's logits are not finite.
    """
    written: dict[int, list[int]] = {}
    for part in prompt_batches(rows, micro_batch_tokens, turns.window):
        for row, ids in zip(part, _run(model, part, turns, sampling), strict=True):
            written[row.index] = turns.cut(row, ids)
    return written


def _run(model: Any, rows: Sequence[PromptRow], turns: Turns, sampling: Sampling) -> list[list[int]]:
    below = beneath(model)
    finite, sampler = Finite(model.device), None
    if sampling.temperature > 0:
        seeds = [row.seed for row in rows]
        sampler = GumbelSampler(seeds, sampling.temperature, sampling.top_p, model.device)
    if decodable(below):

        def pick(logits: Tensor, which: Sequence[int]) -> Tensor:
            finite.look(logits)
            return (sampler.noisy(logits, which) if sampler else logits).argmax(-1)

        prompts, limits = [row.prompt for row in rows], [row.most for row in rows]
        new = decode(model, below, prompts, limits, turns.ends, pick)
    else:
        new = _generate(model, rows, turns, [finite, sampler] if sampler else [finite])
    if not finite:
        raise Diverged(
            f"the logits of {model.name_or_path or 'the model'} are not finite: its weights have diverged, "
            "or policy.dtype is too narrow for them (try float32)"
        )
    return new


def _generate(model: Any, rows: Sequence[PromptRow], turns: Turns, processors: Sequence[Any]) -> list[list[int]]:
    """By transformers itself, which knows every model, and takes every row on until the last one has ended."""
    import torch
    from transformers import GenerationConfig, LogitsProcessorList, StoppingCriteriaList

    device = model.device
    width, most = max(len(row.prompt) for row in rows), max(row.most for row in rows)
    ids = torch.tensor([[turns.pad] * (width - len(row.prompt)) + row.prompt for row in rows])  # (R, P)
    mask = torch.tensor([[0] * (width - len(row.prompt)) + [1] * len(row.prompt) for row in rows])  # (R, P)
    limits = torch.tensor([row.most for row in rows], device=device)  # (R,)
    own = model.generation_config
    # `generate` fills unset fields from here: the model's own sampling settings must not get in.
    model.generation_config = GenerationConfig()
    try:
        written: Tensor = model.generate(  # (R, P + C)
            input_ids=ids.to(device),
            attention_mask=mask.to(device),
            generation_config=GenerationConfig(
                max_new_tokens=most, do_sample=False, eos_token_id=list(turns.ends) or None, pad_token_id=turns.pad
            ),
            logits_processor=LogitsProcessorList(processors),
            stopping_criteria=StoppingCriteriaList([OwnLimits(limits, width)]),
        )
    finally:
        model.generation_config = own
    new: list[list[int]] = written[:, width:].tolist()
    return new
