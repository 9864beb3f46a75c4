"""What every client of an OpenAI-compatible server needs: a clean URL, what an error means, when to try again."""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Annotated

from pydantic import AfterValidator

if TYPE_CHECKING:
    import tenacity

_FIRST_WAIT, _LONGEST_WAIT = 0.5, 60.0
"""Seconds: before retry n we wait about 0.5 * 2^n."""
_PASSING = frozenset({408, 409, 425, 429})
"""Statuses below 500 that may pass."""


def _bare(url: str) -> str:
    if not url.startswith(("http://", "https://")):
        raise ValueError("begins with http:// or https://")
    if "@" in url or "?" in url:
        raise ValueError("holds no key or password; put the key into the environment (key_env)")
    return url.rstrip("/")


ServerUrl = Annotated[str, AfterValidator(_bare)]
"""Up to and including `/v1`; without a key."""


class PassingError(Exception):
    """A failure that may pass."""

    def __init__(self, sentence: str, after: float = 0.0) -> None:
        super().__init__(sentence)
        self.after = after
        """Seconds that the server asks us to wait."""


def said(body: str) -> str:
    """The message in an error response, or the beginning of whatever came."""
    try:
        error = json.loads(body)["error"]
        return str(error["message"] if isinstance(error, dict) else error)
    except (ValueError, LookupError, TypeError, RecursionError):
        return body


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
