"""Schemas of raw records, written as plain Python: `str`, `int`, `bool`, `[item]`, `{"field": ...}`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


def feature(kind: Any) -> Any:
    """The same as a feature of `datasets`."""
    from datasets import List, Value

    if isinstance(kind, Mapping):
        return {name: feature(inner) for name, inner in kind.items()}
    if isinstance(kind, list):
        return List(feature(kind[0]))
    return Value({str: "string", int: "int64", bool: "bool"}[kind])


def mismatch(value: Any, kind: Any, name: str = "") -> str | None:
    """How a value departs from a schema, in words that name the field; None where it does not."""
    label = f"the field {name}" if name else "the record"
    if isinstance(kind, Mapping):
        if not isinstance(value, Mapping):
            wanted = " and ".join(kind)
            was = "a list, as on the data set's original site," if isinstance(value, list) else _shown(value)
            return f"{label} is {was} and not an object with {wanted} as on the hub"
        for key, inner in kind.items():
            inside = f"{name}.{key}" if name else key
            if value.get(key) is None:
                return f"the field {inside} is missing"
            if wrong := mismatch(value[key], inner, inside):
                return wrong
        return None
    if isinstance(kind, list):
        if not isinstance(value, list):
            return f"{label} is {_shown(value)} and not a list"
        return next((wrong for item in value if (wrong := mismatch(item, kind[0], f"{name}[]"))), None)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        return f"{label} is {_shown(value)} and not {_WORDS[kind]}"
    return None


_WORDS = {str: "a string", int: "a whole number", bool: "true or false"}


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 40 else f"{text[:40]}..."
