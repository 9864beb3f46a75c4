"""What the responses of OpenAI-compatible servers mean."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from atommem_cli.types import Finish

if TYPE_CHECKING:
    import tenacity

_FIRST_WAIT, _LONGEST_WAIT = 0.5, 60.0
"""Seconds: before retry n we wait about 0.5 * 2^n."""
_PASSING = frozenset({408, 409, 425, 429})
"""Statuses below 500 that may pass."""
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


class PassingError(Exception):
    """A failure that may pass."""

    def __init__(self, sentence: str, after: float = 0.0) -> None:
        super().__init__(sentence)
        self.after = after
        """Seconds that the server asks us to wait."""


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


def said(body: str) -> str:
    """The message in an error response, or the beginning of whatever came."""
    try:
        error = json.loads(body)["error"]
        return str(error["message"] if isinstance(error, dict) else error)
    except (ValueError, LookupError, TypeError, RecursionError):
        return body


def overflows(body: str) -> bool:
    """Whether an error says that the prompt is too long; llama.cpp says so with status 200, too."""
    return any(wording in body.lower() for wording in _OVERFLOWS)


def passes(status: int) -> bool:
    """Whether another attempt may succeed."""
    return status in _PASSING or status >= 500


def retry_after(header: str) -> float:
    """A Retry-After header, seconds or a date, as seconds from now, at most a minute; 0 for none."""
    try:
        if header[:1].isdigit():
            seconds = float(header)
        else:
            seconds = (parsedate_to_datetime(header) - datetime.now(UTC)).total_seconds()
    except (ValueError, TypeError):
        return 0.0
    return min(max(seconds, 0.0), _LONGEST_WAIT)


def pause(state: tenacity.RetryCallState) -> float:
    """Seconds before the next attempt: what the server asks for, and then at random, so that not all come at once."""
    error = state.outcome.exception() if state.outcome else None
    after = error.after if isinstance(error, PassingError) else 0.0
    longest = min(_LONGEST_WAIT, _FIRST_WAIT * 2.0 ** (state.attempt_number - 1))
    return after + longest * random.uniform(0.5, 1.0)


def _count(data: dict[str, Any], key: str) -> int | None:
    usage = data.get("usage")
    count = usage.get(key) if isinstance(usage, dict) else None
    return count if isinstance(count, int) and count >= 0 else None
