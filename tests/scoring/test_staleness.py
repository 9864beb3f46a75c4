"""Supersede's score: +1 for what is true now, -1 for what is no more, 0 for neither and for both."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atommem_cli.core.types import Answer, Question
from atommem_cli.scoring import intervals, metrics
from atommem_cli.scoring.staleness import SHARES, outdated, stale


@pytest.mark.parametrize(
    ("text", "score"),
    [
        ("dorn", 1),
        ("Dorn.", 1),
        ("It is Dorn now", 1),
        ("velt", -1),
        ("the house in Velt", -1),
        ("New Kelso", -1),
        ("velt, then dorn", 0),
        ("dornish", 0),
        ("Kelso", 0),
        ("unknown", 0),
        ("", 0),
        (" \n", 0),
    ],
)
def test_an_answer_is_current_outdated_or_neither(text: str, score: float) -> None:
    question = Question("q", "mara home ?", ("dorn",), stale=("velt", "New Kelso"))
    assert stale(Answer(text), question) == score
    assert outdated(text, question) == (score < 0)
    assert score in SHARES.values()


def test_without_outdated_answers_none_is_held_against_anybody() -> None:
    assert stale(Answer("velt"), Question("q", "mara home ?", ("dorn",))) == 0
    assert stale(Answer("dorn"), Question("q", "mara home ?", ("dorn",))) == 1


def test_its_range_is_known_and_no_other_scorer_has_it() -> None:
    assert {name: metrics.lowest(name) for name in metrics.SCORERS if metrics.lowest(name)} == {"stale": -1}


scores = st.lists(st.lists(st.sampled_from([-1.0, 0.0, 1.0]), max_size=4), max_size=12)


@given(scores)
def test_an_interval_of_such_scores_is_that_of_the_same_scores_halved_and_moved(found: list[list[float]]) -> None:
    told = intervals.mean_interval(found, lowest=-1)
    unit = intervals.mean_interval([[score / 2 + 0.5 for score in task] for task in found])
    assert (told.n, told.tasks) == (unit.n, unit.tasks)
    assert (told.low, told.high) == pytest.approx((2 * unit.low - 1, 2 * unit.high - 1))
    if told.n:
        assert told.mean == pytest.approx(sum(map(sum, found)) / told.n)
        assert -1 <= told.low <= told.mean + 1e-12
        assert told.mean - 1e-12 <= told.high <= 1


def test_a_score_below_its_range_is_refused() -> None:
    with pytest.raises(ValueError, match="outside"):
        intervals.mean_interval([[-1.0]])
