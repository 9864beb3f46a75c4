"""What the responses of OpenAI-compatible servers mean."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from atommem_cli.types import Finish

_OVERFLOWS = (
    "context_length_exceeded",  # OpenAI
    "maximum context length",  # OpenAI, vLLM, SGLang
    "maximum model length",  # vLLM
    "model's context length",  # SGLang
    "exceed_context_size",  # llama.cpp
    "available context size",  # llama.cpp
    "exceed context window",  # llama-cpp-python
    "exceeds the context",  # Ollama
)
"""Wordings, in lower case."""


@dataclass(frozen=True, slots=True)
class Completion:
    """One reply as the server gives it."""

    text: str
    finish: Finish
    prompt_tokens: int | None
    """None where the server does not count."""
    new_tokens: int | None


def read(body: str) -> Completion | None:
    """The reply in a response's body; None if it holds none. Reasoning that comes apart is left out."""
    try:
        data = json.loads(body)
        choice = data["choices"][0]
        text, finish = choice["message"]["content"], choice.get("finish_reason")
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None
    if text is None and finish:
        text = ""  # all of it was reasoning
    if not isinstance(text, str):
        return None
    return Completion(
        text,
        Finish.LENGTH if finish == "length" else Finish.STOP,
        _count(data, "prompt_tokens"),
        _count(data, "completion_tokens"),
    )


def overflows(body: str) -> bool:
    """Whether an error says that the prompt is too long; llama.cpp says so with status 200, too."""
    return any(wording in body.lower() for wording in _OVERFLOWS)


def _count(data: dict[str, Any], key: str) -> int | None:
    usage = data.get("usage")
    count = usage.get(key) if isinstance(usage, dict) else None
    return count if isinstance(count, int) and count >= 0 else None
