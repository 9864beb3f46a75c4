"""Figures of comparisons: cost against quality."""

from __future__ import annotations

import pytest

from atommem_cli.compare.comparison import Comparison, Side
from atommem_cli.reporting import comparison_figures
from atommem_cli.scoring.intervals import mean_interval


def side(label: str, tokens: float) -> Side:
    score = mean_interval([[1.0], [0.0], [1.0]])
    return Side(label, score, None, None, "", 1.0, 0.0, 0.0, tokens, 0, 0, efficient=True, groups={})


@pytest.mark.parametrize(
    ("tokens", "scale"), [((60, 480, 9_000), "log"), ((480, 520, 2_000), "linear"), ((0, 60, 9_000), "linear")]
)
def test_costs_far_apart_have_a_logarithmic_scale(tokens: tuple[int, ...], scale: str) -> None:
    sides = tuple(side(f"run {count}", count) for count in tokens)
    figure = comparison_figures.costs(Comparison("em", sides, "hotpotqa"))
    assert figure is not None
    figure.draw_without_rendering()
    (axes,) = figure.axes
    assert axes.get_xscale() == scale
    shown = [tick.get_text() for tick in axes.get_xticklabels()]
    assert ("1,000" in shown) == (scale == "log")
    low, high = axes.get_xlim()
    assert low <= min(tokens)
    assert high >= max(tokens)
