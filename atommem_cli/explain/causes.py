"""The causes of a miss by name, from the earliest stage to the last; what each means stands in `miss_causes`."""

from __future__ import annotations

from enum import StrEnum

from atommem_cli.core.types import OpKind, StopReason


class Cause(StrEnum):
    """Why a question was missed, or where a fact was lost; one each."""

    NOT_SHOWN = "never shown"
    NOT_WRITTEN = "shown, not written"
    NOT_STORED = "never stored in stage 1"
    FILTERED = "in the context, then filtered"
    SUMMARISED = "in the context, then summarised away"
    LOST = "written, then lost"
    NOT_RETRIEVED = "kept, not retrieved"
    CROWDED = "crowded out by noise"
    NOT_USED = "retrieved, not used"
    OUTDATED = "stale value believed"
    BELIEVED = "distractor believed"
    MISLED = "noise believed"
    MADE_UP = "made up"
    FORMAT = "format"
    BUDGET = "budget"
    WITHHELD = "withheld"
    FAILED = "call failed"
    UNTOLD = "no gold facts: cannot tell"


OCCASIONAL = (
    Cause.NOT_STORED,
    Cause.FILTERED,
    Cause.SUMMARISED,
    Cause.CROWDED,
    Cause.OUTDATED,
    Cause.BELIEVED,
    Cause.MISLED,
    Cause.MADE_UP,
)
"""Causes that only some agents, some tasks, or some stores have."""
OF_CONTEXT = {OpKind.FILTER: Cause.FILTERED, OpKind.SUMMARIZE: Cause.SUMMARISED}
"""What an operation on the conversation lost; no other agents have these causes."""
STOPPED = {
    StopReason.STEP_LIMIT: Cause.BUDGET,
    StopReason.BUDGET: Cause.BUDGET,
    StopReason.CONTEXT_OVERFLOW: Cause.BUDGET,
    StopReason.FILTERED: Cause.WITHHELD,
    StopReason.ERROR: Cause.FAILED,
}
"""Why a question has no answer, by what ended the episode before there was one."""
