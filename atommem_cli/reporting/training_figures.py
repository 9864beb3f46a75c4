"""Figures of training runs: rewards, operations, and what training costs; one run, or several with their mean.

Steps are training steps. A faint line is what was measured, a strong one is smoothed (`training_history.smooth`).
The same metrics give the same bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from io import BytesIO
from typing import TYPE_CHECKING, Literal

from atommem_cli.core.types import CONTEXT_OPS, OpKind, Outcome
from atommem_cli.reporting.plotting import FAILURES, Pen, shown
from atommem_cli.reporting.themes import Theme, themed
from atommem_cli.reporting.training_history import TRAIN, VALIDATION, History, Series, mean

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SCORES = {"loss": "loss [nats per token]", "mean_token_accuracy": "token accuracy [share]"}
"""What sft learns, with its unit."""

HOUSEKEEPING = (
    ("Memory at an episode's end", "entries", {"memory/entries": ""}),
    ("Scratchpad", "tokens", {"memory/scratchpad_tokens": ""}),
    ("Repeated reads", "per trajectory", {"memory/reads_again": ""}),
    ("Rows of a trajectory", "model calls", {"trajectory/rows": ""}),
    ("Prompts of a trajectory", "tokens", {"trajectory/prompt_tokens": ""}),
    ("Replies of a trajectory", "tokens", {"trajectory/new_tokens": ""}),
    ("Trajectories that answer", "share", {"trajectory/answered": ""}),
    ("Spread of reward in a group", "standard deviation", {"reward_std": ""}),
    ("Groups without spread", "share", {"frac_reward_zero_std": ""}),
    ("Idle part of a batch", "share", {"batch/padding": "padding", "batch/skipped": "skipped rows"}),
    ("Rows of a batch", "rows", {"batch/rows": ""}),
    ("Tokens of rows for one computed", "times", {"batch/shared": ""}),
    ("Entropy", "nats per token", {"entropy": ""}),
    ("Gradient norm", "2-norm", {"grad_norm": ""}),
    ("Learning rate", "per step", {"learning_rate": ""}),
    ("Tokens seen", "tokens", {"num_tokens": ""}),
)
"""Panels: title, unit, and metrics with their labels; those that no run measured are left out."""

TIME = {"time/generate": "generate", "time/environment": "environment", "time/train": "train"}


def reward(histories: Sequence[History], theme: Theme = "light") -> Figure | None:
    """Reward by step, as in Figure 4 of AtomMem v3, with its parts below if there are several; of sft, its scores.

    None if no run measured any.
    """
    if histories[0].command == "sft":
        metrics = [m for m in SCORES if _measured(histories, m)]
        labels = SCORES
        wide = False
    else:
        named = sorted({name for history in histories for name in history.rewards})
        total = ["reward"] if _measured(histories, "reward") else []
        parts = [m for m in named if _measured(histories, m)]
        metrics = total + (parts if len(parts) > 1 or not total else [])
        labels = {m: _folded(shown(m.removeprefix("rewards/").removesuffix("/mean"))) + " [mean]" for m in metrics}
        wide = bool(total) and len(metrics) > 1
    if not metrics:
        return None
    what = "Loss and token accuracy" if histories[0].command == "sft" else "Reward"
    with themed(theme):
        pen = Pen(histories, theme)
        figure, panels = pen.canvas(what, len(metrics), wide=wide)
        for axes, metric in zip(panels, metrics, strict=True):
            axes.set_ylabel(labels[metric])
            pen.train(axes, partial(History.series, kind=TRAIN, metric=metric))
            pen.validation(axes, partial(History.series, kind=VALIDATION, metric=metric))
        pen.finish(figure, panels)
    return figure


def _folded(name: str) -> str:
    """A long name in two lines, beside an axis."""
    at = name.rfind("_") + 1
    return f"{name[:at]}\n{name[at:]}" if len(name) > _LINE and at else name


_LINE = 16
"""Letters of a name that stand beside a panel in one line, with its unit."""


def operations(histories: Sequence[History], theme: Theme = "light") -> Figure | None:
    """Operations per model call by step, as in Figure 3 of AtomMem v3: what was tried and what took effect.

    One panel per kind, those of the scratchpad and of edits of the context only if they occur; one more says why
    operations had no effect. None if no run counted operations.
    """
    if not any(len(history.attempts(kind, OpKind.CREATE)) for history in histories for kind in (TRAIN, VALIDATION)):
        return None
    seldom = (OpKind.SCRATCHPAD, *CONTEXT_OPS)
    kinds = [kind for kind in OpKind if kind not in seldom or _tried(histories, (kind,), tuple(Outcome))]
    failures = [outcome for outcome in FAILURES if _tried(histories, kinds, (outcome,))]
    with themed(theme):
        pen = Pen(histories, theme)
        figure, panels = pen.canvas("Operations per model call", len(kinds) + bool(failures))
        for axes, kind in zip(panels, kinds, strict=False):
            axes.set_title(kind.capitalize())
            axes.set_ylabel("per model call")
            pen.attempts(axes, kind)
            _from_zero(axes)
        if failures:
            axes = panels[-1]
            axes.set_title("No effect" + _of_the_mean(histories))
            axes.set_ylabel("per model call")
            for index, outcome in enumerate(failures):
                pick = partial(_failed, kinds=kinds, outcome=outcome)
                pen.train(axes, pick, label=outcome.replace("_", " "), ink=index)
            _from_zero(axes)
            pen.label(axes, columns=2)
        pen.finish(figure, panels)
    return figure


def housekeeping(histories: Sequence[History], theme: Theme = "light") -> Figure | None:
    """Memory, lengths, idle work, optimiser and time by step; None if no run measured any."""
    chosen = [panel for panel in HOUSEKEEPING if any(_measured(histories, metric) for metric in panel[2])]
    shares = {label: mean([h.series(TRAIN, m) for h in histories]) for m, label in TIME.items()}
    times = {label: series for label, series in shares.items() if len(series)}
    if not chosen and not times:
        return None
    with themed(theme):
        pen = Pen(histories, theme)
        figure, panels = pen.canvas("Housekeeping", len(chosen) + bool(times))
        for axes, (title, unit, metrics) in zip(panels, chosen, strict=False):
            axes.set_title(title)
            axes.set_ylabel(unit)
            present = {m: label for m, label in metrics.items() if _measured(histories, m)}
            for index, (metric, label) in enumerate(present.items()):
                pen.train(axes, partial(History.series, kind=TRAIN, metric=metric), label=label, ink=index)
            _from_zero(axes)
            if any(present.values()):
                axes.set_title(title + _of_the_mean(histories))
                pen.label(axes, columns=2)
        if times:
            panels[-1].set_title("Time of a step" + _of_the_mean(histories))
            panels[-1].set_ylabel("seconds")
            pen.stack(panels[-1], times)
            _from_zero(panels[-1])
            pen.label(panels[-1], columns=2)
        for axes in panels:
            axes.yaxis.set_major_formatter("{x:g}")  # no factor above the axis
        pen.finish(figure, panels)
    return figure


def save(figure: Figure, form: Literal["png", "pdf"] = "png", theme: Theme = "light") -> bytes:
    """The figure as a file, without a date or the name of a program. PNG: 150 dots per inch."""
    unnamed = {"Software": None} if form == "png" else {"CreationDate": None, "Creator": None, "Producer": None}
    with themed(theme), BytesIO() as file:
        figure.savefig(file, format=form, dpi=150, metadata=unnamed)
        return file.getvalue()


def _measured(histories: Sequence[History], metric: str) -> bool:
    return any(len(history.series(kind, metric)) for history in histories for kind in (TRAIN, VALIDATION))


def _tried(histories: Sequence[History], kinds: Sequence[OpKind], outcomes: Sequence[Outcome]) -> bool:
    lines = (TRAIN, VALIDATION)
    return any(any(h.attempts(line, k, outcomes).values) for h in histories for line in lines for k in kinds)


def _failed(history: History, kinds: Sequence[OpKind], outcome: Outcome) -> Series:
    """Operations of any kind per model call that ended in this outcome."""
    apart = [history.attempts(TRAIN, kind, (outcome,)) for kind in kinds]
    return Series(apart[0].steps, tuple(map(sum, zip(*(one.values for one in apart), strict=True))))


def _from_zero(axes: Axes) -> None:
    top = axes.get_ylim()[1]
    axes.set_ylim(0, top if axes.dataLim.y1 > 0 else 1)


def _of_the_mean(histories: Sequence[History]) -> str:
    return ", mean" if len(histories) > 1 else ""
