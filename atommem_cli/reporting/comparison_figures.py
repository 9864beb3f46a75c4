"""Figures of comparisons: differences with their intervals, and cost against quality."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import TYPE_CHECKING, Any

from atommem_cli.compare.comparison import SIGNIFICANT, Comparison, Side
from atommem_cli.compare.paired import Difference
from atommem_cli.reporting.plotting import MARKERS, shown
from atommem_cli.reporting.themes import INK, PALETTE, PAPER, Theme, themed

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_PANELS = 5
"""Kinds of question with a panel of their own, beside all together."""
WIDE = 10
"""From how many times the cheapest run's tokens on the dearest's call for a logarithmic scale."""


def difference_figure(
    comparisons: Sequence[Comparison],
    theirs: Mapping[str, float] | None = None,
    theme: Theme = "light",
    whose: str = "",
) -> Figure | None:
    """Differences to the base by run: overall, and by kind of question where there are at most `MOST_PANELS`.

    One comparison is drawn with its 95 % intervals, filled where the difference is significant after Holm. Of
    several (the same runs with other seeds) each is a point, and their mean a bar.

    Args:
        theirs: published differences by a run's label, in points.
        whose: who published them.

    Returns:
        None where nothing is compared.
    """
    from matplotlib.figure import Figure

    first = comparisons[0]
    names = [side.label for side in first.sides[1:] if any(c.against(side.label) for c in comparisons)]
    if not names:
        return None
    kinds = list(first.base.groups)
    panels = ["", *(kinds if 1 < len(kinds) <= MOST_PANELS else _hinges(kinds))]
    with themed(theme):
        figure = Figure(figsize=(2.6 + 2.1 * len(panels), 1.5 + 0.36 * len(names)), layout="constrained")
        axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
        for axis in axes[2:]:
            axis.sharex(axes[1])  # all questions together differ by less, and have a scale of their own
        for axis, kind in zip(axes, panels, strict=True):
            for row, name in enumerate(names):
                found = [side for c in comparisons if (side := c.against(name))]
                _mark(axis, row, found, kind, theme, alone=len(comparisons) == 1)
                if not kind and theirs and name in theirs:
                    axis.plot(theirs[name], row, "D", markersize=6, markerfacecolor="none", color=INK[theme])
            axis.axvline(0, color=INK[theme], linewidth=0.8)
            axis.set_title(_heading(comparisons, kind))
            axis.set_xlabel(f"{first.title}, points")
            axis.grid(axis="y", visible=False)
        axes[0].set_yticks(range(len(names)), [shown(name) for name in names])
        axes[0].set_ylim(len(names) - 0.4, -0.6)
        figure.suptitle(_title(comparisons, whose if theirs else ""), x=0.012, ha="left")
    return figure


def costs(comparison: Comparison, theme: Theme = "light") -> Figure | None:
    """Score against tokens per question, with 95 % intervals; the Pareto set is joined. None for one run alone.

    Where costs are far apart, their scale is logarithmic: cheap runs would else lie on top of each other.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator

    sides = [side for side in comparison.sides if not side.invalid]
    if len(sides) < 2:
        return None
    with themed(theme):
        figure = Figure(figsize=(8.0, max(4.2, 1.4 + 0.24 * len(sides))), layout="constrained")
        axes = figure.add_subplot()
        best = sorted((side for side in sides if side.efficient), key=lambda side: side.tokens)
        axes.step(
            [side.tokens for side in best],
            [100 * side.score.mean for side in best],
            where="post",
            color=INK[theme],
            linewidth=0.8,
            alpha=0.5,
        )
        for number, side in enumerate(sides):
            mean = 100 * side.score.mean
            span = [[mean - 100 * side.score.low], [100 * side.score.high - mean]]
            turn, colour = divmod(number, len(PALETTE[theme]))
            style: dict[str, Any] = {
                "fmt": MARKERS[turn % len(MARKERS)],
                "color": PALETTE[theme][colour],
                "elinewidth": 1,
            }
            filled: dict[str, Any] = {
                "markerfacecolor": None if side.efficient else PAPER[theme],
                "label": shown(side.label),
            }
            axes.errorbar(side.tokens, mean, yerr=span, **style, **filled)
        figure.legend(loc="outside right upper")
        tokens = [side.tokens for side in sides]
        if max(tokens) >= WIDE * min(tokens) > 0:
            axes.set_xscale("log")
            axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axes.xaxis.set_major_formatter("{x:,.0f}")
            axes.minorticks_off()
        axes.set_xlabel("tokens per question (prompt and new)")
        axes.set_ylabel(f"{comparison.title} [%]")
        axes.margins(x=0.08)
        score = comparison.base.score
        # In short lines: beside them stand the names of the runs.
        size = f"n = {score.n} questions in {score.tasks} task{'s' * (score.tasks != 1)}"
        title = f"Cost against quality on {comparison.source}\n{size}\n95 % intervals; filled: Pareto set"
        figure.suptitle(title, x=0.012, ha="left")
    return figure


def _hinges(kinds: Sequence[str]) -> list[str]:
    """Of too many kinds those that say what an operation is worth."""
    return [kind for kind in kinds if kind in ("create", "update", "delete", "none")]


def _mark(axes: Axes, row: int, sides: Sequence[Side], kind: str, theme: Theme, *, alone: bool) -> None:
    found = [(side, _of(side, kind)) for side in sides]
    points = [(side, d) for side, d in found if d is not None and d.n]
    if not points:
        return
    ink, paper = PALETTE[theme][0], PAPER[theme]
    if alone:
        side, d = points[0]
        sure = not kind and side.holm is not None and side.holm <= SIGNIFICANT
        axes.plot([100 * d.low, 100 * d.high], [row, row], color=ink, linewidth=1.6)
        axes.plot(100 * d.delta, row, "o", color=ink, markersize=7, markerfacecolor=ink if sure else paper)
        return
    for number, (_, d) in enumerate(points):
        offset = 0.22 * (number / max(1, len(points) - 1) - 0.5) * 2
        axes.plot(100 * d.delta, row + offset, "o", color=PALETTE[theme][number % 7], markersize=5)
    mean = 100 * fmean(d.delta for _, d in points)
    axes.plot([mean, mean], [row - 0.34, row + 0.34], color=INK[theme], linewidth=2)


def _of(side: Side, kind: str) -> Difference | None:
    return side.groups[kind][1] if kind in side.groups else None if kind else side.difference


def _heading(comparisons: Sequence[Comparison], kind: str) -> str:
    bases = [c.base for c in comparisons if not kind or kind in c.base.groups]
    score = fmean(base.groups[kind][0] if kind else base.score.mean for base in bases)
    return f"{kind or 'all questions'} ({100 * score:.0f})"


def _title(comparisons: Sequence[Comparison], whose: str) -> str:
    first = comparisons[0]
    score = first.base.score
    if len(comparisons) == 1:
        how = "95 % intervals, filled: significant after Holm"
    else:
        how = f"each of {len(comparisons)} seeds, in its colour; bar: their mean"
    diamond = f"; diamond: {whose}" if whose else ""
    return (
        f"Difference to {shown(first.base.label)} on {first.source} (its score in brackets)\n"
        f"n = {score.n} questions in {score.tasks} task{'s' * (score.tasks != 1)}; {how}{diamond}"
    )
