"""Chat templates: how messages are rendered, and how a model is told of tools."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from atommem_cli.core.calls import Tool
from atommem_cli.core.errors import UsageError

_TODAY = (
    "{% macro strftime_now(format) %}"
    "{{ {'%d %b %Y': '26 Jul 2024', '%Y-%m-%d': '2024-07-26'}.get(format, '26 July 2024') }}"
    "{% endmacro %}"
)
"""Put before templates that ask for the date (Llama 3's own default): a prompt must not change overnight."""


class ToolTemplate:
    """How a model is told of tools; some tokenizers have a template of its own for that."""

    def __init__(self, tokenizer: Any, name: str, *, thinking: bool) -> None:
        """
        Raises:
            UsageError: the template shows no tools, not what came of calls, or calls in a form that is not read.
        """
        from jinja2 import TemplateError

        probe = Tool("probed", "Looks.", '{"type": "object", "properties": {}}')
        self._tokenizer, self._thinking = tokenizer, thinking
        self._template = dated(tokenizer.get_chat_template(tools=[probe.function]))
        asked, called = {"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}
        try:
            if probe.name not in self.render([asked], [probe]):
                raise UsageError(
                    f"the chat template of {name} shows no tools: set agent.calling=text, or take a model whose "
                    "template has them"
                )
            told = self.render([asked, called, {"role": "tool", "content": "found"}], [probe])
        except TemplateError:
            told = "found"  # it is shown as a message of the user's
        if "found" not in told:
            raise UsageError(f"the chat template of {name} leaves out what tools have found: set agent.calling=text")
        if not self._writes_json(asked, probe):
            raise UsageError(
                f"the chat template of {name} writes calls in a form that is not read (no JSON of name and arguments): "
                "set agent.calling=text, or ask it behind a server with its tool parser"
            )
        added = set(tokenizer.added_tokens_decoder) - {tokenizer.unk_token_id}
        self.marks = {*tokenizer(told, add_special_tokens=False, verbose=False)["input_ids"]} & added
        """Ids of its marks, those of tools among them."""

    def _writes_json(self, asked: dict[str, Any], tool: Tool) -> bool:
        """Whether a call is shown as an object of JSON that has its name, as far as the template shows calls at all."""
        from jinja2 import TemplateError

        call = {"id": "000000000", "type": "function", "function": {"name": "called", "arguments": {"at": "x"}}}
        try:
            told = self.render([asked, {"role": "assistant", "content": "", "tool_calls": [call]}], [tool])
        except TemplateError:
            return True
        return "called" not in told or re.search(r'"name"\s*:\s*"called"', told) is not None

    def render(self, turns: Sequence[dict[str, Any]], tools: Sequence[Tool]) -> str:
        """The text of a prompt; each result under nine digits, as the strictest of templates (Mistral) wants them."""
        told = [
            {**turn, "tool_call_id": f"{at:09d}"} if turn["role"] == "tool" else turn for at, turn in enumerate(turns)
        ]
        functions = [tool.function for tool in tools]
        return rendered(self._tokenizer, self._template, self._thinking, told, tools=functions)


def dated(template: str) -> str:
    """The template, for which it is always the same day."""
    return _TODAY + template if "strftime_now" in template else template


def rendered(tokenizer: Any, template: str, thinking: bool, turns: Sequence[dict[str, Any]], **more: Any) -> str:
    """The text of a prompt, up to where the reply begins."""
    text: str = tokenizer.apply_chat_template(
        turns,
        chat_template=template,
        add_generation_prompt=True,
        tokenize=False,
        enable_thinking=thinking,
        **more,
    )
    return text
