"""Texts that say what an older one says: the same words, or nearly the same."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from atommem_cli.scoring.normal import normalise

NEAR = 0.9
"""Token Jaccard from which two different texts are near duplicates."""
FEW = 5
"""Texts of fewer words are none: there, their order is the meaning (`mara boss selin`)."""


def doubles(texts: Iterable[str]) -> tuple[int, int]:
    """Duplicates and near duplicates of older texts."""
    same = near = 0
    seen: set[str] = set()
    by_word: dict[str, list[frozenset[str]]] = defaultdict(list)
    for text in texts:
        plain = normalise(text)
        if plain in seen:
            same += 1
            continue
        seen.add(plain)
        in_order = plain.split()
        words = frozenset(in_order)
        # A set that shares so much has one of any so many of these words; the rarest ones have the fewest texts.
        telling = sorted(words, key=lambda word: len(by_word[word]))[: int((1 - NEAR) * len(words) + 1e-9) + 1]
        alike = any(_near(words, other) for word in telling for other in by_word[word])
        near += alike and len(in_order) >= FEW
        for word in words:
            by_word[word].append(words)
    return same, near


def _near(ours: frozenset[str], theirs: frozenset[str]) -> bool:
    if min(len(ours), len(theirs)) < NEAR * max(len(ours), len(theirs)):
        return False  # sizes that differ so much leave no room for it
    return len(ours & theirs) / (len(ours | theirs) or 1) >= NEAR
