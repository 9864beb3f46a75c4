"""How far two measurements of the same things agree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean


@dataclass(frozen=True, slots=True)
class Agreement:
    """Of two numbers for each of n things."""

    spearman: float | None
    """Rank correlation, from -1 to 1; ties share their mean rank. None where one of both never varies."""
    difference: float | None
    """Mean absolute difference; None where there is nothing."""
    n: int


def agreement(ours: Sequence[float], theirs: Sequence[float]) -> Agreement:
    """The agreement of two measurements, in the same order (Spearman 1904)."""
    from scipy.stats import spearmanr

    apart = [abs(a - b) for a, b in zip(ours, theirs, strict=True)]
    varies = min(len(set(ours)), len(set(theirs))) > 1
    rank = float(spearmanr(ours, theirs).statistic) if varies else None
    return Agreement(rank, fmean(apart) if apart else None, len(apart))
