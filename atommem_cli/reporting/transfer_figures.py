"""Train here, evaluate there, as a heat map with its numbers in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from atommem_cli.compare.transfer import Transfer
from atommem_cli.reporting.plotting import shown
from atommem_cli.reporting.themes import INK, PALETTE, PAPER, Theme, themed
from atommem_cli.scoring.metrics import lowest

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_HALF = 0.55
"""Share of the range of scores from which its number stands in the colour of the paper."""


def heat_map(found: Transfer, theme: Theme = "light") -> Figure:
    """Colour and first number are the score; the second is the difference to the policy that was trained there, bold
    where its interval is on one side of 0. What was not played is empty."""
    from matplotlib.colors import LinearSegmentedColormap
    from matplotlib.figure import Figure

    rows, columns = found.rows, found.columns
    with themed(theme):
        drawn = Figure(figsize=(2.6 + 1.5 * len(columns), 1.6 + 0.75 * len(rows)), layout="constrained")
        axes = drawn.add_subplot()
        colours = LinearSegmentedColormap.from_list("score", [PAPER[theme], PALETTE[theme][0]])
        nothing, least = float("nan"), lowest(found.title)
        means = [[found.cells[r, c].score.mean if (r, c) in found.cells else nothing for c in columns] for r in rows]
        axes.imshow(means, cmap=colours, vmin=least, vmax=1, aspect="auto")
        for (row, column), cell in found.cells.items():
            x, y = columns.index(column), rows.index(row)
            colour = PAPER[theme] if cell.score.mean - least > _HALF * (1 - least) else INK[theme]
            d = cell.difference
            axes.text(
                x, y - 0.14 * (d is not None), f"{100 * cell.score.mean:.1f}", ha="center", va="center", color=colour
            )
            if d is not None:
                weight = "bold" if d.beside_zero else "normal"
                gap = f"{100 * d.mean:+.1f}"
                axes.text(x, y + 0.2, gap, ha="center", va="center", color=colour, fontsize=8, fontweight=weight)
        axes.set_xticks(range(len(columns)), [shown(name) for name in columns])
        axes.set_yticks(range(len(rows)), [shown(name) for name in rows])
        axes.set_xlabel("evaluated on")
        axes.set_ylabel("trained on")
        axes.grid(visible=False)
        apart = any(cell.difference is not None for cell in found.cells.values())
        small = "\nbelow: points to the policy that was trained there, bold: 95 % interval beside 0" if apart else ""
        drawn.suptitle(f"{found.title} in %{small}", x=0.012, ha="left", fontsize=10)
    return drawn
