"""Colours and type of the figures, on light and on dark ground."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

Theme = Literal["light", "dark"]

# Okabe and Ito's colours, which the colour-blind tell apart (jfly.uni-koeln.de/color), without black and yellow,
# which are lost on paper; on dark ground lighter tones of the same hues.
PALETTE = {
    "light": ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7A7A7A"),
    "dark": ("#6CB8EC", "#FF8A4C", "#3CCFA4", "#E9A6CB", "#F2BD4A", "#A9D8F7", "#A8A8A8"),
}
PAPER = {"light": "#FFFFFF", "dark": "#16191D"}
INK = {"light": "#1C2024", "dark": "#E4E7EA"}
GRID = {"light": "#E3E6E9", "dark": "#30353B"}


@contextmanager
def themed(theme: Theme) -> Iterator[None]:
    """Matplotlib's own defaults and ours, whatever the user's settings are."""
    import matplotlib as mpl

    ink, paper, grid = INK[theme], PAPER[theme], GRID[theme]
    ours: dict[Any, Any] = {
        **dict.fromkeys(("figure.facecolor", "axes.facecolor", "savefig.facecolor", "legend.facecolor"), paper),
        **dict.fromkeys(("text.color", "axes.labelcolor", "xtick.labelcolor", "ytick.labelcolor"), ink),
        **dict.fromkeys(("axes.edgecolor", "xtick.color", "ytick.color"), "#8A9199"),
        **dict.fromkeys(("axes.spines.top", "axes.spines.right", "text.parse_math", "legend.frameon"), False),
        "grid.color": grid,
        "axes.grid": True,
        "axes.axisbelow": True,
        "axes.titlelocation": "left",
        "axes.titleweight": "bold",
        "axes.titlesize": 10,
        "axes.labelsize": 9.5,
        "figure.titlesize": 12,
        "font.size": 9.5,
        "legend.fontsize": 9,
        "lines.solid_capstyle": "round",
        "pdf.fonttype": 42,
    }
    with mpl.rc_context(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # a name in a script that the font has not
        mpl.rcdefaults()
        mpl.rcParams.update(ours)
        yield
