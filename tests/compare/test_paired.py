"""Comparisons against independent computations, their limits, and simulated coverage, size and power."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from statsmodels.api import OLS
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests

from atommem_cli.compare.paired import Difference, holm, paired

Run = list[list[float]]
SCORE = st.sampled_from([0.0, 0.25, 1 / 3, 0.5, 0.9, 1.0]) | st.floats(0, 1)
RUNS = st.lists(st.lists(st.tuples(SCORE, SCORE), max_size=4), max_size=10)


def runs(tasks: list[list[tuple[float, float]]]) -> tuple[Run, Run]:
    return [[a for a, _ in task] for task in tasks], [[b for _, b in task] for task in tasks]


def drawn(
    replicates: int, tasks: int, differ: float, delta: float, correlation: float, most: int, partial: bool = False
) -> Iterator[tuple[Run, Run]]:
    """Tasks of 1 to `most` questions of which `differ` differ; Dirichlet-multinomial in won, lost and tied.

    `partial`: a difference is 1/3, 2/3 or 1, so that delta is 2/3 of what it says.
    """
    rng = np.random.default_rng([tasks, most, round(1000 * differ), round(1000 * delta)])
    chances = np.array([(differ + delta) / 2, (differ - delta) / 2, 1 - differ])
    for _ in range(replicates):
        sizes = rng.integers(1, most + 1, tasks)
        of_task = rng.dirichlet(chances * (1 - correlation) / correlation, tasks) if correlation else chances
        arm, base = [], []
        for won, lost, tied in rng.multinomial(sizes, of_task).tolist():
            size = (rng.integers(1, 4, won + lost) / 3).tolist() if partial else [1.0] * (won + lost)
            arm.append(size[:won] + [0.0] * (lost + tied))
            base.append([0.0] * won + size[won:] + [0.0] * tied)
        yield arm, base


def covered(replicates: int, tasks: int, differ: float, delta: float, correlation: float, most: int) -> float:
    """Share of 95 % intervals that hold delta."""
    found = [paired(*pair) for pair in drawn(replicates, tasks, differ, delta, correlation, most)]
    return sum(d.low - 1e-12 <= delta <= d.high + 1e-12 for d in found) / replicates


def rejected(replicates: int, tasks: int, differ: float, delta: float, correlation: float, most: int) -> float:
    """Share of p <= 0.05."""
    found = [paired(*pair) for pair in drawn(replicates, tasks, differ, delta, correlation, most)]
    return sum(d.p <= 0.05 for d in found) / replicates


def stated(replicates: int, tasks: int, differ: float, correlation: float, most: int) -> float:
    """Median of `visible` where there is no difference."""
    return float(np.median([paired(*pair).visible for pair in drawn(replicates, tasks, differ, 0, correlation, most)]))


def family_errors(replicates: int, arms: int, tasks: int) -> float:
    """Share of families with a false finding after Holm: `arms` arms against one base, none of them different."""
    rng = np.random.default_rng(arms)
    wrong = 0
    for _ in range(replicates):
        ability = rng.beta(1, 1, (1, tasks, 1))
        scores = (rng.random((arms + 1, tasks, 4)) < ability).astype(float).tolist()
        wrong += min(holm([paired(arm, scores[0]).p for arm in scores[1:]])) <= 0.05
    return wrong / replicates


@pytest.mark.parametrize(("tasks", "most", "correlation"), [(50, 10, 0), (50, 10, 0.3), (50, 1, 0), (200, 10, 0.7)])
@pytest.mark.parametrize(("differ", "delta"), [(0.3, 0), (0.3, 0.1), (0.5, 0.3)])
def test_interval_covers_as_often_as_it_says(
    tasks: int, most: int, correlation: float, differ: float, delta: float
) -> None:
    """93 to 97 %, give or take two standard errors of 600 replicates."""
    assert 0.92 <= covered(600, tasks, differ, delta, correlation, most) <= 0.98


@pytest.mark.parametrize(("tasks", "most", "differ", "delta"), [(200, 1, 0.05, 0.02), (50, 10, 0.05, 0.02)])
def test_interval_holds_with_95_percent_ties(tasks: int, most: int, differ: float, delta: float) -> None:
    assert 0.92 <= covered(600, tasks, differ, delta, 0, most) <= 0.98


@pytest.mark.parametrize(("most", "correlation"), [(1, 0), (10, 0), (10, 0.3)])
def test_interval_of_20_tasks_is_rather_too_wide(most: int, correlation: float) -> None:
    """93 to 98.5 %."""
    assert 0.92 <= covered(600, 20, 0.4, 0.2, correlation, most) <= 0.99


@pytest.mark.parametrize(("tasks", "most", "correlation"), [(12, 10, 0.3), (20, 1, 0), (50, 10, 0.7), (200, 10, 0)])
def test_p_is_below_5_percent_at_most_so_often_without_a_difference(tasks: int, most: int, correlation: float) -> None:
    assert rejected(800, tasks, 0.3, 0, correlation, most) <= 0.05 + 2 * math.sqrt(0.05 * 0.95 / 800)


@pytest.mark.parametrize(
    ("tasks", "most", "differ", "correlation"),
    [(200, 1, 0.1, 0), (200, 1, 0.3, 0), (50, 1, 0.3, 0), (50, 10, 0.1, 0), (50, 10, 0.3, 0.3), (200, 10, 0.1, 0.3)],
)
def test_visible_difference_is_found_four_times_in_five(
    tasks: int, most: int, differ: float, correlation: float
) -> None:
    """75 to 85 %, give or take two standard errors of 500 replicates."""
    delta = stated(100, tasks, differ, correlation, most)
    assert 0.72 <= rejected(500, tasks, differ, delta, correlation, most) <= 0.88


@pytest.mark.parametrize(("tasks", "differ", "correlation"), [(20, 0.02, 0), (20, 0.1, 0.3), (50, 0.02, 0.7)])
def test_visible_difference_is_never_too_small_where_few_tasks_differ(
    tasks: int, differ: float, correlation: float
) -> None:
    delta = stated(100, tasks, differ, correlation, 10)
    assert rejected(250, tasks, max(differ, delta), delta, correlation, 10) > 0.7


def test_holm_keeps_the_error_of_a_family() -> None:
    assert family_errors(300, arms=5, tasks=40) <= 0.05 + 2 * math.sqrt(0.05 * 0.95 / 300)


def test_partial_scores_are_covered_too() -> None:
    found = [paired(*pair) for pair in drawn(500, 50, 0.4, 0.15, 0.2, 10, partial=True)]
    assert 0.92 <= sum(d.low <= 0.1 <= d.high for d in found) / 500 <= 0.98


@pytest.mark.parametrize(("wins", "losses"), [(0, 0), (5, 0), (6, 0), (9, 2), (40, 21), (3, 3), (700, 590)])
def test_single_questions_give_the_exact_mcnemar_test(wins: int, losses: int) -> None:
    result = paired([[1.0]] * (wins + 7) + [[0.0]] * losses, [[0.0]] * wins + [[1.0]] * (7 + losses))
    table = [[7, wins], [losses, 0]]
    assert result.p == pytest.approx(mcnemar(table, exact=True).pvalue, rel=1e-9)
    if wins + losses:
        assert result.p == pytest.approx(stats.binomtest(wins, wins + losses).pvalue, rel=1e-9)
    assert (result.wins, result.losses, result.ties) == (wins, losses, 7)
    assert result.delta == pytest.approx((wins - losses) / (wins + losses + 7))


@pytest.mark.parametrize("scores", [[0.0, 1.0], [0.0, 0.5, 0.8, 1.0], [0.0, 1 / 3, 2 / 7, 1.0]])
@pytest.mark.parametrize("seed", range(4))
def test_p_is_scipys_over_all_flips_of_task_sums(scores: list[float], seed: int) -> None:
    rng = random.Random(seed)
    tasks = [[(rng.choice(scores), rng.choice(scores)) for _ in range(rng.randint(1, 5))] for _ in range(11)]
    sums = [math.fsum(a - b for a, b in task) for task in tasks]
    exact = stats.permutation_test((sums,), np.sum, permutation_type="samples", n_resamples=np.inf)
    assert paired(*runs(tasks)).p == pytest.approx(min(1, exact.pvalue))


def test_flips_are_drawn_where_counting_takes_too_long() -> None:
    """Both ways agree within the Monte Carlo error."""
    rng = np.random.default_rng(1)
    scores = rng.random((2, 10_000, 1))
    result = paired((0.99 * scores[0]).tolist(), scores[1].tolist())
    sums = 0.99 * scores[0] - scores[1]
    assert result.p == pytest.approx(2 * stats.norm.sf(abs(sums.sum()) / np.sqrt((sums**2).sum())), abs=0.01)
    assert paired([[1.0]] * 10_000, [[0.0]] * 10_000).p == pytest.approx(2.2e-308, rel=0.02)


def test_interval_of_single_questions_is_bonett_and_prices_with_t() -> None:
    result = paired([[1.0]] * 12 + [[0.0]] * 48, [[0.0]] * 12 + [[1.0]] * 5 + [[0.0]] * 43)
    won, lost = 13 / 62, 6 / 62
    half = stats.t.ppf(0.975, 61) * math.sqrt((won + lost - (won - lost) ** 2) / 61)
    assert (result.low, result.high) == pytest.approx((won - lost - half, won - lost + half))


def test_interval_is_a_cluster_robust_regression_with_a_task_won_and_a_task_lost() -> None:
    differences = [[1, 1], [-1, -1, 0], [1, 1, 0, 0], [0, 0, 0], [0], [1, 0, 1, 0], [0, 0, 0, 0]]
    result = paired(*runs([[(max(d, 0), max(-d, 0)) for d in task] for task in differences]))
    more = [*differences, [1, 1], [-1, -1]]
    groups = np.repeat(np.arange(9), [len(task) for task in more])
    items = np.concatenate(more)
    fit = OLS(items, np.ones(len(items))).fit(cov_type="cluster", cov_kwds={"groups": groups}, use_t=True)
    assert (result.low, result.high) == pytest.approx(tuple(fit.conf_int()[0]))


def test_interval_of_many_small_differences_is_the_plain_t_interval() -> None:
    rng = np.random.default_rng(3)
    base = rng.uniform(0.3, 0.6, 400)
    arm = np.clip(base + rng.normal(0.05, 0.1, 400), 0, 1)
    plain = stats.ttest_rel(arm, base).confidence_interval()
    result = paired(arm[:, None].tolist(), base[:, None].tolist())
    assert (result.low, result.high) == pytest.approx((plain.low, plain.high), abs=5e-4)
    drawn_t = stats.bootstrap((arm - base,), np.mean, method="BCa", n_resamples=2000, rng=1).confidence_interval
    assert (result.low, result.high) == pytest.approx((drawn_t.low, drawn_t.high), abs=2e-3)


@pytest.mark.parametrize("tasks", [1, 6, 50, 1000])
def test_no_difference_at_all_is_no_proof_of_none(tasks: int) -> None:
    """0 of G tasks leaves about 3 of G possible (rule of three), whatever the number of questions."""
    result = paired([[1.0] * 5] * tasks, [[1.0] * 5] * tasks)
    assert (result.delta, result.p, result.ties) == (0, 1, 5 * tasks)
    assert result.high == -result.low
    assert min(1, 2 / tasks) <= result.high <= min(1, 5 / tasks)
    assert result.visible == pytest.approx(1 if tasks <= 6 else 7.85 / tasks, rel=0.06)


@pytest.mark.parametrize("tasks", [1, 5, 6, 100])
def test_all_won(tasks: int) -> None:
    result = paired([[1.0] * 3] * tasks, [[0.0] * 3] * tasks)
    assert (result.delta, result.high, result.wins) == (1, 1, 3 * tasks)
    assert result.p == pytest.approx(2 * 0.5**tasks)
    assert 1 - 6 / tasks < result.low < 1 - 1 / tasks or tasks == 1
    assert (result.visible == 1) == (tasks <= 6)


def test_alike_questions_count_once_per_task() -> None:
    once = paired([[1.0]] * 9 + [[0.0]] * 20, [[0.0]] * 9 + [[1.0]] * 3 + [[0.0]] * 17)
    tenfold = paired([[1.0] * 10] * 9 + [[0.0] * 10] * 20, [[0.0] * 10] * 9 + [[1.0] * 10] * 3 + [[0.0] * 10] * 17)
    assert (tenfold.low, tenfold.high, tenfold.visible) == pytest.approx((once.low, once.high, once.visible))
    assert tenfold.p == once.p


def test_nothing_is_known_without_questions() -> None:
    for tasks in range(3):
        result = paired([[]] * tasks, [[]] * tasks)
        assert math.isnan(result.delta)
        assert (result.low, result.high, result.p, result.n, result.tasks, result.visible) == (-1, 1, 1, 0, 0, 1)


@pytest.mark.parametrize("bad", [-0.1, 1.1, math.nan, math.inf])
def test_scores_outside_0_and_1_are_refused(bad: float) -> None:
    for scores in ([[[0.5, bad]], [[1.0, 1.0]]], [[[1.0, 1.0]], [[0.5, bad]]]):
        with pytest.raises(ValueError, match="outside"):
            paired(*scores)


@pytest.mark.parametrize("base", [[[1.0]], [[1.0], [1.0, 0.0]], [[1.0, 0.0], []]])
def test_other_questions_are_refused(base: Run) -> None:
    with pytest.raises(ValueError, match="same questions"):
        paired([[1.0], [0.0]], base)


def test_holm_by_hand() -> None:
    """4 * 0.01; 3 * 0.02; 2 * 0.03 = 0.06, no less than the one before; 0.2 as it is."""
    assert holm([0.03, 0.01, 0.2, 0.02]) == pytest.approx([0.06, 0.04, 0.2, 0.06])
    assert holm([]) == []


@given(p=st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_is_no_smaller_and_rejects_what_statsmodels_does(p: list[float]) -> None:
    adjusted = holm(p)
    assert all(p_i <= q_i <= 1 for p_i, q_i in zip(p, adjusted, strict=True))
    assert adjusted == pytest.approx(multipletests(p, method="holm")[1])


@given(tasks=RUNS, data=st.data())
def test_a_comparison_looks_the_same_from_both_sides_and_in_any_order(
    tasks: list[list[tuple[float, float]]], data: st.DataObject
) -> None:
    arm, base = runs(tasks)
    there, back = paired(arm, base), paired(base, arm)
    if not there.n:
        return
    assert 0 < there.p <= 1
    assert 0 < there.visible <= 1
    assert -1 <= there.low <= there.delta <= there.high <= 1
    assert there.wins + there.losses + there.ties == there.n
    mirrored = Difference(-back.delta, -back.high, -back.low, back.p, back.losses, back.wins, *_tail(back))
    assert there == mirrored
    assert paired(*runs(data.draw(st.permutations(tasks)))) == there


@given(tasks=RUNS, tied=st.lists(SCORE, min_size=1, max_size=3))
def test_tied_tasks_are_no_evidence(tasks: list[list[tuple[float, float]]], tied: list[float]) -> None:
    arm, base = runs(tasks)
    assert paired([*arm, tied], [*base, tied]).p >= paired(arm, base).p


def _tail(d: Difference) -> tuple[int, int, int, float]:
    return d.ties, d.n, d.tasks, d.visible


def test_scores_from_minus_one_count_whole_points() -> None:
    """Twelve tasks won from -1 to 1, four lost from 1 to 0: the same test as of halves, differences twice as large."""
    arm, base = [[1.0]] * 12 + [[0.0]] * 4, [[-1.0]] * 12 + [[1.0]] * 4
    told = paired(arm, base, lowest=-1)
    unit = paired([[1.0]] * 12 + [[0.5]] * 4, [[0.0]] * 12 + [[1.0]] * 4)
    assert told.delta == (12 * 2 - 4) / 16
    assert (told.wins, told.losses, told.ties, told.p) == (12, 4, 0, unit.p)
    assert (told.low, told.high, told.visible) == (2 * unit.low, 2 * unit.high, 2 * unit.visible)
    with pytest.raises(ValueError, match="outside"):
        paired(arm, base)
