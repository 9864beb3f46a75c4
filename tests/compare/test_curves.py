"""Scores against the values of one setting: lines, changes, and changes of changes."""

from __future__ import annotations

import pytest

from atommem_cli.compare.curves import Curves, Scores, curves, pooled, student
from atommem_cli.compare.paired import paired
from atommem_cli.core.errors import RunMismatch
from atommem_cli.reporting import curve_figures, curve_tables


def scores(text: str) -> Scores:
    """A task of one question for each digit."""
    return {f"t{number:02}": [float(digit)] for number, digit in enumerate(text)}


def both(falls: str = "1000000011", keeps: str = "1111111000") -> Curves:
    lines = {
        "base": {0.0: scores("1111111111"), 50.0: scores(falls), 10.0: scores("1111110000")},
        "without-storage": {0.0: scores("1111110000"), 50.0: scores(keeps)},
    }
    found = curves("store.noise.entries", "em", 0.0, lines)
    assert found is not None
    return found


def test_every_line_is_compared_with_itself_and_its_change_with_the_first_ones() -> None:
    base, other = both().lines
    assert [spot.value for spot in base.spots] == [0, 10, 50]
    assert [spot.score.mean for spot in base.spots] == [1.0, 0.6, 0.3]
    assert [spot.change and spot.change.mean for spot in base.spots] == [None, pytest.approx(-0.4), pytest.approx(-0.7)]
    assert [spot.apart for spot in base.spots] == [None, None, None]
    start, end = other.spots
    assert (start.change, start.apart) == (None, None)
    assert end.change is not None
    assert end.change.mean == pytest.approx(0.1)
    assert end.apart is not None
    assert end.apart.mean == pytest.approx(0.1 - -0.7)
    moved = [[0.5, 1.0][number == 6] for number in range(10)]  # by 0 or by 1, halved
    fell = [(int(digit) - 1 + 1) / 2 for digit in "1000000011"]
    found = paired([[one] for one in moved], [[one] for one in fell])
    assert (end.apart.low, end.apart.high) == (pytest.approx(2 * found.low), pytest.approx(2 * found.high))


def test_there_is_no_curve_without_a_reference_and_another_value() -> None:
    assert curves("k", "em", 0.0, {"base": {0.0: scores("1")}}) is None
    assert curves("k", "em", 0.0, {"base": {1.0: scores("1"), 2.0: scores("0")}}) is None
    alone = curves("k", "em", 0.0, {"a": {0.0: scores("11"), 1.0: scores("10")}, "b": {1.0: scores("11")}})
    assert alone is not None
    assert [line.label for line in alone.lines] == ["a"]


def test_seeds_count_the_same_and_values_that_one_lacks_are_left_out() -> None:
    found = pooled([both(), both("1000000001", "1111110000"), both("1000000000", "1111111100")])
    base, other = found.lines
    assert (found.seeds, found.tasks) == (3, 10)
    assert [spot.value for spot in other.spots] == [0, 50]
    assert base.spots[-1].each == (0.3, 0.2, 0.1)
    last = base.spots[-1].change
    assert last is not None
    assert last.mean == pytest.approx(-0.8)
    half = 4.302652729911275 * 0.1 / 3**0.5  # Student's t of 2 degrees of freedom, standard deviation 0.1
    assert (last.low, last.high) == (pytest.approx(-0.8 - half), pytest.approx(-0.8 + half))
    apart = other.spots[-1].apart
    assert apart is not None
    assert apart.mean == pytest.approx(((0.1 + 0.7) + (0.0 + 0.8) + (0.2 + 0.9)) / 3)
    same = student([-0.5, -0.5])
    assert (same, same.known, same.beside_zero) == ((-0.5, -0.5, -0.5), False, False)
    assert curve_tables.points_of(same) == "-50.0 [-]"
    assert student([-0.5, -0.4]).known
    another = curves("store.noise.entries", "f1", 0.0, {"base": {0.0: scores("1"), 1.0: scores("0")}})
    assert another is not None
    with pytest.raises(RunMismatch, match="cannot be pooled"):
        pooled([both(), another])


def test_tables_and_sentences_say_it_in_points() -> None:
    score, change, apart = curve_tables.tables(both())
    assert score.headers == change.headers == ("run", "0", "10", "50")
    assert [row[0] for row in score.rows] == ["base", "without-storage"]
    assert score.rows[1][2] == ""  # never played
    assert change.rows[0][3].startswith("-70.0 [")
    assert [row[0] for row in apart.rows] == ["without-storage"]
    assert apart.rows[0][3].startswith("+80.0 [")
    first, second = curve_tables.sentences(both())
    assert first.startswith("base: store.noise.entries 50 changes em by -70.0 [")
    assert second.endswith("] (less is lost).")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_figure_has_a_line_for_each(theme: str) -> None:
    drawn = curve_figures.figure(pooled([both(), both("1000000001")]), theme)  # type: ignore[arg-type]
    (axes,) = drawn.axes
    assert [text.get_text() for text in axes.get_xticklabels()] == ["0", "10", "50"]
    assert axes.get_xlabel() == "store.noise.entries"
    (legend,) = drawn.legends
    assert [text.get_text() for text in legend.get_texts()] == ["base", "without-storage"]
    assert len([line for line in axes.lines if line.get_alpha() == 0.35]) == 4  # each seed of each line


def test_scores_below_zero_have_their_whole_range() -> None:
    """`stale` goes from -1 to 1, so a change goes to 2 and a change of changes to 4."""
    up, down = ({f"t{number}": [score] for number in range(8)} for score in (1.0, -1.0))
    lines = {"base": {0.0: up, 5.0: down}, "other": {0.0: down, 5.0: up}}
    found = curves("k", "stale", 0.0, lines, -1.0)
    assert found is not None
    (_, fell), (_, rose) = (line.spots for line in found.lines)
    assert (fell.score.mean, fell.score.low) == (-1.0, -1.0)
    assert fell.change is not None
    assert rose.change is not None
    assert rose.apart is not None
    assert (fell.change.mean, rose.change.mean, rose.apart.mean) == (-2.0, 2.0, 4.0)
    assert (fell.change.low, rose.apart.high) == (-2.0, 4.0)
    together = pooled([found, found])
    assert together.lines[0].spots[1].score == (-1.0, -1.0, -1.0)
    assert curve_figures.figure(found).axes[0].get_ylim() == (-103, 103)
