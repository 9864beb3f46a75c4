"""Replies to mem0's one call that adds, as mem0ai 2.2.1 reads them (`_add_to_vector_store`), or leniently."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from atommem_cli.agents import _edits
from atommem_cli.agents import _json_reply as replies
from atommem_cli.core.types import MemoryOp, OpKind, Outcome

KEY = "memory"
_FENCE = re.compile(r"```[a-zA-Z0-9]*\n")
_BLOCK = re.compile(r"```(?:json)?")


def written(ops: Sequence[MemoryOp]) -> str:
    """The reply that means these additions."""
    return replies.dumped({KEY: [{"id": str(number), "text": op.text} for number, op in enumerate(ops)]})


def lenient(said: str) -> tuple[MemoryOp, ...]:
    """The additions of a reply: texts, or objects that hold one, whatever stands around their list."""
    return _edits.facts_read(said, KEY)


def strict(said: str) -> tuple[MemoryOp, ...]:
    """The additions of a reply, as Creates. What the library breaks off at, and then adds nothing, is one that is
    MALFORMED; what it passes over is left out, and so is all of a reply that is no JSON.
    """
    found = _parsed(_unfenced(said.strip()))
    told = found.get(KEY) if isinstance(found, dict) else None
    if not told:
        return ()
    if not isinstance(told, list):
        return (_broken(told),)
    ops = []
    for item in told:
        if not isinstance(item, dict):
            ops.append(_broken(item))
            continue
        text = item.get("text")
        if isinstance(text, str) and text.strip():
            ops.append(MemoryOp(OpKind.CREATE, text.strip()))
        elif isinstance(text, (list, dict)) and text:
            ops.append(_broken(item))
    return tuple(ops)


def _broken(item: Any) -> MemoryOp:
    return MemoryOp(OpKind.CREATE, replies.raw(item), defect=Outcome.MALFORMED)


def _unfenced(said: str) -> str:
    """What is in the code block, where the reply is one and nothing else."""
    fence = _FENCE.match(said)
    if fence and said.endswith("\n```") and len(said) >= fence.end() + 4:
        return said[fence.end() : -4].strip()
    return said


def _parsed(said: str) -> Any:
    """The reply as JSON: as a whole, or else its first code block, or else from its first brace to its last."""
    try:
        return json.loads(said, strict=False)
    except json.JSONDecodeError:
        pass
    except (ValueError, RecursionError):
        return None
    try:
        return json.loads(_inside(said), strict=False)
    except (ValueError, RecursionError):
        return None


def _inside(said: str) -> str:
    block = _BLOCK.search(said)
    end = said.find("```", block.end()) if block else -1
    if block and end >= 0:
        return said[block.end() : end].strip()
    first, last = said.find("{"), said.rfind("}")
    return said[first : last + 1] if 0 <= first < last else said
