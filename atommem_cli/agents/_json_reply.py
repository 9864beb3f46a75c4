"""JSON in replies, read leniently and in linear time: what cannot be read is nothing, and nothing raises."""

from __future__ import annotations

import json
import re
from typing import Any

from atommem_cli.core import thoughts
from atommem_cli.core.types import MemoryOp, OpKind

_TRIES = 8
"""Brackets that are tried as the beginning of a value."""
_BRACKET = re.compile(r"[\[{]")
_NUMBER = re.compile(r"-?[0-9]{1,9}(?:\.[0-9]{1,9})?")
_DIGITS = re.compile(r"[0-9]{1,9}")
_DECODER = json.JSONDecoder(strict=False)


def said(reply: str, marks: thoughts.Marks) -> str:
    """The reply without its thoughts."""
    return thoughts.split(reply, marks).said if thoughts.marked(reply, marks) else reply


def value(text: str, key: str = "") -> Any:
    """The first array or object in a text, whatever stands around it; None where there is none that is whole.

    Args:
        key: if one of them is an object that has it, that one.
    """
    found = None
    for _, bracket in zip(range(_TRIES), _BRACKET.finditer(text), strict=False):
        try:
            read = _DECODER.raw_decode(text, bracket.start())[0]
        except (ValueError, RecursionError):
            continue
        if not key or (isinstance(read, dict) and key in read):
            return read
        found = read if found is None else found
    return found


def items(text: str, key: str) -> list[Any]:
    """The list of a reply: what stands under `key` in its object, or its array itself; empty where there is neither."""
    found = value(text, key)
    if isinstance(found, dict):
        found = found.get(key)
    return found if isinstance(found, list) else []


def texts(values: list[Any]) -> list[str]:
    """The texts of a list, without what is none and what is blank."""
    return [one.strip() for one in values if isinstance(one, str) and one.strip()]


def number(value: Any) -> int | None:
    """A whole number of up to nine digits, 0 or above, which may stand in a text; None for anything else."""
    if isinstance(value, str) and _DIGITS.fullmatch(value.strip()):
        return int(value.strip())
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**9 else None


def choice(values: list[Any]) -> tuple[MemoryOp, ...]:
    """The numbers of a list from 1 up, each once, in order, as a reply to a CHOICE means them."""
    found = dict.fromkeys(map(number, values))
    return tuple(MemoryOp(OpKind.READ, target=one) for one in found if one)


def rating(text: str, low: float, high: float) -> float | None:
    """The first number of a text, moved into a range; None where there is none."""
    found = _NUMBER.search(text)
    return None if found is None else min(max(float(found[0]), low), high)


def raw(content: Any) -> str:
    """What was read, as a text again."""
    try:
        return dumped(content)
    except RecursionError:
        return ""


def dumped(content: Any) -> str:
    """Content as a script would reply it."""
    return json.dumps(content, ensure_ascii=False)
