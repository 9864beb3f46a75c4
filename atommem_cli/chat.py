"""Messages to prompt tokens."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from typing import Any

from atommem_cli.errors import UsageError
from atommem_cli.text import Span
from atommem_cli.types import Message

_SURROGATE = re.compile("[\ud800-\udfff]")
_TODAY = (
    "{% macro strftime_now(format) %}"
    "{{ {'%d %b %Y': '26 Jul 2024', '%Y-%m-%d': '2024-07-26'}.get(format, '26 July 2024') }}"
    "{% endmacro %}"
)
"""Put before templates that ask for the date (Llama 3's own default): a prompt must not change overnight."""


def whole(text: str) -> str:
    """The text with U+FFFD for lone surrogates, which no tokenizer and no server takes; lengths stay."""
    return _SURROGATE.sub("\ufffd", text)


class OffsetTokenizer:
    """A model's tokenizer as the chunker and the budgets want it (`text.Tokenizer`)."""

    def __init__(self, tokenizer: Any, name: str) -> None:
        self.name = name
        self._tokenizer = tokenizer

    def spans(self, text: str) -> Sequence[Span]:
        encoded = self._tokenizer(
            whole(text),
            add_special_tokens=False,
            return_attention_mask=False,
            return_offsets_mapping=True,
            verbose=False,  # a stream is longer than the window, that is the point
        )
        spans: list[Span] = encoded["offset_mapping"]
        return spans


class Chat:
    """A model's chat template."""

    def __init__(self, tokenizer: Any, name: str, *, thinking: bool) -> None:
        """
        Args:
            thinking: passed on as `enable_thinking`; templates that do not know it ignore it.

        Raises:
            UsageError: the tokenizer has no chat template.
        """
        if not tokenizer.chat_template:
            raise UsageError(
                f"the tokenizer of {name} has no chat template: "
                "name an instruct model, or put its template into the folder as chat_template.jinja"
            )
        template: str = tokenizer.get_chat_template()
        self.digest = hashlib.sha256(template.encode()).hexdigest()[:16]
        """sha256 of the template, 16 hexadecimal digits."""
        self._template = _TODAY + template if "strftime_now" in template else template
        self._tokenizer = tokenizer
        self._thinking = thinking
        self._takes_system = self._shows_system()

    def prompt(self, messages: Sequence[Message]) -> list[int]:
        """Token ids of the whole prompt, up to where the reply begins."""
        turns = [{"role": m.role, "content": whole(m.content)} for m in messages]
        if not self._takes_system:
            turns = without_system(turns)
        encoded = self._tokenizer(
            self._render(turns), add_special_tokens=False, return_attention_mask=False, verbose=False
        )
        ids: list[int] = encoded["input_ids"]
        return ids

    def _render(self, turns: Sequence[dict[str, str]]) -> str:
        rendered: str = self._tokenizer.apply_chat_template(
            turns,
            chat_template=self._template,
            add_generation_prompt=True,
            tokenize=False,
            enable_thinking=self._thinking,
        )
        return rendered

    def _shows_system(self) -> bool:
        """Whether a system message arrives: some templates refuse it (Gemma 2), others drop it."""
        from jinja2 import TemplateError

        try:
            return "shown" in self._render([{"role": "system", "content": "shown"}, {"role": "user", "content": "x"}])
        except TemplateError:
            return False


def without_system(turns: list[dict[str, str]]) -> list[dict[str, str]]:
    """A leading system message becomes the beginning of the message after it."""
    if len(turns) < 2 or turns[0]["role"] != "system":
        return turns
    first, second, *rest = turns
    return [{"role": second["role"], "content": f"{first['content']}\n\n{second['content']}"}, *rest]
