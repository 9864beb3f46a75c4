"""Readers that lose what they read, each in one way: yardsticks for what `why` and the hygiene of a run say.

Both answer what their prompt proves, as the oracle does.
"""

from __future__ import annotations

from atommem_cli.core.calls import Expects, Observation
from atommem_cli.core.episode import Episode
from atommem_cli.core.types import CONTEXT_OPS, MemoryOp, OpKind
from atommem_cli.policies._oracle import said, visible_answer


def amnesiac(episode: Episode, observation: Observation) -> str:
    """It never writes anything down."""
    return _answer(episode, observation) or episode.agent.write(observation.expects, [])


def wiper(episode: Episode, observation: Observation) -> str:
    """It never writes anything down, and takes every message out of its context as soon as it has read it: by Filter
    those of chunks with an even index, by Summary the others. Without a context it is `amnesiac`."""
    kinds = {*CONTEXT_OPS} & {*episode.agent.operations} - episode.memory.dropped
    there = tuple(entry.id for entry in episode.context.entries if entry.message.role != "system")
    if observation.question is not None or not there or not kinds & {OpKind.FILTER, OpKind.SUMMARIZE}:
        return amnesiac(episode, observation)
    by_filter = OpKind.FILTER in kinds and ((observation.chunk or 0) % 2 == 0 or OpKind.SUMMARIZE not in kinds)
    op = MemoryOp(OpKind.FILTER, targets=there) if by_filter else MemoryOp(OpKind.SUMMARIZE, "none", targets=there)
    return episode.agent.write(observation.expects, [op])


def _answer(episode: Episode, observation: Observation) -> str:
    if observation.expects is not Expects.ANSWER or observation.question is None:
        return ""
    question = episode.task.questions[observation.question]
    shown = visible_answer(question, said(observation), episode.task.documents)
    return episode.agent.write(Expects.ANSWER, [], shown)
