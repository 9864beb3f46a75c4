"""Prompts and replies as the token ids of one model, with or without its weights."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from atommem_cli.config import plugins
from atommem_cli.core.calls import Finish
from atommem_cli.core.errors import UsageError
from atommem_cli.core.types import Transition
from atommem_cli.models.chat import Chat
from atommem_cli.models.generation import end_tokens
from atommem_cli.models.loading import context_window, load_config, load_tokenizer, loading
from atommem_cli.training.learners import Learner

if TYPE_CHECKING:
    from atommem_cli.policies.hf import Options


@dataclass(frozen=True, slots=True)
class Words:
    """What turns steps into tokens."""

    tokenizer: Any
    chat: Chat
    ends: tuple[int, ...]
    """Ids of the tokens that end a reply."""
    window: int | None
    """Tokens of prompt and reply together; None where it is not known."""
    end: int
    """Id of the token that the chat template puts after a reply."""

    def prompt(self, step: Transition) -> list[int]:
        """What the policy was given; the same ids as in evaluation and in GRPO."""
        return self.chat.prompt(step.observation.messages)

    def completion(self, step: Transition) -> list[int]:
        """What the policy would have had to write: the reply and, unless it was cut off, the end of the turn."""
        ids = self.chat.reply(step.generation.text)
        return ids if step.generation.finish is Finish.LENGTH else [*ids, self.end]


def of(learner: Learner) -> Words:
    """The words of a model that is loaded.

    Raises:
        UsageError: nothing ends its replies.
    """
    return _words(learner.tokenizer, learner.chat, learner.turns.ends, learner.turns.window, learner.name)


def outline(options: Options) -> Words:
    """The same from a model's files; weights stay where they are.

    Raises:
        MissingExtra: the model is not there.
        UsageError: it has no chat template, or nothing ends its replies.
    """
    from transformers import GenerationConfig

    hf = plugins.load("policies", "hf")
    if options.model == hf.TINY:
        model, tokenizer, chat = hf.load(options)
    else:
        tokenizer = load_tokenizer(options.model)
        chat = Chat(tokenizer, options.model, thinking=options.thinking)
        config = load_config(options.model)
        with loading(options.model) as where:
            try:
                generation = GenerationConfig.from_pretrained(where)
            except OSError:  # not every model has one
                generation = GenerationConfig.from_model_config(config)
        model = SimpleNamespace(config=config, generation_config=generation)
    window = options.window or context_window(model.config)
    return _words(tokenizer, chat, end_tokens(model, tokenizer), window, options.model)


def _words(tokenizer: Any, chat: Chat, ends: list[int], window: int | None, name: str) -> Words:
    end = _end_of_turn(tokenizer, ends)
    if end is None:
        raise UsageError(
            f"policy.model: {name} names no token that ends a reply, so it could not learn to stop: "
            "set eos_token in its tokenizer_config.json"
        )
    return Words(tokenizer, chat, tuple(ends), window, end)


def _end_of_turn(tokenizer: Any, ends: list[int]) -> int | None:
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
