"""A score against the values of one setting, for runs that are alike otherwise: one line each, over the same tasks.

Every line is compared with itself at the reference, and how much it changes there with how much the first line does,
both paired by question and clustered by task (`paired`). Under several seeds each counts the same: means with
Student's interval over the seeds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import fmean, stdev
from typing import NamedTuple

from atommem_cli.compare.paired import paired
from atommem_cli.core.errors import RunMismatch
from atommem_cli.scoring.intervals import mean_interval

Scores = Mapping[str, Sequence[float]]
"""Of each task's questions, by the task's name."""


class Estimate(NamedTuple):
    """A mean with the limits of its 95 % interval."""

    mean: float
    low: float
    high: float

    @property
    def known(self) -> bool:
        """Whether the limits say anything: of seeds that came out the same they are the mean itself."""
        return self.low < self.high

    def within(self, least: float, most: float) -> Estimate:
        """The same with limits that go no further than these."""
        return Estimate(self.mean, max(least, self.low), min(most, self.high))

    @property
    def beside_zero(self) -> bool:
        """Whether the whole interval is on one side of 0."""
        return self.known and (self.low > 0 or self.high < 0)


@dataclass(frozen=True, slots=True)
class Spot:
    """One line at one value."""

    value: float
    score: Estimate
    each: tuple[float, ...]
    """The score under each seed."""
    change: Estimate | None
    """Score minus that at the reference; None there."""
    apart: Estimate | None
    """That change minus the first line's: above 0 where this line loses less; None of the first line."""


@dataclass(frozen=True, slots=True)
class Line:
    """One kind of run."""

    label: str
    spots: tuple[Spot, ...]
    """By value, ascending."""


@dataclass(frozen=True, slots=True)
class Curves:
    """Lines over the values of one setting."""

    key: str
    """Of the recipe."""
    title: str
    """The scorer."""
    reference: float
    """The value that changes are counted from."""
    seeds: int
    tasks: int
    """Under each seed."""
    lines: tuple[Line, ...]
    lowest: float = 0.0
    """The least score that there can be; the best is 1."""


def curves(
    key: str, title: str, reference: float, played: Mapping[str, Mapping[float, Scores]], lowest: float = 0.0
) -> Curves | None:
    """Lines from the scores of runs over the same tasks.

    Args:
        played: by line and value; lines without the reference are left out.
        lowest: the least score that there can be; the best is 1.

    Returns:
        None where there is no line with the reference and another value.
    """
    whole = {label: found for label, found in played.items() if reference in found and len(found) > 1}
    if not whole:
        return None
    first = next(iter(whole.values()))
    lines = tuple(
        Line(label, tuple(_spot(value, found, first, reference, lowest) for value in sorted(found)))
        for label, found in whole.items()
    )
    return Curves(key, title, reference, 1, len(first[reference]), lines, lowest)


def _spot(
    value: float, line: Mapping[float, Scores], first: Mapping[float, Scores], reference: float, lowest: float
) -> Spot:
    now = list(line[value].values())
    score = mean_interval(now, lowest=lowest)
    change = apart = None
    if value != reference:
        change = _difference(now, line[reference].values(), lowest)
        if line is not first and value in first:
            span = 1 - lowest
            mine, theirs = (_moved(one[value], one[reference], span) for one in (line, first))
            apart = Estimate(*(span * number for number in _difference(mine, theirs, -1.0)))
    return Spot(value, Estimate(score.mean, score.low, score.high), (score.mean,), change, apart)


def _difference(now: Iterable[Sequence[float]], then: Iterable[Sequence[float]], lowest: float) -> Estimate:
    found = paired(list(now), list(then), lowest=lowest)
    return Estimate(found.delta, found.low, found.high)


def _moved(now: Scores, then: Scores, span: float) -> list[list[float]]:
    """By how much each question moved, in [-1, 1]: as a share of the range of scores."""
    return [[(a - b) / span for a, b in zip(now[task], then[task], strict=True)] for task in now]


def pooled(found: Sequence[Curves]) -> Curves:
    """The lines and values that all have, each seed with the same weight.

    Raises:
        RunMismatch: they are of different scorers, or start from different values.
    """
    first = found[0]
    if any((one.key, one.title, one.reference) != (first.key, first.title, first.reference) for one in found):
        raise RunMismatch(f"what {first.key} changes cannot be pooled: scorers or the recipes' own values differ")
    lines = []
    for line in first.lines:
        same = [next((other for other in one.lines if other.label == line.label), None) for one in found]
        every = [{spot.value: spot for spot in other.spots} for other in same if other is not None]
        values = [spot.value for spot in line.spots if all(spot.value in spots for spots in every)]
        if len(every) == len(found) and len(values) > 1:
            spots = tuple(_over([spots[value] for spots in every], first.lowest) for value in values)
            lines.append(Line(line.label, spots))
    return Curves(first.key, first.title, first.reference, len(found), first.tasks, tuple(lines), first.lowest)


def _over(spots: Sequence[Spot], lowest: float) -> Spot:
    first, means = spots[0], [spot.score.mean for spot in spots]
    changes = [spot.change.mean for spot in spots if spot.change]
    aparts = [spot.apart.mean for spot in spots if spot.apart]
    change, apart = (student(found) if len(found) == len(spots) else None for found in (changes, aparts))
    return Spot(first.value, student(means).within(lowest, 1.0), tuple(means), change, apart)


def student(values: Sequence[float]) -> Estimate:
    """Mean with Student's 95 % interval over the values; one without width, where they are the same, proves nothing."""
    from scipy.special import stdtrit

    mean = fmean(values)
    if len(set(values)) == 1:
        return Estimate(mean, mean, mean)
    half = float(stdtrit(len(values) - 1, 0.975)) * stdev(values) / sqrt(len(values))
    return Estimate(mean, mean - half, mean + half)
