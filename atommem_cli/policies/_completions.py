"""What the responses of OpenAI-compatible chat servers hold: a reply, or something in its place."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from atommem_cli.core import tool_calls
from atommem_cli.core.calls import Finish
from atommem_cli.core.tool_calls import ToolCall

# Finish reasons in lower case, of all servers.
_STOPS = re.compile(r"stop(_sequence|_token)?|eos(_token)?|endoftext|end(_of)?(_turn)?|completed?|done|finished")
_LENGTHS = re.compile(
    r"length|max_(length|(new_|output_|completion_)?tokens)|model_length|token_limit|model_context_window_exceeded"
)
_FILTERS = re.compile(
    r"content[_-]?filter(ed)?|refus(al|ed)|(image_)?safety|recitation|blocklist|blocked|prohibited_content|spii"
    r"|sensitive|guardrail_intervened|moderation|policy_violation|error_toxic"
)
_FAILURES = re.compile(
    r"error|failed|failure|abort(ed)?|cancell?ed|timeout|(network|server|internal)_error|unavailable|overloaded"
    r"|interrupted|insufficient_system_resource"
)
_TOOLS = re.compile(r"tool_calls?|tool_use|function_call")
_THOUGHTS = ("reasoning_content", "reasoning", "thinking", "reasoning_details", "thinking_blocks", "thought")


@dataclass(frozen=True, slots=True)
class Completion:
    """What came in the place of the reply."""

    text: str
    finish: Finish
    """ERROR: there is no reply, and another attempt would bring none."""
    prompt_tokens: int | None
    """None where the server does not count."""
    new_tokens: int | None
    error: str = ""
    """What is wrong, where `finish` is OTHER, FILTERED or ERROR."""


def read(body: str, *, tools: bool = False) -> Completion | None:
    """The reply in a response's body; None where it holds none, but an error or something else.

    Reasoning that comes apart is left out; text that comes in parts is joined.

    Args:
        tools: whether the request held tools; calls of them then stand in the text, see `core.tool_calls`.
    """
    try:
        data = json.loads(body)
        choice = data["choices"][0]
        message, ending = choice["message"], choice.get("finish_reason")
        text, refusal = _text(message.get("content")), message.get("refusal")
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None
    if text is None or data.get("error") or (choice.get("error") and not text):
        return None
    if tools:
        text = tool_calls.write(text, _called(message))
    reason = str(ending or "").rpartition(".")[2].strip().lower()
    counts = _count(data, "prompt_tokens"), _count(data, "completion_tokens")
    if _FAILURES.fullmatch(reason) or (not reason and not text and not refusal):
        return None
    if _FILTERS.fullmatch(reason):
        return Completion(text, Finish.FILTERED, *counts, f"the provider withheld the reply ({reason}) {refusal or ''}")
    if refusal and not text:
        return Completion("", Finish.FILTERED, *counts, f"the reply is a refusal: {refusal}")
    if _LENGTHS.fullmatch(reason):
        return Completion(text, Finish.LENGTH, *counts)
    missing = "" if text else _elsewhere(message)
    if tools and _TOOLS.fullmatch(reason):
        return Completion(text, Finish.STOP, *counts)
    if _TOOLS.fullmatch(reason) or missing == "tool_calls":
        error = "the reply was taken for a tool call: start the server without a tool parser (vLLM: --tool-call-parser)"
        return Completion("", Finish.ERROR, *counts, error)
    if missing:
        error = (
            f"the reply is empty and all text stands in the field {missing}: start the server without its reasoning "
            "parser (vLLM, SGLang: --reasoning-parser), or turn thinking off (thinking: false)"
        )
        return Completion("", Finish.ERROR, *counts, error)
    if _STOPS.fullmatch(reason) or not reason:
        return Completion(text, Finish.STOP, *counts)
    error = f"the reply ended for a reason that is not known: {reason}"
    return Completion(text, Finish.OTHER, *counts, error) if text else None


def ending(body: str) -> str:
    """The finish reason of a response that holds no reply; empty where there is none."""
    try:
        return str(json.loads(body)["choices"][0].get("finish_reason") or "")
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return ""


def _text(content: object) -> str | None:
    """The text of a message's content; None where it is none."""
    if content is None or isinstance(content, str):
        return content or ""
    if not isinstance(content, list):
        return None
    parts = [part for part in content if isinstance(part, dict) and part.get("type") in ("text", "output_text")]
    texts = [part.get("text") for part in parts]
    return "".join(text for text in texts if isinstance(text, str))


def _called(message: dict[str, Any]) -> list[ToolCall]:
    """The calls of a message, whatever they hold."""
    legacy = message.get("function_call")
    found = message.get("tool_calls") or ([{"function": legacy}] if legacy else [])
    return [_call(one) for one in (found if isinstance(found, list) else [found])]


def _call(value: Any) -> ToolCall:
    function = value.get("function") if isinstance(value, dict) else None
    if not isinstance(function, dict):
        return ToolCall(None, value)
    arguments = function.get("arguments")
    if isinstance(arguments, str):
        with suppress(ValueError, RecursionError):  # the agent says what is wrong with it
            arguments = json.loads(arguments or "{}")
    return ToolCall(function.get("name"), {} if arguments is None else arguments)


def _elsewhere(message: dict[str, Any]) -> str:
    """The field that holds what the content does not; empty where nothing does."""
    fields = ("tool_calls", "function_call", *_THOUGHTS)
    found = next((name for name in fields if str(message.get(name) or "").strip()), "")
    if not found and isinstance(message.get("content"), list) and message["content"]:
        found = "content, as thoughts"
    return "tool_calls" if found == "function_call" else found


def _count(data: dict[str, Any], key: str) -> int | None:
    usage = data.get("usage")
    count = usage.get(key) if isinstance(usage, dict) else None
    return count if isinstance(count, int) and count >= 0 else None
