"""Where in its episode each step belongs: to which chunk, and to which stage.

Stages are those of agents that clear their context in between (AgeMem): 1 before the context is cleared, 2 after it or
where distractors are read, 3 from the first question on. A training may play some of the stages alone
(`grpo.curriculum`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from atommem_cli.core.episode import Agent
from atommem_cli.core.types import OpKind, Outcome


def staged(agent: Agent) -> bool:
    """Whether an agent has stages."""
    return OpKind.CLEAR in agent.operations


def numbered(lines: Iterable[Mapping[str, Any]], late: Collection[int]) -> Iterator[int]:
    """The stage of every step.

    Args:
        lines: of `steps.jsonl`, those of one episode, by step.
        late: chunks of distractors; nothing where the tasks are gone.
    """
    stage = 1
    for line in lines:
        if line.get("question") is not None:
            stage = 3
        elif line.get("chunk") in late:
            stage = 2
        yield stage
        if stage == 1 and any(_clears(op) for op in line["ops"]):
            stage = 2


def chunks(lines: Iterable[Mapping[str, Any]]) -> Iterator[int | None]:
    """The chunk that every step belongs to: its own, or the last one, where it shows none (Mem0 on the facts of one).

    None before the first chunk, and from the first question on.

    Args:
        lines: of `steps.jsonl`, those of one episode, by step.
    """
    last, asked = None, False
    for line in lines:
        asked = asked or line.get("question") is not None
        if line.get("chunk") is not None:
            last = line["chunk"]
        yield None if asked else last


def _clears(op: Mapping[str, Any]) -> bool:
    return bool((op["kind"], op["outcome"]) == (OpKind.CLEAR, Outcome.OK))
