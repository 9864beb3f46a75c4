"""Statements of other `stream` worlds, for the distractors of a task."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from random import Random

from atommem_cli.core.types import Document, Task

MOST = 200
"""Worlds that are looked at for one task."""


def statements(world: Callable[[int], Task], rng: Random) -> Iterator[Document]:
    """What worlds say of each fact first: nothing that changes or ends what nobody has stated.

    Args:
        world: a world by its number.
    """
    first = rng.randrange(2**32)
    for number in range(first, first + MOST):
        said: dict[tuple[str, str], Document] = {}
        for document in world(number).documents:
            if document.event is not None and document.event.value is not None:
                said.setdefault((document.event.subject, document.event.relation), document)
        yield from said.values()
