"""Rounds of a context, and the messages that a span of Summary means."""

from __future__ import annotations

import re
from collections.abc import Sequence

from atommem_cli.core.context import ContextMessage

_RANGE = re.compile(r"\s*([0-9]{1,9})\s*(?:-\s*([0-9]{1,9})\s*)?")
_ALL = ("all", "full")
"""The paper says one and writes the other in an example (papers.md 2.1)."""


def editable(entries: Sequence[ContextMessage], reply: int) -> list[ContextMessage]:
    """What a tool may take out: all but instructions and the reply that calls it.

    Args:
        reply: its id.
    """
    return [entry for entry in entries if entry.message.role != "system" and entry.id != reply]


def spanned(span: str, entries: Sequence[ContextMessage]) -> tuple[int, ...] | None:
    """Ids of the messages that a span means; None where it means nothing.

    A round ends with a reply; the last one is under way. "all"; "2", the last two rounds; "3-7", these, from 1.

    Args:
        entries: as `editable` gives them.
    """
    if span.strip().casefold() in _ALL:
        return tuple(entry.id for entry in entries)
    found = _RANGE.fullmatch(span)
    if found is None:
        return None
    rounds: list[list[int]] = [[]]
    for entry in entries:
        rounds[-1].append(entry.id)
        if entry.message.role == "assistant":
            rounds.append([])
    rounds = [one for one in rounds if one]
    first, last = int(found[1]), int(found[2] or 0)
    chosen = rounds[first - 1 : last] if found[2] and first else rounds[max(0, len(rounds) - first) :] if first else []
    return tuple(number for one in chosen for number in one)
