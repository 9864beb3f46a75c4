"""What an agent does for tasks of a size: how often it asks and looks up, before anything is played.

Plans count with it, and the contract of agents holds every agent to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from atommem_cli.core.types import Chunk, OpKind

if TYPE_CHECKING:
    from atommem_cli.core.episode import Agent


@dataclass(frozen=True, slots=True)
class Shape:
    """The size of one task, as it is cut."""

    chunks: int
    documents: int
    """Those of which a chunk shows something."""
    questions: int


@dataclass(frozen=True, slots=True)
class Workload:
    """What one episode takes, fewest and most, where no reply is asked again and no budget ends it."""

    calls: tuple[int, int]
    """Of models, helpers too."""
    retrievals: tuple[int, int]
    """Queries to the store or to an index of the agent's own, whoever makes them."""


@runtime_checkable
class Declares(Protocol):
    """An agent whose calls do not go by chunks alone."""

    def workload(self, shape: Shape, reply: int) -> Workload:
        """What one episode of that size takes.

        Args:
            reply: most tokens of a reply.
        """


def shape_of(chunks: Sequence[Chunk], questions: int) -> Shape:
    """The size of a task in these chunks."""
    return Shape(len(chunks), len({index for chunk in chunks for index in chunk.documents}), questions)


def workload_of(agent: Agent, shape: Shape, reply: int) -> Workload:
    """What an agent says of itself; for one that does not, what follows from its calls per chunk and its operations: a
    retrieval for each question, where it never asks about chunks, or else up to one for each call."""
    if isinstance(agent, Declares):
        return agent.workload(shape, reply)
    low = shape.chunks * agent.calls_per_chunk + shape.questions
    calls = low, low + getattr(agent, "spare_calls", 0)
    if OpKind.READ not in agent.operations:
        return Workload(calls, (0, 0))
    return Workload(calls, (0, calls[1]) if agent.calls_per_chunk else (shape.questions, shape.questions))
