"""Agreement of two measurements, against scipy's rank correlation and against hand-made ranks."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr

from atommem_cli.scoring.agreement import agreement

GRADES = st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.75, 1.0])


@given(st.lists(st.tuples(GRADES, GRADES), min_size=2, max_size=30))
def test_ranks_correlate_as_scipy_says(pairs: list[tuple[float, float]]) -> None:
    ours, theirs = ([pair[at] for pair in pairs] for at in (0, 1))
    found = agreement(ours, theirs)
    assert found.n == len(pairs)
    assert found.difference == pytest.approx(sum(abs(a - b) for a, b in pairs) / len(pairs))
    if len({*ours}) == 1 or len({*theirs}) == 1:
        assert found.spearman is None
    else:
        assert found.spearman == pytest.approx(spearmanr(ours, theirs).statistic)


def test_by_hand() -> None:
    # Ranks 0, 1.5, 1.5, 3 against 0, 1, 2, 3: 4.5 / sqrt(4.5 x 5).
    found = agreement([0.1, 0.5, 0.5, 0.9], [0.0, 0.4, 0.6, 0.8])
    assert (found.spearman, found.difference) == (pytest.approx(0.9486832980505138), pytest.approx(0.1))
    assert agreement([0.1, 0.2], [0.2, 0.1]).spearman == pytest.approx(-1.0)


def test_of_too_little_nothing_is_known() -> None:
    assert agreement([], []).difference is None
    one = agreement([0.5], [0.75])
    assert (one.spearman, one.difference, one.n) == (None, 0.25, 1)
