"""A comparison as tables and sentences. Scores, differences and what could have been seen are in points of %."""

from __future__ import annotations

from collections.abc import Mapping
from math import isnan

from atommem_cli.compare.comparison import SIGNIFICANT, Comparison, Side
from atommem_cli.compare.paired import Difference
from atommem_cli.compare.panels import Panel
from atommem_cli.runs.labels import scorer
from atommem_cli.runs.tables import Table, percent, points
from atommem_cli.scoring import staleness


def main(comparison: Comparison, theirs: Mapping[str, str] | None = None, whose: str = "") -> Table:
    """One row per run: score, difference to the base and how sure it is, cost.

    Args:
        theirs: published numbers by a run's label, as they shall be shown.
        whose: the heading of these.
    """
    headers = (
        "run",
        f"{comparison.title} [95 %]",
        "difference [95 %]",
        "p",
        "p (Holm)",
        "won / lost / tied",
        "n",
        "visible",
        *([whose] if theirs else []),
    )
    rows = []
    for side in comparison.sides:
        score, d = side.score, side.difference
        role = "INVALID" if side.invalid else "base" if side is comparison.base else "-"
        cells = (role, "", "", "", str(score.n), "")
        if d is not None:
            counts = f"{d.wins} / {d.losses} / {d.ties}"
            cells = (_points(d), _p(d.p), _p(side.holm), counts, str(d.n), f"{100 * d.visible:.1f}")
        score_cell = percent(score.mean, score.low, score.high)
        rows.append((side.label, score_cell, *cells, *([theirs.get(side.label, "")] if theirs else [])))
    title = (
        f"{comparison.title} in % on {comparison.source}, {comparison.base.score.tasks} tasks. Differences to "
        f"{comparison.base.label}: paired by question, clustered by task; exact p (sign flips of tasks), Holm over the "
        "rows; visible: the true difference that shows four times in five after that"
    )
    return Table(title, headers, tuple(rows))


def costs(comparison: Comparison) -> Table:
    """What each run took, and whether any other gave more for less."""
    rows = tuple(
        (
            side.label,
            f"{side.calls:.1f}",
            f"{side.retrievals:.1f}",
            f"{side.entries:.1f}",
            f"{side.tokens:,.0f}",
            str(side.failed),
            str(side.stopped),
            "yes" if side.efficient else "",
        )
        for side in comparison.sides
    )
    title = (
        "Cost: calls, retrievals and most entries per episode, tokens per question as each policy counts them; failed "
        "episodes, and those that a budget stopped, count as wrong; Pareto: no other run scores as high for as little"
    )
    return Table(title, ("run", "calls", "retrievals", "entries", "tokens", "failed", "stopped", "Pareto"), rows)


def named(comparison: Comparison) -> Table | None:
    """What answers name; None where `stale` is not the scorer."""
    if not comparison.named:
        return None
    rows = tuple(
        (label, *(f"{100 * share:.1f}" for share in shares.values())) for label, shares in comparison.named.items()
    )
    title = "What answers name, in %: what is true now, what is no more, neither or both"
    return Table(title, ("run", *staleness.SHARES), rows)


def by_kind(comparison: Comparison) -> Table | None:
    """Differences by kind of question, and of how many; None where there is one kind only."""
    labels = list(comparison.base.groups)
    if len(labels) < 2:
        return None
    rows = []
    for side in comparison.sides:
        cells = []
        for label in labels:
            mean, difference = side.groups[label]
            cells.append(_points(difference) if difference else f"{100 * mean:.1f}")
        rows.append((side.label, *cells))
    compared = next((side.groups for side in comparison.sides if side.difference), {})
    counts = {label: difference.n for label, (_, difference) in compared.items() if difference}
    rows.append(("n", *(str(counts.get(label, "-")) for label in labels)))
    title = (
        f"{comparison.title} by kind of question: {comparison.base.label} scores, the others differ by (not adjusted)"
    )
    return Table(title, ("run", *labels), tuple(rows))


def scorers(panel: Panel) -> tuple[Table, str]:
    """Every scorer's means, and in one sentence whether the order of the runs survives them."""
    leading = scorer(panel.leading, panel.judge)
    headers = ("run", *(scorer(name, panel.judge) for name in panel.means))
    rows = [
        (label, *("-" if isnan(each[number]) else f"{100 * each[number]:.1f}" for each in panel.means.values()))
        for number, label in enumerate(panel.labels)
    ]
    taus = ("-" if isnan(tau) else f"{tau:.2f}" for tau in panel.taus.values())
    table = Table(
        f"Other scorers, in %; last row: Kendall's tau-b with {leading}",
        headers,
        (*rows, ("tau", *taus)),
    )
    never = "".join(f" {name} {why}." for name, why in panel.never.items())
    never += f" The judges' scores are not here: {panel.judges}." if panel.judges else ""
    swaps = [f"{name} puts {second} above {first}" for name, first, second in panel.swaps]
    if not swaps:
        return table, f"No scorer turns the order of two runs under {leading} around.{never}"
    return table, f"The order under {leading} depends on the scorer: {'; '.join(swaps)}.{never}"


def says(comparison: Comparison, side: Side, what: str = "", caveat: str = "") -> str:
    """What a difference supports, and what it does not.

    Args:
        what: the change, as the subject of a sentence; empty where the runs are just two.
        caveat: what it does not say in any case.
    """
    d, title, base = side.difference, comparison.title, comparison.base.label
    if side.invalid or d is None:
        reason = side.invalid or f"in {base}: {comparison.base.invalid}"
        return f"{what or side.label}: INVALID, a budget was broken ({reason})."
    size = f"{100 * d.delta:+.1f} points"
    told = f"{what} changes {title} by {size}" if what else f"{side.label} differs from {base} by {size} of {title}"
    text = (
        f"{told} on {d.n} questions of {d.tasks} tasks (95 % interval {100 * d.low:+.1f} to {100 * d.high:+.1f}, "
        f"p {_p(side.holm, equals=True)} after Holm): "
    )
    if side.holm is not None and side.holm <= SIGNIFICANT:
        text += f"a real difference{', for this policy' if what else ''} on tasks like these."
    else:
        text += (
            "no difference is shown, and none is ruled out within that interval; a true one below "
            f"{100 * d.visible:.1f} points would often have been missed."
        )
    stops = [f"{one.stopped} episodes of {one.label}" for one in (comparison.base, side) if one.stopped]
    if stops:
        text += f" A budget stopped {' and '.join(stops)}: that, too, is in the difference."
    return f"{text} {caveat}".rstrip()


def _points(d: Difference) -> str:
    return points(d.delta, d.low, d.high)


def _p(value: float | None, *, equals: bool = False) -> str:
    if value is None:
        return ""
    if value < 1e-4:
        return "< 0.0001"
    return f"{'= ' if equals else ''}{value:.2g}"
