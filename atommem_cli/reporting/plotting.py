"""How the curves of training runs are drawn: panels, lines, legends.

One run is drawn faint as measured and strong as smoothed. Of several runs each has its colour, and their mean,
where all of them measured, is drawn in ink above them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from io import BytesIO
from typing import TYPE_CHECKING, Any

from atommem_cli.core.types import OpKind, Outcome
from atommem_cli.reporting.themes import INK, PALETTE, PAPER, Theme, themed
from atommem_cli.reporting.training_history import TRAIN, VALIDATION, History, Series, mean, smooth, width

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Pick = Callable[[History], Series]
FAILURES = tuple(outcome for outcome in Outcome if outcome is not Outcome.OK)
DASHES = ("-", "--", ":", "-.")
HATCHES = (None, "////", "....")
MARKERS = "os^Dv"


class Pen:
    """Draws the same runs in every panel of a figure; use inside `themed`."""

    def __init__(self, histories: Sequence[History], theme: Theme) -> None:
        self._runs = histories
        self._ink, self._paper, self._colours = INK[theme], PAPER[theme], PALETTE[theme]
        self._width = width(histories)
        self._legend: dict[str, Any] = {}

    @property
    def _alone(self) -> bool:
        return len(self._runs) == 1

    def canvas(self, what: str, count: int, *, wide: bool = False) -> tuple[Figure, list[Axes]]:
        """A titled figure with so many panels, row by row.

        Args:
            wide: the first panel takes a row of its own.
        """
        from matplotlib.figure import Figure
        from matplotlib.layout_engine import ConstrainedLayoutEngine

        below = count - wide
        columns = {0: 1, 1: 1, 2: 2, 4: 2}.get(below, 3)
        rows = wide + math.ceil(below / columns)
        height = 1.1 + 2.3 * rows + (0.8 if count == 1 else 0) + 0.22 * (not self._alone) * len(self._runs) / 2
        layout = ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.08)  # inches
        figure = Figure(figsize=(9.0 if count > 1 else 7.0, height), layout=layout)
        grid = figure.add_gridspec(rows, columns)
        cells = [grid[0, :]] if wide else []
        cells += [grid[wide + index // columns, index % columns] for index in range(below)]
        panels = [figure.add_subplot(cell) for cell in cells]
        steps, tests = (sorted({h.count(kind) for h in self._runs}) for kind in (TRAIN, VALIDATION))
        who = shown(self._runs[0].name) if self._alone else f"{len(self._runs)} runs of {self._runs[0].command}"
        each = "" if self._alone else " per run"
        size = f"n = {_span(steps, 'training step')}, {_span(tests, 'validation')}{each}"
        figure.suptitle(f"{what} · {who}\n{size} (smoothed: σ = {self._width:.3g} steps)", x=0.012, ha="left")
        return figure, panels

    def train(self, axes: Axes, pick: Pick, label: str = "", ink: int = 0) -> None:
        """A metric of the training steps. With a label, which is one of several: of several runs the mean alone."""
        colour = self._colours[ink % len(self._colours)]
        raw = [pick(history) for history in self._runs]
        if self._alone:
            (faint,) = self._line(axes, raw[0], color=colour, alpha=0.3, linewidth=0.9)
            (strong,) = self._line(axes, smooth(raw[0], self._width), color=colour, linewidth=2, label=label or None)
            if not label:
                self._legend["one training step"] = faint
                self._legend["smoothed"] = strong
            return
        for index, one in enumerate(raw):
            if not label:
                (line,) = self._line(axes, smooth(one, self._width), **self._of(index), linewidth=1.2, alpha=0.85)
                self._legend[shown(self._runs[index].name)] = line
        style = {"color": colour, "label": label} if label else {"color": self._ink, "zorder": 3}
        (line,) = self._line(axes, smooth(mean(raw), self._width), linewidth=2.4, **style)
        if not label:
            self._legend["mean of the runs"] = line

    def validation(self, axes: Axes, pick: Pick) -> None:
        """A metric of the validations, as points."""
        raw = [pick(history) for history in self._runs]
        edge: dict[str, Any] = {"markeredgecolor": self._paper, "markeredgewidth": 0.9, "zorder": 4}
        for index, one in enumerate(raw):
            if self._alone and len(one):
                colour = self._colours[1]
                drawn = axes.plot(one.steps, one.values, "o-", color=colour, markersize=6.5, linewidth=1, **edge)
                self._legend["validation"] = drawn[0]
            elif len(one):
                drawn = axes.plot(one.steps, one.values, "o", color=self._of(index)["color"], markersize=6, **edge)
                self._legend.setdefault("validation of a run, in its colour", drawn[0])
        average = mean(raw)
        if not self._alone and len(average):
            bar: dict[str, Any] = {"markersize": 13, "markeredgewidth": 2.2, "zorder": 5}
            drawn = axes.plot(average.steps, average.values, "_:", color=self._ink, linewidth=1, **bar)
            self._legend["mean of the validations"] = drawn[0]

    def attempts(self, axes: Axes, kind: OpKind) -> None:
        """Operations of a kind: all that were tried, and those that took effect; what failed lies between."""
        tried = [history.attempts(TRAIN, kind) for history in self._runs]
        done = [history.attempts(TRAIN, kind, (Outcome.OK,)) for history in self._runs]
        missed = [history.attempts(TRAIN, kind, FAILURES) for history in self._runs]
        below, between = smooth(mean(done), self._width), smooth(mean(missed), self._width)
        above = Series(below.steps, tuple(map(sum, zip(below.values, between.values, strict=True))))  # never below it
        lost = self._colours[1] if self._alone else self._ink
        if self._alone:
            self._line(axes, tried[0], color=lost, alpha=0.25, linewidth=0.8)
            self._line(axes, done[0], color=self._colours[0], alpha=0.25, linewidth=0.8)
        for index, one in enumerate(done if not self._alone else []):
            (line,) = self._line(axes, smooth(one, self._width), **self._of(index), linewidth=1.2, alpha=0.85)
            self._legend[f"{shown(self._runs[index].name)}: ok"] = line
        area = axes.fill_between(above.steps, below.values, above.values, color=lost, alpha=0.15, linewidth=0)
        (all_of_them,) = self._line(axes, above, color=lost, linestyle="--", linewidth=1.7)
        colour = self._colours[0] if self._alone else self._ink
        (effective,) = self._line(axes, below, color=colour, linewidth=2.2)
        whose = "" if self._alone else ", mean"
        self._legend |= {f"all attempts{whose}": all_of_them, f"took effect (ok){whose}": effective}
        self._legend["without effect"] = area

    def stack(self, axes: Axes, parts: Mapping[str, Series]) -> None:
        """Parts of a whole on top of each other, at the steps that have all of them."""
        common = sorted(set.intersection(*(set(part.steps) for part in parts.values())))
        values = [[dict(zip(p.steps, p.values, strict=True))[s] for s in common] for p in parts.values()]
        colours = [self._colours[index] for index in (0, 4, 2)[: len(parts)]]
        axes.stackplot(common, values, labels=list(parts), colors=colours, alpha=0.85, linewidth=0)

    def label(self, axes: Axes, columns: int) -> None:
        """A legend within a panel, with room of its own above the curves; call when the limits are set."""
        entries = len(axes.get_legend_handles_labels()[1])
        low, high = axes.get_ylim()
        axes.set_ylim(low, high + (high - low) * (0.04 + 0.11 * math.ceil(entries / columns)))
        tight = {"borderpad": 0.1, "columnspacing": 1.0, "handlelength": 1.6}
        axes.legend(loc="upper left", ncols=columns, fontsize=8, **tight).set_in_layout(False)

    def finish(self, figure: Figure, panels: Sequence[Axes]) -> None:
        """Axes of steps, and one legend below all panels."""
        first = min((min(lines) for h in self._runs for lines in h.lines.values() if lines), default=0)
        last = max(max(lines) for h in self._runs for lines in h.lines.values() if lines)
        margin = max(0.5, 0.015 * (last - first))
        for axes in panels:
            axes.set_xlim(first - margin, last + margin)
            axes.locator_params(axis="x", integer=True)
            axes.set_xlabel("training step")
        longest = max(map(len, self._legend), default=0)
        columns = 1 if longest > 60 else 2 if longest > 34 else 3
        if self._legend:
            names = [f" {name}" if name.startswith("_") else name for name in self._legend]  # _: left out
            figure.legend(list(self._legend.values()), names, loc="outside lower left", ncols=columns)

    def _line(self, axes: Axes, series: Series, **style: Any) -> Any:
        if len(series) == 1:
            style |= {"marker": "o", "markersize": 4}
        return axes.plot(series.steps, series.values, **style)

    def _of(self, index: int) -> dict[str, Any]:
        """Colour and dash of one of several runs."""
        turn, colour = divmod(index, len(self._colours))
        return {"color": self._colours[colour], "linestyle": DASHES[turn % len(DASHES)]}


def shown(name: str) -> str:
    """A name that fits: the middle of a long one is left out."""
    return name if len(name) <= 60 else f"{name[:36]} … {name[-20:]}"


def _span(counts: Sequence[int], what: str) -> str:
    least, most = min(counts), max(counts)
    return f"{least if least == most else f'{least} to {most}'} {what}{'' if most == 1 else 's'}"


def vector(figure: Figure, theme: Theme) -> bytes:
    """The figure as SVG, its letters as outlines, without a date."""
    import matplotlib as mpl

    with themed(theme), BytesIO() as file:
        mpl.rcParams["svg.hashsalt"] = "atommem"
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
        return file.getvalue()
