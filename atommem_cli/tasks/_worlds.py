"""Statements of other `stream` worlds, or passages, for the distractors of a task."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from random import Random

from atommem_cli.core.stream_facts import cascades
from atommem_cli.core.stream_words import PERSONAL, RELATIONS
from atommem_cli.core.types import Document
from atommem_cli.tasks._style import Replacement, Style

MOST = 200
"""Worlds, or casts of passages, that are looked at for one task."""
PAIRS = 12
"""Pairs of names in a cast."""


def statements(world: Callable[[int], Sequence[Document]], rng: Random) -> Iterator[Document]:
    """What worlds say of each fact first: nothing that changes or ends what nobody has stated.

    Args:
        world: what is told of a world, by its number.
    """
    first = rng.randrange(2**32)
    for number in range(first, first + MOST):
        said: dict[tuple[str, str], Document] = {}
        for document in world(number):
            if document.event is not None and document.event.value is not None and not cascades(document.event):
                said.setdefault((document.event.subject, document.event.relation), document)
        yield from said.values()


def passages(style: Style, statements: int, rng: Random) -> Iterator[Document]:
    """Documents that tell so many things about one person each, in the words of a style."""
    for _ in range(MOST):
        names = [name for pair in style.people(rng, min(style.MOST_PAIRS, PAIRS)) for name in pair]
        for subject in names:
            said = []
            for relation in rng.sample(RELATIONS, statements):
                others = [name for name in names if name != subject]
                value = rng.choice(others if relation in PERSONAL else style.values(relation))
                said.append(style.say(rng, Replacement("state", subject, relation, value)))
            yield Document("", " ".join(said))
