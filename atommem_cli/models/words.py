"""What stands between a model and the harness: its tokenizer, chat template, end tokens and window; with its weights or
without them."""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any, Protocol

from atommem_cli.core.calls import Finish
from atommem_cli.core.errors import UsageError
from atommem_cli.core.stream_words import VOCABULARY
from atommem_cli.core.types import Transition
from atommem_cli.models import tiny
from atommem_cli.models.chat import Chat, OffsetTokenizer
from atommem_cli.models.loading import (
    context_window,
    digest_of_files,
    digest_of_tensors,
    load_config,
    load_model,
    load_tokenizer,
    loading,
    weight_files,
)


class Named(Protocol):
    """What a recipe says of a model that plays here; see the options of the policy `hf`."""

    @property
    def model(self) -> str:
        """`tiny`, `tiny_agemem`, a folder, or a hub id."""

    @property
    def init_seed(self) -> int:
        """Of the fresh weights of `tiny`."""

    @property
    def dtype(self) -> str:
        """As torch names it, or auto."""

    @property
    def thinking(self) -> bool:
        """Handed to the chat template."""

    @property
    def window(self) -> int | None:
        """In place of the model's own."""


@dataclass(frozen=True)
class Words:
    """What turns messages into tokens, and says where a reply ends."""

    name: str
    """Of the model, as a recipe gives it."""
    tokenizer: Any
    """The one of `transformers`."""
    chat: Chat
    ends: tuple[int, ...]
    """Ids of the tokens that end a reply."""
    window: int | None
    """Tokens of prompt and reply together; None where it is not known."""

    @functools.cached_property
    def end(self) -> int:
        """Id of the token that the chat template puts after a reply.

        Raises:
            UsageError: nothing ends its replies.
        """
        end = _end_of_turn(self.tokenizer, self.ends)
        if end is None:
            raise UsageError(
                f"policy.model: {self.name} names no token that ends a reply, so it could not learn to stop: "
                "set eos_token in its tokenizer_config.json"
            )
        return end

    @property
    def counter(self) -> OffsetTokenizer:
        """What chunks and budgets count with."""
        return OffsetTokenizer(self.tokenizer, self.name, self.chat.contents)

    def prompt(self, step: Transition) -> list[int]:
        """What the policy was given; the same ids as in evaluation and in GRPO. Earlier replies of a conversation stand
        there as this model would have written them, whoever did."""
        messages = step.observation.messages
        if step.observation.keep_tokens:
            messages = tuple(
                replace(message, tokens=(*self.chat.reply(message.content), self.end))
                if message.role == "assistant"
                else message
                for message in messages
            )
        return self.chat.prompt(messages, step.observation.tools)

    def completion(self, step: Transition) -> list[int]:
        """What the policy would have had to write: the reply and, unless it was cut off, the end of the turn."""
        ids = self.chat.reply(step.generation.text)
        return ids if step.generation.finish is Finish.LENGTH else [*ids, self.end]


def load(named: Named) -> tuple[Any, Words]:
    """The model (on the CPU) and its words; the template is checked before weights load.

    Raises:
        MissingExtra: the model is not there or cannot be loaded.
        Diverged: its weights are not finite.
        UsageError: its tokenizer has no chat template.
    """
    import torch

    tokenizer, chat = _asked(named)
    if named.model in tiny.VOCABULARIES:
        dtype = torch.bfloat16 if named.dtype == "bfloat16" else torch.float32
        model: Any = tiny.build_model(tokenizer, named.init_seed).to(dtype)
    else:
        model = load_model(named.model, named.dtype)
    return model, _words(named, tokenizer, chat, model)


def outline(named: Named) -> Words:
    """The same from a model's files; weights stay where they are.

    Raises:
        MissingExtra, UsageError: as `load`.
    """
    from transformers import GenerationConfig

    if named.model in tiny.VOCABULARIES:
        return load(named)[1]
    tokenizer, chat = _asked(named)
    config = load_config(named.model)
    with loading(named.model) as where:
        try:
            generation = GenerationConfig.from_pretrained(where)
        except OSError:  # not every model has one
            generation = GenerationConfig.from_model_config(config)
    return _words(named, tokenizer, chat, SimpleNamespace(config=config, generation_config=generation))


def counter(named: Named) -> OffsetTokenizer:
    """What counts its tokens, for which a model needs no chat template.

    Raises:
        MissingExtra: the model is not there.
    """
    tokenizer = tokenizer_of(named.model)
    contents = Chat(tokenizer, named.model, thinking=named.thinking).contents if tokenizer.chat_template else None
    return OffsetTokenizer(tokenizer, named.model, contents)


def window(named: Named) -> int | None:
    """Tokens of prompt and reply together that it takes; None where it is not known.

    Raises:
        MissingExtra: the model is not there.
    """
    if named.window or named.model in tiny.VOCABULARIES:
        return named.window or tiny.WINDOW
    return context_window(load_config(named.model))


def digest(name: str, model: Any) -> str:
    """sha256 of the weights, hexadecimal: of the model's files one after another, by name.

    Args:
        model: as it was loaded; read for `tiny`, which has no files.
    """
    return digest_of_tensors(model) if name in tiny.VOCABULARIES else digest_of_files(weight_files(name))


def tokenizer_of(name: str) -> Any:
    """The one of `transformers`, of a model by its name in recipes.

    Raises:
        MissingExtra: it is not there.
    """
    marks = tiny.VOCABULARIES.get(name)
    return load_tokenizer(name) if marks is None else tiny.build_tokenizer((*marks, *VOCABULARY))


def chat(named: Named) -> Chat:
    """Its chat template.

    Raises:
        MissingExtra: the model is not there.
        UsageError: its tokenizer has no chat template.
    """
    return _asked(named)[1]


def _asked(named: Named) -> tuple[Any, Chat]:
    tokenizer = tokenizer_of(named.model)
    return tokenizer, Chat(tokenizer, named.model, thinking=named.thinking)


def _words(named: Named, tokenizer: Any, chat: Chat, model: Any) -> Words:
    """
    Args:
        model: with its `config` and `generation_config`; no weights are looked at.
    """
    own = named.window or context_window(model.config)
    return Words(named.model, tokenizer, chat, tuple(_ends(model, tokenizer)), own)


def _ends(model: Any, tokenizer: Any) -> list[int]:
    """Every token that ends a turn: instruct models name one in the tokenizer and others in their configs."""
    named = (model.generation_config.eos_token_id, model.config.get_text_config().eos_token_id, tokenizer.eos_token_id)
    ends: set[int] = set()
    for ids in named:
        ends |= set(ids if isinstance(ids, list) else [] if ids is None else [ids])
    return sorted(ends)


def _end_of_turn(tokenizer: Any, ends: tuple[int, ...]) -> int | None:
    """The first token after an assistant's message that generation stops at; else the tokenizer's own."""
    from jinja2 import TemplateError

    said = "velt"
    turns = [{"role": "user", "content": "where"}, {"role": "assistant", "content": said}]
    own: int | None = tokenizer.eos_token_id
    try:
        text: str = tokenizer.apply_chat_template(turns, tokenize=False)
    except TemplateError:
        return own
    rest = text.rpartition(said)[2]
    after = tokenizer(rest, add_special_tokens=False, return_attention_mask=False)["input_ids"]
    return next((token for token in after if token in ends), own)
