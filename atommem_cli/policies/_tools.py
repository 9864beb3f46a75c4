"""Tools in the requests of OpenAI-compatible servers: how they are told, and how one notices that they are not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from atommem_cli.core import tool_calls
from atommem_cli.core.calls import Observation
from atommem_cli.core.chunking import Tokenizer
from atommem_cli.models.chat import whole

MEND = "start it with its tool parser (llama.cpp: --jinja), take a model that has tools, or set agent.calling=text"


def messages(observation: Observation) -> list[dict[str, Any]]:
    """The messages of a request."""
    told = [replace(said, content=whole(said.content)) for said in observation.messages]
    return tool_calls.turns(told) if observation.tools else [{"role": m.role, "content": m.content} for m in told]


def dropped(observation: Observation, tokenizer: Tokenizer, counted: int) -> str:
    """What is wrong where a server has left out the tools without a word, as some do whose template knows none.

    Args:
        tokenizer: the model's own.
        counted: tokens of the prompt, as the server says.
    """
    bare = sum(len(tokenizer.spans(said.content)) for said in observation.messages)
    wanted = sum(len(tokenizer.spans(text)) for text in observation.texts)
    if counted >= bare + (wanted - bare) // 4:  # templates tell tools in fewer words than ours
        return ""
    return f"takes tools and does not show them to the model: it counts {counted} tokens where {wanted} are asked"
