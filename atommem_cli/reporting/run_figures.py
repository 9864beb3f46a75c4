"""Figures of evaluations: why questions were missed, operations, the store as it fills, score by size and by cost.

Each draws one run or several side by side, and gives None where there is nothing to see. The same runs give the same
bytes.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from operator import attrgetter
from statistics import fmean, median
from textwrap import wrap
from typing import TYPE_CHECKING, Any

from atommem_cli.core.safe_text import visible
from atommem_cli.core.types import OpKind
from atommem_cli.explain.causes import Cause
from atommem_cli.reporting.plotting import DASHES, HATCHES, MARKERS, shown
from atommem_cli.reporting.run_statistics import ANSWERS, BEFORE, TENTHS, EpisodeUse, Survey
from atommem_cli.reporting.themes import INK, PALETTE, PAPER, Theme, themed
from atommem_cli.runs.labels import scorer
from atommem_cli.scoring.intervals import Interval, mean_interval
from atommem_cli.scoring.metrics import lowest

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BINS = 5
"""Groups of equally many episodes that a figure of one run against a size or a cost makes."""
POSITIONS = 16
"""Chunks that have a bar each; of a longer task each tenth has one."""
REMAINING = 0.25
"""Share of the episodes that must reach a step for the step to be drawn."""
LETTERS = 28
"""Of the title of a panel, in a line."""
KINDS = (OpKind.CREATE, OpKind.UPDATE, OpKind.DELETE, OpKind.READ, OpKind.SCRATCHPAD)


def documents(surveys: Sequence[Survey], theme: Theme = "light") -> Figure | None:
    """Score against the size of a task: documents where they differ, else chunks; None if all are of one size."""
    for unit in ("documents", "chunks"):
        groups = [_groups(survey, attrgetter(unit)) for survey in surveys]
        if any(len(one) > 1 for one in groups):
            break
    else:
        return None
    with themed(theme):
        figure, (axes,) = _canvas(1)
        for index, (survey, found) in enumerate(zip(surveys, groups, strict=True)):
            _points(axes, found, _name(survey), _style(theme, index))
        axes.set_xlabel(f"{unit} per task (mean of each group)")
        axes.locator_params(axis="x", integer=True)
        _percent(axes, surveys)
        _legend(figure, axes, surveys)
    return figure


def store(surveys: Sequence[Survey], theme: Theme = "light") -> Figure | None:
    """Entries in the store after each step: median, and from quartile to quartile; None if it stayed empty."""
    if not any(count for survey in surveys for by_size in survey.entries.values() for count in by_size):
        return None
    with themed(theme):
        figure, (axes,) = _canvas(1)
        for index, survey in enumerate(surveys):
            enough = REMAINING * len(survey.plays)
            steps = [step for step in sorted(survey.entries) if survey.entries[step].total() >= enough]
            low, middle, high = (
                [_quantile(survey.entries[step], share) for step in steps] for share in (0.25, 0.5, 0.75)
            )
            style = _style(theme, index) | ({"marker": "o"} if len(steps) == 1 else {})
            axes.fill_between(steps, low, high, color=style["color"], alpha=0.16, linewidth=0, step=None)
            axes.plot(steps, middle, linewidth=2, label=_name(survey), **style)
        axes.set_xlabel("step (model call)")
        axes.set_ylabel("entries in the store")
        axes.set_ylim(bottom=0)
        axes.set_xlim(left=0)
        axes.locator_params(integer=True)
        _legend(figure, axes, surveys)
    return figure


def operations(surveys: Sequence[Survey], theme: Theme = "light") -> Figure | None:
    """Operations per episode by position of the chunk: above zero what took effect, below what had none.

    Of the episodes those count that have the position; None if nothing was tried.
    """
    drawn = [survey for survey in surveys if survey.operations]
    if not drawn:
        return None
    whole = max(play.chunks for survey in drawn for play in survey.plays) <= POSITIONS
    tried = [survey.operations if whole else survey.tenths for survey in drawn]
    kinds = [kind for kind in KINDS if any(found == kind for counts in tried for _, found, _ in counts)]
    begun = [BEFORE] if any(at == BEFORE for counts in tried for at, _, _ in counts) else []
    last = max((at for counts in tried for at, _, _ in counts), default=ANSWERS)
    positions = [*begun, *range(last + 1)]
    names = ["start" if at == BEFORE else f"{at + 1 if whole else 100 * at // TENTHS}" for at in positions]
    places = [*range(len(positions)), len(positions) + 0.6]
    with themed(theme):
        figure, panels = _canvas(len(drawn))
        for axes, survey, counts in zip(panels, drawn, tried, strict=False):
            have = _positions(survey.plays, whole=whole)
            ends = {True: [0.0] * len(places), False: [0.0] * len(places)}
            for colour, kind in zip(PALETTE[theme], kinds, strict=False):
                for effect, sign in ((True, 1), (False, -1)):
                    # Of a run without an episode there, nothing is counted there: no bar.
                    heights = [sign * counts[at, kind, effect] / max(1, have[at]) for at in (*positions, ANSWERS)]
                    axes.bar(
                        places,
                        heights,
                        bottom=ends[effect],
                        width=0.8,
                        color=colour,
                        alpha=1 if effect else 0.55,
                        hatch=None if effect else "////",
                        edgecolor=PAPER[theme],
                        linewidth=0.4,
                        label=kind if effect else None,
                    )
                    ends[effect] = [end + height for end, height in zip(ends[effect], heights, strict=True)]
            axes.axhline(0, color=INK[theme], linewidth=0.9)
            axes.set_xticks(places, [*names, "?"])
            axes.grid(axis="x", visible=False)
            where = "chunk" if whole else "part of the chunks that is read [%]"
            axes.set_xlabel(f"{where}; ? = questions{chr(10) + 'start = before the first call' if begun else ''}")
            axes.yaxis.set_major_formatter(lambda value, _: f"{abs(value):g}")
            axes.set_ylabel("operations per episode")
            if len(surveys) > 1:
                axes.set_title("\n".join(wrap(_name(survey), LETTERS)))
        low, high = zip(*(axes.get_ylim() for axes in panels), strict=True)
        for axes in panels:
            axes.set_ylim(min(low), max(high))
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower left", ncols=len(labels))
    return figure


def cost(surveys: Sequence[Survey], theme: Theme = "light") -> Figure | None:
    """Score against tokens and calls of an episode; of one run in groups of equally many, of several one point each."""
    units: dict[str, Callable[[EpisodeUse], int]] = {
        "tokens": lambda play: play.tokens,
        "calls": lambda play: play.calls,
    }
    if len(surveys) == 1:
        units = {unit: of for unit, of in units.items() if len({of(play) for play in surveys[0].plays}) > 1}
    if not units:
        return None
    with themed(theme):
        figure, panels = _canvas(len(units))
        for axes, (unit, of) in zip(panels, units.items(), strict=True):
            for index, survey in enumerate(surveys):
                single = len(surveys) == 1
                found = _groups(survey, of) if single else [(sorted(map(of, survey.plays)), _score(survey))]
                style = _style(theme, index) | ({} if single else {"marker": MARKERS[index % len(MARKERS)]})
                _points(axes, found, _name(survey), style, across=not single)
            axes.set_xlabel(f"{unit} per episode ({'mean of each group' if single else 'median and quartiles'})")
            axes.locator_params(axis="x", nbins=6, integer=True)
            axes.xaxis.set_major_formatter("{x:,.0f}")
            _percent(axes, surveys)
        _legend(figure, panels[0], surveys)
    return figure


def missed(surveys: Sequence[Survey], theme: Theme = "light") -> Figure | None:
    """Missed questions by cause, as a share of all questions; None if none was missed or no cause is known."""
    drawn = [survey for survey in surveys if survey.causes]
    tallies = [survey.causes["all"] for survey in drawn]
    found = [cause for cause in Cause if any(tally.causes.get(cause) for tally in tallies)]
    if not found:
        return None
    with themed(theme):
        figure, (axes,) = _canvas(1, height=1.3 + 0.42 * len(drawn) + 0.02 * len(found))
        starts = [0.0] * len(drawn)
        rows = range(len(drawn))
        colours = (*PALETTE[theme], INK[theme])
        for number, cause in enumerate(found):
            turn, place = divmod(number, len(colours))
            counts = [tally.causes.get(cause, 0) for tally in tallies]
            widths = [100 * count / tally.questions for count, tally in zip(counts, tallies, strict=True)]
            style: dict[str, Any] = {"color": colours[place], "hatch": HATCHES[turn % len(HATCHES)]}
            style |= {"height": 0.62, "edgecolor": PAPER[theme], "label": cause}
            bars = axes.barh(rows, widths, left=starts, **style)
            texts = [str(count) if width > 1.5 else "" for count, width in zip(counts, widths, strict=True)]
            axes.bar_label(bars, texts, label_type="center", color=PAPER[theme], fontsize=9, fontweight="bold")
            starts = [start + width for start, width in zip(starts, widths, strict=True)]
        axes.set_yticks(rows, [_name(survey) for survey in drawn])
        axes.invert_yaxis()
        axes.grid(axis="y", visible=False)
        axes.set_xlim(0, max(starts) * 1.04)
        axes.set_xlabel("missed [% of questions]\nin the bars: questions")
        figure.legend(loc="outside lower left", ncols=4)
    return figure


FIGURES = {"missed": missed, "documents": documents, "store": store, "operations": operations, "cost": cost}
"""In the order of the page; the names are those of the files."""


def _canvas(count: int, height: float = 0) -> tuple[Figure, list[Axes]]:
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    columns = min(count, 2 if count in (2, 4) else 3)
    rows = math.ceil(count / columns)
    size = (7.2 if count == 1 else 9.0, height or 0.6 + 2.6 * rows)
    figure = Figure(figsize=size, layout=ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.08))
    grid = figure.add_gridspec(rows, columns)
    return figure, [figure.add_subplot(grid[at // columns, at % columns]) for at in range(count)]


def _name(survey: Survey) -> str:
    """The label of a run as letters can draw it; matplotlib leaves out names that begin with `_`."""
    name = shown(visible(survey.label))
    return f" {name}" if name.startswith("_") else name


def _style(theme: Theme, index: int) -> dict[str, Any]:
    turn, colour = divmod(index, len(PALETTE[theme]))
    return {"color": PALETTE[theme][colour], "linestyle": DASHES[turn % len(DASHES)]}


def _points(
    axes: Axes, groups: Sequence[tuple[list[int], Interval]], label: str, style: dict[str, Any], *, across: bool = False
) -> None:
    """Scores with their intervals over the values of each group; `across` draws the quartiles of these, too."""
    middles = [median(values) if across else fmean(values) for values, _ in groups]
    means = [100 * score.mean for _, score in groups]
    lows = [100 * (score.mean - score.low) for _, score in groups]
    highs = [100 * (score.high - score.mean) for _, score in groups]
    bars: dict[str, Any] = {"capsize": 2.5, "elinewidth": 1.2, "markersize": 6, "marker": "o", **style}
    if across:
        bars["xerr"] = [
            [middle - _of_sorted(values, 0.25) for middle, (values, _) in zip(middles, groups, strict=True)],
            [_of_sorted(values, 0.75) - middle for middle, (values, _) in zip(middles, groups, strict=True)],
        ]
    axes.errorbar(middles, means, yerr=[lows, highs], label=label, **bars)


def _groups(survey: Survey, of: Callable[[EpisodeUse], int | None]) -> list[tuple[list[int], Interval]]:
    """Episodes by a number: one group for each if they are few, else about `BINS` of equally many."""
    known = [(value, play) for play in survey.plays if (value := of(play)) is not None]
    ordered = sorted(known, key=lambda pair: pair[0])
    distinct = sorted({value for value, _ in ordered})
    if len(distinct) > BINS + 2:
        cuts = [ordered[len(ordered) * part // BINS][0] for part in range(1, BINS)]
        bin_of = {value: sum(value >= edge for edge in cuts) for value in distinct}
    else:
        bin_of = {value: number for number, value in enumerate(distinct)}
    groups: dict[int, list[tuple[int, EpisodeUse]]] = {}
    for value, play in ordered:
        groups.setdefault(bin_of[value], []).append((value, play))
    return [([value for value, _ in found], _score(survey, [play for _, play in found])) for found in groups.values()]


def _positions(plays: Sequence[EpisodeUse], *, whole: bool) -> Counter[int]:
    """How many episodes have a chunk at each position, or in each tenth."""
    have = Counter({BEFORE: len(plays), ANSWERS: len(plays)})
    for chunks, count in Counter(play.chunks for play in plays).items():
        for at in range(chunks) if whole else {chunk * TENTHS // chunks for chunk in range(chunks)}:
            have[at] += count
    return have


def _score(survey: Survey, plays: Sequence[EpisodeUse] | None = None) -> Interval:
    tasks: dict[str, list[float]] = {}
    for play in survey.plays if plays is None else plays:
        tasks.setdefault(play.task, []).extend(play.scores)
    return mean_interval(list(tasks.values()), lowest=lowest(survey.leading))


def _percent(axes: Axes, surveys: Sequence[Survey]) -> None:
    axes.set_ylabel(f"{scorer(surveys[0].leading, surveys[0].run.judge)} [%], 95 % interval")
    axes.set_ylim(100 * lowest(surveys[0].leading) - 3, 103)


def _legend(figure: Figure, axes: Axes, surveys: Sequence[Survey]) -> None:
    """Names of the runs below the panels; one run needs none."""
    if len(surveys) > 1:
        handles, labels = axes.get_legend_handles_labels()
        columns = 1 if max(map(len, labels)) > 50 else 3
        figure.legend(handles, labels, loc="outside lower left", ncols=columns)


def _quantile(counts: dict[int, int], share: float) -> int:
    """The smallest value that at least this share of what was counted does not exceed."""
    left = share * sum(counts.values())
    for value in sorted(counts):
        left -= counts[value]
        if left <= 0:
            return value
    return max(counts)


def _of_sorted(values: Sequence[int], share: float) -> int:
    return values[max(0, math.ceil(share * len(values)) - 1)]
