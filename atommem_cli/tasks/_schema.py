"""Schemas of raw records, written as plain Python: `str`, `int`, `bool`, `[item]`, `{"field": ...}`."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any


class Mismatch(ValueError):
    """A value departs from its schema; the message names the field."""


def conform(value: Any, kind: Any, name: str = "") -> Any:
    """A value as its schema wants it: fields that the schema does not name are left out, numbers become text where
    text is wanted, and text that is a number becomes one where a number is wanted.

    Raises:
        Mismatch: it cannot be.
    """
    label = f"the field {name}" if name else "the record"
    if isinstance(kind, Mapping):
        if not isinstance(value, Mapping):
            raise Mismatch(f"{label} is {_shown(value)} and not an object with {' and '.join(kind)}")
        made = {}
        for key, inner in kind.items():
            inside = f"{name}.{key}" if name else key
            if value.get(key) is None:
                raise Mismatch(f"the field {inside} is missing")
            made[key] = conform(value[key], inner, inside)
        return made
    if isinstance(kind, list):
        if not isinstance(value, list):
            raise Mismatch(f"{label} is {_shown(value)} and not a list")
        return [conform(item, kind[0], f"{name}[]") for item in value]
    made = _scalar(value, kind)
    if made is None:
        raise Mismatch(f"{label} is {_shown(value)} and not {_WORDS[kind]}")
    if kind is str and not _whole(made):
        raise Mismatch(f"{label} holds half a character (a lone surrogate): {_shown(value)}")
    return made


def _scalar(value: Any, kind: type) -> Any:
    """A value as text, whole number or truth; None where it cannot be."""
    if kind is str:
        if isinstance(value, float) and not math.isfinite(value):
            return None
        return json.dumps(value) if isinstance(value, int | float) else value if isinstance(value, str) else None
    if kind is bool:
        if isinstance(value, str):
            return {"true": True, "false": False}.get(value.strip().lower())
        return bool(value) if isinstance(value, int) and value in (0, 1) else None
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = int(value)
    except (ValueError, OverflowError):
        return None
    return number if isinstance(value, str) or number == value else None


def _whole(text: str) -> bool:
    return not any("\ud800" <= letter <= "\udfff" for letter in text) if not text.isascii() else True


_WORDS = {str: "a string", int: "a whole number", bool: "true or false"}


def _shown(value: Any) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= 40 else f"{text[:40]}..."
