"""A score against the values of a setting, as a figure: a line for each kind of run, with 95 % intervals."""

from __future__ import annotations

from typing import TYPE_CHECKING

from atommem_cli.compare.curves import Curves
from atommem_cli.reporting.curve_tables import told
from atommem_cli.reporting.plotting import DASHES, MARKERS, shown
from atommem_cli.reporting.themes import PALETTE, Theme, themed

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def figure(found: Curves, theme: Theme = "light") -> Figure:
    """The values stand at equal distances; under several seeds each is a faint line beside the mean."""
    from matplotlib.figure import Figure

    values = sorted({spot.value for line in found.lines for spot in line.spots})
    places = {value: at for at, value in enumerate(values)}
    with themed(theme):
        drawn = Figure(figsize=(7.0, 4.2), layout="constrained")
        axes = drawn.add_subplot()
        for number, line in enumerate(found.lines):
            colour = PALETTE[theme][number % len(PALETTE[theme])]
            turn = (number - (len(found.lines) - 1) / 2) * 0.06  # intervals of two lines do not hide one another
            x = [places[spot.value] + turn for spot in line.spots]
            means = [100 * spot.score.mean for spot in line.spots]
            for seed in range(found.seeds if found.seeds > 1 else 0):
                each = [100 * spot.each[seed] for spot in line.spots]
                axes.plot(x, each, color=colour, linewidth=0.8, alpha=0.35)
            spans = [
                [mean - 100 * spot.score.low for mean, spot in zip(means, line.spots, strict=True)],
                [100 * spot.score.high - mean for mean, spot in zip(means, line.spots, strict=True)],
            ]
            axes.errorbar(
                x,
                means,
                yerr=spans,
                color=colour,
                marker=MARKERS[number % len(MARKERS)],
                linestyle=DASHES[number % len(DASHES)],
                elinewidth=1,
                label=shown(line.label),
            )
        axes.set_xticks(range(len(values)), [told(value) for value in values])
        axes.set_xlabel(found.key)
        axes.set_ylabel(f"{found.title} [%]")
        axes.set_ylim(100 * found.lowest - 3, 103)
        drawn.legend(loc="outside right upper")
        over = f"{found.seeds} seeds of {found.tasks} tasks, faint: each" if found.seeds > 1 else f"{found.tasks} tasks"
        drawn.suptitle(f"{found.title} against {found.key}\n{over}; bars: 95 % intervals", x=0.012, ha="left")
    return drawn
