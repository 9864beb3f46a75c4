"""An agent in another one's place: all that it declares is the other's."""

from __future__ import annotations

from collections.abc import Sequence

from atommem_cli.core import components
from atommem_cli.core.calls import Expects
from atommem_cli.core.episode import Agent, addressing_of, embeds_of, helpers_of, shows_of
from atommem_cli.core.types import MemoryOp, OpKind


class Wrapped:
    """Base of agents that play another one, for one play."""

    def __init__(self, inner: Agent) -> None:
        self.calls_per_chunk = inner.calls_per_chunk
        self.reads_again = inner.reads_again
        self.operations: tuple[OpKind, ...] = inner.operations
        self.shows = shows_of(inner)
        self.addressing = addressing_of(inner)
        self.embeds = embeds_of(inner)
        self.helpers = helpers_of(inner)
        self.components = components.of(inner)
        self._inner = inner

    def write(self, expects: Expects, ops: Sequence[MemoryOp], answer: str | None = None) -> str:
        return self._inner.write(expects, ops, answer)

    def parse(self, expects: Expects, reply: str) -> tuple[MemoryOp, ...]:
        return self._inner.parse(expects, reply)

    def describe(self) -> dict[str, str]:
        return self._inner.describe()
