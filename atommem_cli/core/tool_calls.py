"""Calls of tools that come apart from the text of a reply, as one text, and back again.

A journal holds a reply as a text, and an agent parses one. Where a server returns calls in a field of their own, they
are written behind what was said as the models of the Hermes and Qwen families write them themselves:

    <tool_call>
    {"name": "Add_memory", "arguments": {"content": "Ada lives in Velt."}}
    </tool_call>

so that replies of a model in this process and of a server are parsed, trained and replayed alike.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from atommem_cli.core.calls import Message

OPEN, CLOSE = "<tool_call>", "</tool_call>"
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


class ToolCall(NamedTuple):
    """One call, as somebody wrote it: nothing in it need make sense."""

    name: Any
    arguments: Any
    """A JSON value; a text where what came was no JSON."""


def write(said: str, calls: Sequence[ToolCall]) -> str:
    """One reply: what was said, then the calls."""
    return "\n".join([*([said] if said.strip() else []), *map(_written, calls)])


def _written(call: ToolCall) -> str:
    try:
        told = json.dumps({"name": call.name, "arguments": call.arguments}, ensure_ascii=False)
    except RecursionError:  # nested without end
        told = json.dumps({"name": str(call.name)[:40], "arguments": ""})
    sealed = told.replace("</", r"<\/")  # no text within a call ends it
    return f"{OPEN}\n{sealed}\n{CLOSE}"


def read(text: str) -> tuple[str, list[ToolCall]]:
    """What a reply says, and its calls: of `write`, the inverse, where servers take all calls: arguments are an object,
    and the name has no odd characters. Else all of it is said."""
    said, calls, at = [], [], 0
    while (start := text.find(OPEN, at)) >= 0:
        end = text.find(CLOSE, start)
        call = _call(text[start + len(OPEN) : end]) if end >= 0 else None
        if call is None:
            return text, []
        said.append(text[at:start])
        calls.append(call)
        at = end + len(CLOSE)
    return ("".join([*said, text[at:]]).strip(), calls) if calls else (text, [])


def _call(block: str) -> ToolCall | None:
    try:
        found = json.loads(block)
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict) or found.keys() != {"name", "arguments"}:
        return None
    sound = isinstance(found["name"], str) and _NAME.fullmatch(found["name"]) and isinstance(found["arguments"], dict)
    return ToolCall(found["name"], found["arguments"]) if sound else None


def turns(messages: Sequence[Message]) -> list[dict[str, Any]]:
    """Messages as a server takes them: calls in their field, each result under the id of its call.

    Ids are places in the conversation: nine digits, as the strictest of servers (Mistral) wants them. Calls and results
    that do not stand side by side one to one, after a Filter for instance, are told as texts: servers refuse them
    otherwise.
    """
    made: list[dict[str, Any]] = []
    for at, message, results in _rounds(messages):
        said, calls = read(message.content) if message.role == "assistant" else (message.content, [])
        if calls and len(calls) == len(results):
            ids = [f"{at:05d}{number:04d}"[-9:] for number in range(len(calls))]
            made.append({"role": "assistant", "content": said, "tool_calls": list(map(_sent, ids, calls))})
            made += [
                {"role": "tool", "tool_call_id": name, "content": result.content}
                for name, result in zip(ids, results, strict=True)
            ]
        else:
            made.append({"role": _plain(message.role), "content": message.content})
            made += [{"role": "user", "content": result.content} for result in results]
    return made


def _rounds(messages: Sequence[Message]) -> Iterator[tuple[int, Message, list[Message]]]:
    """Each message with its place, and with the results that follow it directly."""
    at = 0
    while at < len(messages):
        end = at + 1
        while end < len(messages) and messages[end].role == "tool":
            end += 1
        yield at, messages[at], list(messages[at + 1 : end])
        at = end


def _plain(role: str) -> str:
    return "user" if role == "tool" else role


def _sent(name: str, call: ToolCall) -> dict[str, Any]:
    given = json.dumps(call.arguments, ensure_ascii=False)
    return {"id": name, "type": "function", "function": {"name": call.name, "arguments": given}}
