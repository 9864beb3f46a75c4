"""The interval against independent computations, its limits, and its simulated coverage."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from scipy.optimize import brentq

from atommem_cli.scoring.intervals import Interval, mean_interval

SCORES = st.lists(st.lists(st.floats(0, 1), max_size=5), max_size=12)


def covered(tasks: int, mean: float, correlation: float, replicates: int, seed: int) -> float:
    """Share of intervals that hold the true mean; beta-binomial tasks of 1-10 questions."""
    rng = np.random.default_rng(seed)
    odds = (1 - correlation) / correlation
    hits = 0
    for _ in range(replicates):
        sizes = rng.integers(1, 11, tasks)
        right = rng.binomial(sizes, rng.beta(mean * odds, (1 - mean) * odds, tasks))
        interval = mean_interval([[1.0] * r + [0.0] * (s - r) for r, s in zip(right, sizes, strict=True)])
        hits += interval.low <= mean <= interval.high
    return hits / replicates


@pytest.mark.parametrize("tasks", [20, 50, 200])
@pytest.mark.parametrize(("mean", "correlation"), [(0.5, 0.1), (0.7, 0.3)])
def test_interval_covers_as_often_as_it_says(tasks: int, mean: float, correlation: float) -> None:
    assert 0.93 <= covered(tasks, mean, correlation, 2000, seed=tasks) <= 0.97


@pytest.mark.parametrize(("tasks", "mean"), [(20, 0.02), (50, 0.02), (200, 0.95)])
def test_interval_holds_near_the_ends_where_the_plain_one_fails(tasks: int, mean: float) -> None:
    """The plain t interval covers 100, 88 and 93 % there."""
    assert 0.93 <= covered(tasks, mean, 0.1, 2000, seed=tasks) <= 0.975


def test_interval_equals_the_score_interval_of_a_cluster_robust_regression() -> None:
    """V from statsmodels (intercept only, clustered), the limits by root finding instead of the formula."""
    ols = pytest.importorskip("statsmodels.api").OLS
    rng = random.Random(5)
    scores = [[rng.choice([0, 0.4, 1]) for _ in range(rng.randint(1, 10))] for _ in range(15)]
    items = np.concatenate(scores)
    groups = np.repeat(np.arange(15), [len(task) for task in scores])
    fit = ols(items, np.ones(len(items))).fit(cov_type="cluster", cov_kwds={"groups": groups})
    mean, variance = float(fit.params[0]), float(fit.cov_params()[0, 0])
    t = stats.t.ppf(0.975, 14)

    def excess(p: float) -> float:
        return (mean - p) ** 2 - t**2 * variance * p * (1 - p) / (mean * (1 - mean))

    interval = mean_interval(scores)
    assert interval.mean == pytest.approx(mean)
    assert interval.low == pytest.approx(brentq(excess, 0, mean))
    assert interval.high == pytest.approx(brentq(excess, mean, 1))
    assert (interval.n, interval.tasks) == (len(items), 15)


def test_single_questions_give_nearly_the_textbook_wilson_interval() -> None:
    interval = mean_interval([[1.0]] * 600 + [[0.0]] * 400)
    textbook = stats.binomtest(600, 1000).proportion_ci(method="wilson")
    assert interval.low == pytest.approx(textbook.low, abs=2e-4)
    assert interval.high == pytest.approx(textbook.high, abs=2e-4)


def test_alike_questions_count_once_per_task() -> None:
    """Ten copies of a question are no more evidence than one; ten independent questions are."""
    single = mean_interval([[1.0]] * 30 + [[0.0]] * 20)
    copies = mean_interval([[1.0] * 10] * 30 + [[0.0] * 10] * 20)
    assert (copies.low, copies.high) == pytest.approx((single.low, single.high))
    rng = random.Random(1)
    spread = mean_interval([[float(rng.random() < 0.6) for _ in range(10)] for _ in range(50)])
    assert spread.high - spread.low < 0.5 * (single.high - single.low)


@pytest.mark.parametrize("tasks", [1, 2, 20, 200])
def test_all_right_or_all_wrong_is_exact_for_the_number_of_tasks(tasks: int) -> None:
    exact = stats.binomtest(0, tasks).proportion_ci(method="exact")
    wrong = mean_interval([[0.0] * 5] * tasks)
    assert wrong == Interval(0.0, 0.0, wrong.high, n=5 * tasks, tasks=tasks)
    assert wrong.high == pytest.approx(exact.high)
    right = mean_interval([[1.0] * 5] * tasks)
    assert right == Interval(1.0, right.low, 1.0, n=5 * tasks, tasks=tasks)
    assert right.low == pytest.approx(1 - exact.high)


@pytest.mark.parametrize("scores", [[[0.0, 1.0]], [[0.0, 1.0], [1.0, 0.0]], [[0.1] * 3] * 3])
def test_tasks_that_do_not_differ_leave_a_wide_interval(scores: list[list[float]]) -> None:
    interval = mean_interval(scores)
    assert interval.high - interval.low > 0.6


def test_nothing_is_known_without_questions() -> None:
    for tasks in range(3):
        interval = mean_interval([[]] * tasks)
        assert math.isnan(interval.mean)
        assert (interval.low, interval.high, interval.n, interval.tasks) == (0.0, 1.0, 0, 0)


@pytest.mark.parametrize("bad", [-0.1, 1.1, math.nan, math.inf])
def test_scores_outside_0_and_1_are_refused(bad: float) -> None:
    with pytest.raises(ValueError, match="outside"):
        mean_interval([[0.5, bad], [1.0]])


@given(scores=SCORES, data=st.data())
def test_interval_holds_the_mean_and_does_not_depend_on_order(scores: list[list[float]], data: st.DataObject) -> None:
    interval = mean_interval(scores)
    if interval.n:
        assert 0 <= interval.low <= interval.mean <= interval.high <= 1
        assert interval.mean == pytest.approx(np.mean([score for task in scores for score in task]))
        assert mean_interval(data.draw(st.permutations(scores))) == interval


@given(scores=SCORES)
def test_more_confidence_is_wider(scores: list[list[float]]) -> None:
    narrow, wide = mean_interval(scores, confidence=0.8), mean_interval(scores, confidence=0.99)
    assert wide.low <= narrow.low
    assert narrow.high <= wide.high
