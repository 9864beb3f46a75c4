"""Comparison of two runs on the same tasks: the task is the unit of sampling, not the question or its repeat."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import fsum, nan, sqrt


@dataclass(frozen=True, slots=True)
class Difference:
    """How much better `arm` answers than `base`, and how sure that is. See `paired`."""

    delta: float
    """Mean over questions of arm - base, in [-1, 1]; nan where there are none."""
    low: float
    high: float
    """Confidence interval of delta."""
    p: float
    """Two-sided, of the sign-flip test over tasks, in (0, 1]."""
    wins: int
    losses: int
    ties: int
    """Questions where arm scores more than, less than, the same as base."""
    n: int
    """Questions."""
    tasks: int
    """Tasks that have at least one question."""
    visible: float
    """The true difference that such a comparison finds significant four times in five, in (0, 1]."""


def paired(
    arm: Sequence[Sequence[float]],
    base: Sequence[Sequence[float]],
    confidence: float = 0.95,
    tests: int = 1,
    lowest: float = 0.0,
) -> Difference:
    """Difference of two runs: how large, between which limits, by chance or not, and what would have shown.

    `arm` and `base` hold one sequence per task, the same tasks with the same questions in the same order; scores
    lie in [0, 1], F1 included. Tasks without a question are left out. Without any question nothing is known:
    delta nan, interval [-1, 1], p 1, visible 1. Scores in [`lowest`, 1] are stretched onto [0, 1], and differences
    stretched back, which are then up to 1 - `lowest`.

    p is the share of all 2^G ways to swap arm and base within tasks that put the summed difference at least as far
    from 0 as it is (Fisher's randomisation test; McNemar's exact test where each task has one question of score 0
    or 1). All ways are counted, by convolution; a p below 2e-308 is given as that. Sums of a task count in steps of
    1/840, which is exact for scores with denominators up to 8; other ones (F1) are rounded to it, which keeps the
    test exact, being the same test of a rounded score. Only where scores like F1 make that too long (from about
    2,000 tasks that differ) p is (hits + 1) / (draws + 1) of 19,999 random ways with a fixed seed: valid too, never
    below 5e-5.

    The interval adds one task won and one task lost to the G tasks and takes mean +- t * sqrt(V) at G + 1 degrees
    of freedom, V the linearised variance of a ratio (see `intervals.mean_interval`); it is stretched to hold delta
    and clipped to [-1, 1]. For single questions it is Bonett and Price's interval for paired proportions (J. Educ.
    Behav. Stat. 37, 2012, 479-488; t for z); a task added is as large as tasks that differ do differ,
    sum T^2 / sum |T| over the task sums T of differences, or an average task where none does: there the interval
    is 0 +- 2.8 tasks' worth, about. p and interval may disagree on whether 0 is out when p is close to 5 %.

    Simulated coverage of 95 % intervals in %: tasks of one question or of 1-10 with correlation r within a task
    (Dirichlet-multinomial), a share `differ` of questions won or lost, 2,000 replicates. Scores enter
    by their differences only. In brackets: delta +- t * sqrt(V) without added tasks.

        tasks  differ  delta   single         r = 0          r = 0.3        r = 0.7
           20    0.05   0.02   100  (64.6)   98.2 (94.0)   99.3 (89.0)   99.7 (76.2)
           20    0.10   0.10   100  (87.0)   97.2 (94.5)   91.0 (87.5)   88.6 (81.1)
           20    0.30   0.10   97.9 (95.4)   96.7 (94.3)   97.5 (94.5)   97.7 (94.2)
           20    0.60   0.30   97.0 (93.7)   97.8 (94.8)   97.2 (94.5)   96.2 (92.5)
           50    0.05   0.02   99.9 (89.7)   97.0 (95.5)   96.7 (93.2)   95.5 (88.6)
           50    0.10   0.10   97.1 (89.0)   96.4 (94.7)   93.7 (91.5)   92.6 (89.5)
           50    0.30   0.10   96.7 (95.7)   96.2 (95.1)   95.5 (94.2)   96.1 (94.4)
          200    0.05   0.02   97.4 (95.2)   95.2 (94.5)   95.4 (94.5)   96.0 (94.0)
          200    0.10   0.10   95.7 (92.3)   95.2 (94.7)   95.0 (94.2)   95.1 (93.5)
          200    0.30   0.10   95.0 (94.7)   94.4 (94.1)   94.9 (94.7)   95.7 (95.0)

    So 93-97 % where some ten tasks differ. With 20 tasks, and where hardly any task differs, it is too wide (97-100 %);
    too narrow (88-93 %) only where few tasks differ, all one way, and questions of a task are alike.

    visible is (t_0.975 + t_0.8) standard errors, those of the sign flips: sqrt(sum T^2) / N, the scatter seen. As
    a difference d needs questions that differ, d of them at least, visible is also at least what shows when they
    all differ one way: (t_0.975 + t_0.8)^2 tasks' worth. Below 6 tasks no difference reaches p <= 0.05: visible 1.
    It is what would show at (1 - confidence) / tests, where `tests` differences are adjusted together: Bonferroni's
    bound, which Holm's procedure reaches at least.

    Simulated power in % at the visible difference (median where delta is 0; 1,000 replicates):

        tasks  differ  single           r = 0            r = 0.3          r = 0.7
           20    0.10  92.6 at 0.436    86.6 at 0.099    94.7 at 0.201    97.4 at 0.353
           20    0.30  92.6 at 0.436    72.3 at 0.154    92.4 at 0.263    100  at 0.431
           50    0.10  84.6 at 0.163    75.2 at 0.054    92.1 at 0.090    98.8 at 0.152
           50    0.30  81.4 at 0.221    78.4 at 0.094    80.5 at 0.156    87.3 at 0.213
          200    0.05  81.0 at 0.045    77.7 at 0.019    80.8 at 0.031    90.0 at 0.043
          200    0.10  80.3 at 0.063    78.2 at 0.027    82.8 at 0.045    83.1 at 0.061
          200    0.30  79.8 at 0.109    76.1 at 0.046    81.1 at 0.078    80.4 at 0.105

    So 75-85 % from 50 tasks on where some twenty differ; elsewhere mostly more (72-100 %, 12 tasks and more): there a
    smaller difference shows too.

    Raises:
        ValueError: tasks or questions do not match, or a score lies outside its range.
    """
    if lowest:
        span = 1 - lowest
        mine, theirs = ([[(score - lowest) / span for score in task] for task in side] for side in (arm, base))
        unit = paired(mine, theirs, confidence, tests)
        stretched = {key: span * getattr(unit, key) for key in ("delta", "low", "high", "visible")}
        return replace(unit, **stretched)
    if [len(task) for task in arm] != [len(task) for task in base]:
        raise ValueError("the two runs do not have the same questions")
    pairs = [list(zip(mine, other, strict=True)) for mine, other in zip(arm, base, strict=True) if mine]
    items = [pair for task in pairs for pair in task]
    if not items:
        return Difference(nan, -1.0, 1.0, 1.0, 0, 0, 0, 0, 0, 1.0)
    if not all(0 <= mine <= 1 and 0 <= other <= 1 for mine, other in items):
        raise ValueError("a score lies outside [0, 1]")
    wins, losses = sum(mine > other for mine, other in items), sum(mine < other for mine, other in items)
    # Rounding puts away what floats leave of differences that cancel out, such as 0.1 + 0.2 - 0.3.
    sums = [round(fsum(mine - other for mine, other in task), _DIGITS) for task in pairs]
    sizes = [len(task) for task in pairs]
    low, high = _interval(sums, sizes, confidence)
    return Difference(
        delta=fsum(sums) / len(items),
        low=low,
        high=high,
        p=_sign_flip(sums),
        wins=wins,
        losses=losses,
        ties=len(items) - wins - losses,
        n=len(items),
        tasks=len(sums),
        visible=_visible(sums, len(items), (1 - confidence) / tests),
    )


def holm(p: Sequence[float]) -> list[float]:
    """Adjusted p-values: those <= a hold together, wrong at most with probability a (Holm, Scand. J. Stat. 6, 1979)."""
    adjusted, highest = [0.0] * len(p), 0.0
    for rank, at in enumerate(sorted(range(len(p)), key=p.__getitem__)):
        highest = max(highest, min(1.0, (len(p) - rank) * p[at]))
        adjusted[at] = highest
    return adjusted


_DIGITS = 12
_GRID = 840
"""Steps of a task sum per point of score: the least common multiple of 1 to 8."""
_WORK = 2e9
"""Additions, about a second: beyond it the flips are drawn, not counted."""
_DRAWS, _BLOCK = 19_999, 2_000_000
"""Random flips of all tasks; signs held at a time."""


def _sign_flip(sums: Sequence[float]) -> float:
    """Two-sided p of the summed difference when each task's sum may have either sign."""
    import numpy as np

    steps = np.rint(np.array(sums) * _GRID).astype(np.int64)  # halves to even: the same for arm and base swapped
    steps = steps[steps != 0]
    if not len(steps):
        return 1.0
    steps //= np.gcd.reduce(steps)
    weights = np.sort(np.abs(steps))
    total, observed = int(weights.sum()), abs(int(steps.sum()))
    # Tasks won weigh `plus` together, the others total - plus: a flip counts if |2 plus - total| >= observed.
    if len(weights) * total > _WORK:
        rng = np.random.default_rng(0)
        rows = max(1, _BLOCK // len(weights))
        hits = 0
        for start in range(0, _DRAWS, rows):
            packed = rng.integers(0, 256, (min(rows, _DRAWS - start), -(-len(weights) // 8)), dtype=np.uint8)
            plus = np.unpackbits(packed, axis=1, count=len(weights)) @ weights.astype(float)
            hits += int((np.abs(2 * plus - total) >= observed).sum())
        return (hits + 1) / (_DRAWS + 1)
    chances = np.zeros(total + 1)  # of plus = 0, 1, ... after the tasks so far
    chances[0], top = 1.0, 0
    for weight in weights.tolist():
        chances[weight : top + weight + 1] += chances[: top + 1]
        top += weight
        chances[: top + 1] /= 2
    return max(sys.float_info.min, min(1.0, 2 * float(chances[(total + observed) // 2 :].sum())))


def _interval(sums: Sequence[float], sizes: Sequence[int], confidence: float) -> tuple[float, float]:
    """Limits of sum(sums) / sum(sizes), with one task of `_typical` size won and one lost."""
    from scipy.special import stdtrit

    n, tasks, added = sum(sizes), len(sizes) + 2, _typical(sums, sum(sizes))
    total = fsum(sums)
    centre = total / (n + 2 * added)
    squares = fsum((t - centre * size) ** 2 for t, size in zip(sums, sizes, strict=True))
    squares += 2 * added**2 * (1 + centre**2)
    error = sqrt(squares * tasks / (tasks - 1)) / (n + 2 * added)
    half = float(stdtrit(tasks - 1, (1 + confidence) / 2)) * error
    return max(-1.0, min(centre - half, total / n)), min(1.0, max(centre + half, total / n))


def _visible(sums: Sequence[float], n: int, alpha: float) -> float:
    """The difference that a two-sided test at alpha finds with a probability of 0.8."""
    from scipy.special import stdtrit

    tasks = len(sums)
    if 2 * 0.5**tasks > alpha:
        return 1.0
    quantiles = float(stdtrit(tasks - 1, 1 - alpha / 2) + stdtrit(tasks - 1, 0.8))
    scatter = sqrt(fsum(t * t for t in sums))
    return min(1.0, quantiles * max(scatter, quantiles * _typical(sums, n)) / n)


def _typical(sums: Sequence[float], n: int) -> float:
    """Size, in questions, of the differences of tasks that differ; of a whole task where none does."""
    squares = fsum(t * t for t in sums)
    return squares / fsum(abs(t) for t in sums) if squares else n / len(sums)
