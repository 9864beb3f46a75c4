"""What a question of `stream` hinges on: readers that lack one thing each, and which of them are wrong.

`update` and `delete` are operations that a reader lacks. `supersede` (Supersede, arXiv 2606.27472) is an update that
takes more than one, so that a reader who corrects each fact once at most is wrong, too. `cascade` (as in MEME, arXiv
2605.12477) is a deletion that no statement of the fact asks for: its value has gone, with every fact that has it; a
reader who does all that statements say of facts by name is wrong, too.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import product
from random import Random
from typing import NamedTuple

from atommem_cli.core.stream_facts import UNKNOWN, State, answer, final_state, follow, reached
from atommem_cli.core.stream_words import PERSONAL
from atommem_cli.core.types import Document, OpKind

FOR_THE_ASKING = frozenset({"supersede", "cascade"})
"""Hinges that are told from `update` and `delete` for the asking."""


class Candidate(NamedTuple):
    path: tuple[str, ...]
    hinge: str


def candidates(
    cast: Sequence[str], documents: Sequence[Document], relations: Sequence[str], most: int, told: Collection[str]
) -> list[Candidate]:
    """Every question about the cast that hinges on one operation or none.

    Args:
        most: relations of a path.
        told: hinges that are told apart, of `FOR_THE_ASKING` too.
    """
    links = [relation for relation in relations if relation in PERSONAL]
    readers = Readers(
        final_state(documents),
        final_state(documents, (OpKind.UPDATE,)),
        final_state(documents, (OpKind.DELETE,)),
        final_state(documents, updates=1),
        final_state(documents, cascading=False),
    )
    found = []
    for hops in range(1, most + 1):
        for subject, *chain in product(cast, *[links] * (hops - 1), relations):
            path = (subject, *chain)
            hinge = _hinge(path, readers, told)
            if hinge:
                found.append(Candidate(path, hinge))
    return found


class Readers(NamedTuple):
    """The state at the end, as readers have it."""

    perfect: State
    without_update: State
    without_delete: State
    updating_once: State
    """Of each fact."""
    without_cascades: State


def _hinge(path: tuple[str, ...], readers: Readers, told: Collection[str]) -> str | None:
    """What the question hinges on; None where it is not one thing alone, or the path runs in a circle."""
    final, kept, *_ = readers
    keys, value = follow(final, path)
    if len({subject for subject, _ in keys} | {value}) != len(keys) + 1:
        return None
    truth, stale, revived, once, named = (answer(state, path) for state in readers)
    if truth != UNKNOWN:
        if stale != truth:
            return "supersede" if "supersede" in told and once != truth else "update"
        return "create" if all(kept[key] == final[key] for key in keys) else None
    if stale != UNKNOWN or (once != UNKNOWN and ("supersede" in told or named != UNKNOWN)):
        return None
    if revived != UNKNOWN:
        return "cascade" if "cascade" in told and named != UNKNOWN else "delete"
    return "none" if len(keys) == len(path) - 1 and keys[-1] not in final else None


def choose(rng: Random, candidates: list[Candidate], hinges: Sequence[str], lengths: Sequence[int]) -> list[Candidate]:
    """One question for each wish; what the world lacks is replaced by the nearest there is."""
    chosen = []
    for hinge, hops in zip(hinges, lengths, strict=True):

        def distance(candidate: Candidate, hinge: str = hinge, hops: int = hops) -> tuple[bool, int]:
            return candidate.hinge != hinge, abs(len(candidate.path) - 1 - hops)

        least = min(map(distance, candidates))
        pick = rng.choice([candidate for candidate in candidates if distance(candidate) == least])
        candidates.remove(pick)
        chosen.append(pick)
    return chosen


def stale(documents: Sequence[Document], path: Sequence[str]) -> tuple[str, ...]:
    """Answers that rest on what was true once and is no more, sorted: where old facts, or old and new ones, lead to."""
    return tuple(sorted(reached(documents, path)[-1] - {answer(final_state(documents), path)}))
