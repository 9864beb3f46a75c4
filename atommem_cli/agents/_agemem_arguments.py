"""The arguments of AgeMem's six tools (papers.md 2.1): objects of JSON to operations."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from atommem_cli.agents._agemem_words import FAULT
from atommem_cli.core.types import MemoryOp, OpKind, Outcome

KIND = "memory_type"
TOP_K, SPAN = "top_k", "span"
"""Keys of further arguments in the metadata of an operation."""
WHERE = "metadata."
"""Likewise, before the keys of a filter by metadata."""
_ID = re.compile(r"#?([0-9]{1,9})")


class WrongArgument(Exception):
    """An argument is missing or of another type; the message says which."""


def _text(arguments: Mapping[str, Any], name: str) -> str:
    value = arguments.get(name)
    if not isinstance(value, str):
        raise WrongArgument(f"{name} is a text")
    return value


def _number(arguments: Mapping[str, Any], name: str) -> int:
    value = arguments.get(name)
    found = _ID.fullmatch(value.strip()) if isinstance(value, str) else None
    if found is not None:
        return int(found[1])
    if type(value) is not int:
        raise WrongArgument(f"{name} is a whole number")
    return value


def _pairs(arguments: Mapping[str, Any], name: str) -> dict[str, str]:
    value = arguments.get(name)
    if value is not None and not isinstance(value, dict):
        raise WrongArgument(f"{name} is an object")
    return {key: one if isinstance(one, str) else json.dumps(one) for key, one in (value or {}).items()}


def _messages(arguments: Mapping[str, Any]) -> tuple[int, ...]:
    value = arguments.get("messages", [])
    if not isinstance(value, list) or any(type(one) is not int for one in value):
        raise WrongArgument("messages are whole numbers")
    return tuple(value)


def _kept(arguments: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    meta = _pairs(arguments, "metadata")
    meta |= {KIND: _text(arguments, KIND)} if arguments.get(KIND) is not None else {}
    return tuple(meta.items())


def _create(arguments: Mapping[str, Any]) -> MemoryOp:
    return MemoryOp(OpKind.CREATE, _text(arguments, "content"), meta=_kept(arguments))


def _update(arguments: Mapping[str, Any]) -> MemoryOp:
    content, target = _text(arguments, "content"), _number(arguments, "memory_id")
    return MemoryOp(OpKind.UPDATE, content, target, meta=_kept(arguments))


def _delete(arguments: Mapping[str, Any]) -> MemoryOp:
    target = _number(arguments, "memory_id")
    sure = arguments.get("confirmation", arguments.get("confirmed"))  # the paper's examples have the other word
    if not isinstance(sure, bool):
        raise WrongArgument("confirmation is true or false")
    fault = () if sure else ((FAULT, "not confirmed"),)
    return MemoryOp(OpKind.DELETE, target=target, defect=None if sure else Outcome.NOOP, meta=fault)


def _retrieve(arguments: Mapping[str, Any]) -> MemoryOp:
    meta = {WHERE + key: value for key, value in _pairs(arguments, "metadata_filter").items()}
    if arguments.get(TOP_K) is not None:
        most = _number(arguments, TOP_K)
        if most < 1:
            raise WrongArgument(f"{TOP_K} is at least 1")
        meta[TOP_K] = str(most)
    return MemoryOp(OpKind.READ, _text(arguments, "query"), meta=tuple(meta.items()))


def _summarize(arguments: Mapping[str, Any]) -> MemoryOp:
    messages, summary = _messages(arguments), arguments.get("summary", "")
    if not isinstance(summary, str):
        raise WrongArgument("summary is a text")
    if messages:
        return MemoryOp(OpKind.SUMMARIZE, summary, targets=messages)
    span = arguments.get(SPAN)
    if isinstance(span, bool) or not isinstance(span, str | int):
        raise WrongArgument(f'{SPAN} is "all", a number of rounds or a range of them')
    return MemoryOp(OpKind.SUMMARIZE, summary, meta=((SPAN, str(span)),))


def _filter(arguments: Mapping[str, Any]) -> MemoryOp:
    messages = _messages(arguments)
    criteria = arguments.get("criteria", "") if messages else _text(arguments, "criteria")
    if not isinstance(criteria, str):
        raise WrongArgument("criteria is a text")
    return MemoryOp(OpKind.FILTER, criteria, targets=messages)


READERS = {
    OpKind.CREATE: _create,
    OpKind.UPDATE: _update,
    OpKind.DELETE: _delete,
    OpKind.READ: _retrieve,
    OpKind.SUMMARIZE: _summarize,
    OpKind.FILTER: _filter,
}

"""How the arguments of each tool are read."""
