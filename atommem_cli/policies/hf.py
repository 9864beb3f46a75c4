"""A model of the `transformers` library in this process, on the CPU or one GPU.

For large models a server with paged attention is faster: see `openai_server`.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, Literal

from pydantic import Field, PositiveInt

from atommem_cli.config.schema import Section
from atommem_cli.core.calls import Generation, GoldReply
from atommem_cli.core.chunking import Tokenizer
from atommem_cli.core.episode import Call
from atommem_cli.core.errors import BackendError
from atommem_cli.core.thoughts import OwnMarks
from atommem_cli.models import likelihood, words
from atommem_cli.models.generation import Sampling, Turns, complete
from atommem_cli.models.loading import memory_advice
from atommem_cli.models.words import Words


class Options(Section):
    """Keys of the recipe's `policy` section."""

    model: str
    """A model folder, a hub id, or `tiny`: a freshly initialised model of 0.2 M parameters, whose words are those of
    `stream`; `tiny_agemem` knows the tools of the agent `agemem`, too."""
    init_seed: int = Field(0, ge=0)
    """Of the fresh weights of `tiny`; nothing to other models."""
    temperature: float = Field(0.7, ge=0)
    """0 is greedy. Default: AtomMem's (papers.md 1.5)."""
    top_p: float = Field(1.0, gt=0, le=1)
    """Of sampling: the smallest set of tokens with this much probability; 1 is all."""
    batch: PositiveInt = 16
    """Episodes played at once."""
    micro_batch_tokens: PositiveInt = 32_768
    """Most tokens, padding and new ones included, of one `generate` call; a longer prompt runs alone. The
    default takes 5 GB of key-value cache with an 8B model in bfloat16, 0.4 GB with a 0.5B one."""
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """Of the weights; auto is as they are stored."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """auto: the GPU where there is one."""
    thinking: bool = False
    """Passed to the chat template as `enable_thinking`, for models that know it."""
    thoughts: OwnMarks = None
    """Marks of its thoughts, as `[["<think>", "</think>"], ...]`; null is those of the families in
    use."""
    window: PositiveInt | None = None
    """Tokens of prompt and reply together; null is the model's own."""


def build(options: Options) -> HuggingFace:
    """The policy, weights loaded.

    Raises:
        MissingExtra: the model is not there or cannot be loaded.
        Diverged: its weights are not finite.
        UsageError: its tokenizer has no chat template.
        BackendError: it does not fit the device.
    """
    import torch

    on_gpu = options.device == "cuda" or (options.device == "auto" and torch.cuda.is_available())
    if on_gpu and not torch.cuda.is_available():
        raise BackendError("device: cuda, but torch sees no GPU: use device: cpu, or install torch's CUDA build")
    with memory_advice("policy.micro_batch_tokens"):
        model, known = words.load(options)
        model = model.to("cuda" if on_gpu else "cpu").eval()
    return HuggingFace(options, model, known)


def tokenizer(options: Options) -> Tokenizer:
    """What counts its tokens, without the weights."""
    return words.counter(options)


def window(options: Options) -> int | None:
    """Tokens of prompt and reply together that it takes, without the weights; None where it is not known.

    Raises:
        MissingExtra: the model is not there.
    """
    return words.window(options)


def insist_tools(options: Options) -> None:
    """Insist that it can be told of tools, without the weights.

    Raises:
        MissingExtra: the model is not there.
        UsageError: its tokenizer has no chat template, or one without tools.
    """
    _ = words.chat(options).tools


class HuggingFace:
    """Answers a whole batch at once."""

    def __init__(self, options: Options, model: Any, known: Words) -> None:
        self.options = options
        self.model = model
        self.batch = options.batch
        self.window: int | None = known.window
        self.tokenizer = known.counter
        self._chat = known.chat
        self._turns = Turns(known)
        self._words = known

    def generate(self, calls: Sequence[Call]) -> list[Generation]:
        """One reply per call, in order.

        Raises:
            BackendError: the device has not enough memory.
            Diverged: the logits are not finite.
        """
        rows, replies = self._turns.rows(calls)
        options = self.options
        sampling = Sampling(options.temperature, options.top_p)
        with memory_advice("policy.micro_batch_tokens"):
            written = complete(self.model, rows, self._turns, sampling, options.micro_batch_tokens)
        for row in rows:
            keep = calls[row.index].observation.keep_tokens
            replies[row.index] = self._turns.reply(row, written[row.index], keep=keep)
        return [replies[index] for index in range(len(calls))]

    def likelihoods(self, asked: Sequence[GoldReply]) -> list[float]:
        """See `calls.Likelihoods`.

        Raises:
            BackendError: the device has not enough memory.
        """

        def said(replies: list[likelihood.Reply]) -> dict[likelihood.Reply, tuple[float, ...]]:
            with memory_advice("policy.micro_batch_tokens"):
                return likelihood.logprobs(self.model, replies, self._turns.pad, self.options.micro_batch_tokens)

        return likelihood.means(self._words, asked, said)

    @functools.cached_property
    def weights(self) -> str:
        """See `words.digest`."""
        return words.digest(self.options.model, self.model)

    def describe(self) -> dict[str, str]:
        """What a run records about it."""
        options = self.options
        return {
            "name": f"hf: {options.model}",
            "weights": self.weights,
            "dtype": str(self.model.dtype).removeprefix("torch."),
            "device": str(self.model.device),
            "temperature": str(options.temperature),
            "top_p": str(options.top_p),
            "thinking": str(options.thinking).lower(),
            "chat_template": self._chat.digest,
        }
