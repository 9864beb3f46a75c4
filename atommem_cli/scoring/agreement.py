"""How far two measurements of the same things agree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
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
    """The agreement of two measurements, in the same order (Spearman 1904: Pearson's correlation of the ranks)."""
    apart = [abs(a - b) for a, b in zip(ours, theirs, strict=True)]
    return Agreement(_pearson(_ranks(ours), _ranks(theirs)), fmean(apart) if apart else None, len(apart))


def _ranks(values: Sequence[float]) -> list[float]:
    """The rank of each value, from 0; equal values share the mean of theirs."""
    order = sorted(values)
    first = {value: at for at, value in reversed([*enumerate(order)])}
    last = {value: at for at, value in enumerate(order)}
    return [(first[value] + last[value]) / 2 for value in values]


def _pearson(ours: Sequence[float], theirs: Sequence[float]) -> float | None:
    if len(ours) < 2:
        return None
    a, b = ([value - fmean(values) for value in values] for values in (ours, theirs))
    spread = sqrt(sum(x * x for x in a) * sum(y * y for y in b))
    return sum(x * y for x, y in zip(a, b, strict=True)) / spread if spread else None
