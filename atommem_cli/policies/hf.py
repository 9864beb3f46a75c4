"""A model of the `transformers` library in this process, on the CPU or one GPU.

Nothing but the options below acts on the next token: what a model's generation_config.json asks for
(repetition penalties, top-k, temperatures) is not applied, so models are compared under equal settings.
For large models a server with paged attention is faster: see `openai_server`.

Axes: R rows, P prompt tokens (padded on the left), C completion tokens.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveInt

from atommem_cli import plugins, tiny
from atommem_cli.episode import Call
from atommem_cli.errors import BackendError
from atommem_cli.policies._batches import Row, micro_batches
from atommem_cli.policies._chat import Chat, OffsetTokenizer
from atommem_cli.policies._sampling import GumbelSampler, OwnLimits
from atommem_cli.text import Tokenizer
from atommem_cli.types import Finish, Generation
from atommem_cli.weights import (
    digest_of_files,
    digest_of_tensors,
    load_model,
    load_tokenizer,
    memory_advice,
    weight_files,
)

TINY = "tiny"


class Options(BaseModel):
    """Keys of the recipe's `policy` section."""

    model_config = ConfigDict(extra="forbid")

    model: str
    """A model folder, a hub id, or `tiny`: a freshly initialised model of 0.2 M parameters."""
    temperature: float = Field(0.7, ge=0)
    """0 is greedy. Default: AtomMem's (papers.md 1.5)."""
    top_p: float = Field(1.0, gt=0, le=1)
    batch: PositiveInt = 16
    """Episodes played at once."""
    micro_batch_tokens: PositiveInt = 32_768
    """Most tokens, padding and new ones included, of one `generate` call; a longer prompt runs alone. The
    default takes 5 GB of key-value cache with an 8B model in bfloat16, 0.4 GB with a 0.5B one."""
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """Of the weights; auto is as they are stored."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    thinking: bool = False
    """Passed to the chat template as `enable_thinking`, for models that know it."""
    window: PositiveInt | None = None
    """Tokens of prompt and reply together; None is the model's own."""


def build(options: Options) -> HuggingFace:
    """The policy, weights loaded.

    Raises:
        MissingExtra: the model is not there or cannot be loaded.
        UsageError: its tokenizer has no chat template.
        BackendError: it does not fit the device.
    """
    import torch

    on_gpu = options.device == "cuda" or (options.device == "auto" and torch.cuda.is_available())
    if on_gpu and not torch.cuda.is_available():
        raise BackendError("device: cuda, but torch sees no GPU: use device: cpu, or install torch's CUDA build")
    fast = _tokenizer(options)
    chat = Chat(fast, options.model, thinking=options.thinking)
    with memory_advice():
        model = _model(options, fast).to("cuda" if on_gpu else "cpu").eval()
    return HuggingFace(options, model, fast, chat)


def tokenizer(options: Options) -> Tokenizer:
    """What counts its tokens, without the weights."""
    return OffsetTokenizer(_tokenizer(options), options.model)


class HuggingFace:
    """Answers a whole batch at once."""

    def __init__(self, options: Options, model: Any, tokenizer: Any, chat: Chat) -> None:
        from transformers import GenerationConfig

        self.options = options
        self.model = model
        self.batch = options.batch
        self.window: int | None = options.window or getattr(
            model.config.get_text_config(), "max_position_embeddings", None
        )
        self.tokenizer = OffsetTokenizer(tokenizer, options.model)
        self._fast = tokenizer
        self._chat = chat
        self._ends = _ends(model, tokenizer)
        self._pad: int = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else min(self._ends, default=0)
        # `generate` fills unset fields from here: the model's own sampling settings must not get in.
        model.generation_config = GenerationConfig()

    def generate(self, calls: Sequence[Call]) -> list[Generation]:
        """One reply per call, in order.

        Raises:
            BackendError: the device has not enough memory.
        """
        replies: dict[int, Generation] = {}
        rows = []
        for index, call in enumerate(calls):
            row = Row(index, self._chat.prompt(call.observation.messages), call.observation.max_new_tokens, call.seed)
            if self.window is not None and row.tokens > self.window:
                error = f"{len(row.prompt)} prompt tokens and {row.most} new ones exceed the window of {self.window}"
                replies[index] = Generation("", Finish.OVERFLOW, error=error)
            else:
                rows.append(row)
        for part in micro_batches(rows, self.options.micro_batch_tokens, self.window):
            with memory_advice():
                written = self._run(part)
            for row, ids in zip(part, written, strict=True):
                replies[row.index] = self._generation(row, ids)
        return [replies[index] for index in range(len(calls))]

    @functools.cached_property
    def weights(self) -> str:
        """sha256 of the weight files, one after another by name; hexadecimal."""
        if self.options.model == TINY:
            return digest_of_tensors(self.model)
        return digest_of_files(weight_files(self.options.model))

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

    def _run(self, rows: Sequence[Row]) -> list[list[int]]:
        """New token ids of each row, cut after its end token or at its own limit."""
        import torch
        from transformers import GenerationConfig, LogitsProcessorList, StoppingCriteriaList

        device = self.model.device
        width, most = max(len(row.prompt) for row in rows), max(row.most for row in rows)
        ids = torch.tensor([[self._pad] * (width - len(row.prompt)) + row.prompt for row in rows])  # (R, P)
        mask = torch.tensor([[0] * (width - len(row.prompt)) + [1] * len(row.prompt) for row in rows])  # (R, P)
        limits = torch.tensor([row.most for row in rows], device=device)  # (R,)
        processors = LogitsProcessorList()
        if self.options.temperature > 0:
            seeds = [row.seed for row in rows]
            processors.append(GumbelSampler(seeds, self.options.temperature, self.options.top_p, device))
        written: torch.Tensor = self.model.generate(  # (R, P + C)
            input_ids=ids.to(device),
            attention_mask=mask.to(device),
            generation_config=GenerationConfig(
                max_new_tokens=most, do_sample=False, eos_token_id=self._ends or None, pad_token_id=self._pad
            ),
            logits_processor=processors,
            stopping_criteria=StoppingCriteriaList([OwnLimits(limits, width)]),
        )
        return [self._cut(new, row.most) for new, row in zip(written[:, width:].tolist(), rows, strict=True)]

    def _cut(self, ids: list[int], most: int) -> list[int]:
        ends = (at for at, token in enumerate(ids[:most], start=1) if token in self._ends)
        return ids[: next(ends, most)]

    def _generation(self, row: Row, ids: list[int]) -> Generation:
        text = self._fast.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        finish = Finish.STOP if ids and ids[-1] in self._ends else Finish.LENGTH
        return Generation(text, finish, prompt_tokens=len(row.prompt), new_tokens=len(ids))


def _tokenizer(options: Options) -> Any:
    if options.model != TINY:
        return load_tokenizer(options.model)
    words = plugins.load("tasks", "stream").VOCABULARY  # it can say what the closed style of `stream` says
    return tiny.build_tokenizer((*tiny.MARKS, *words))


def _model(options: Options, fast: Any) -> Any:
    import torch

    if options.model == TINY:
        return tiny.build_model(fast, seed=0).to(torch.bfloat16 if options.dtype == "bfloat16" else torch.float32)
    return load_model(options.model, options.dtype)


def _ends(model: Any, tokenizer: Any) -> list[int]:
    """Every token that ends a turn: instruct models name one in the tokenizer and others in their configs."""
    named = (model.generation_config.eos_token_id, model.config.get_text_config().eos_token_id, tokenizer.eos_token_id)
    ends: set[int] = set()
    for ids in named:
        ends |= set(ids if isinstance(ids, list) else [] if ids is None else [ids])
    return sorted(ends)
