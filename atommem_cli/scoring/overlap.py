"""F1 of two collections of words, as all scorers count it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection


def overlap_f1(ours: Collection[str], theirs: Collection[str]) -> float:
    """Harmonic mean of precision and recall of `ours`; 0 without a common word."""
    common = sum((Counter(ours) & Counter(theirs)).values())
    if not common:
        return 0.0
    precision, recall = common / len(ours), common / len(theirs)
    return 2 * precision * recall / (precision + recall)
