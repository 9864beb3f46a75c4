"""A comparison as tables and sentences. Scores, differences and what could have been seen are in points of %."""

from __future__ import annotations

from collections.abc import Mapping
from math import isnan

from atommem_cli.evidence.comparison import SIGNIFICANT, Comparison, Panel, Side
from atommem_cli.evidence.paired import Difference
from atommem_cli.tables import Table, percent, points

THEIRS = "AtomMem v3 (theirs)"
"""Heading of published numbers."""


def main(comparison: Comparison, theirs: Mapping[str, str] | None = None) -> Table:
    """One row per run: score, difference to the base and how sure it is, cost.

    Args:
        theirs: published numbers by a run's label, as they shall be shown.
    """
    headers = (
        "run",
        f"{comparison.scorer} [95 %]",
        "difference [95 %]",
        "p",
        "p (Holm)",
        "won / lost / tied",
        "n",
        "visible",
        "calls",
        "tokens",
        "failed",
        "Pareto",
        *([THEIRS] if theirs else []),
    )
    rows = []
    for side in comparison.sides:
        score, base = side.score, side is comparison.base
        if base or side.difference is None:
            middle = ("base" if base and not side.invalid else "INVALID", "", "", "")
        else:
            d = side.difference
            middle = (_points(d), _p(d.p), _p(side.holm), f"{d.wins} / {d.losses} / {d.ties}")
        rows.append(
            (
                side.label,
                percent(score.mean, score.low, score.high),
                *middle,
                f"{score.n} in {score.clusters} tasks",
                f"{100 * side.difference.visible:.1f}" if side.difference else "",
                f"{side.calls:.1f}",
                f"{side.tokens:,.0f}",
                str(side.failed),
                "yes" if side.efficient else "",
                *([theirs.get(side.label, "")] if theirs else []),
            )
        )
    title = (
        f"{comparison.scorer} in % on {comparison.source}; differences to {comparison.base.label} are paired by "
        "question and clustered by task; p is exact (sign flips of tasks), Holm goes over the rows; visible: the true "
        "difference that would have shown four times in five; calls per episode, tokens per question as each policy "
        "counts them"
    )
    return Table(title, headers, tuple(rows))


def by_kind(comparison: Comparison) -> Table | None:
    """Differences by kind of question; None where there is one kind only."""
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
    title = (
        f"{comparison.scorer} by kind of question: {comparison.base.label} scores, the others differ by (not adjusted)"
    )
    return Table(title, ("run", *labels), tuple(rows))


def scorers(panel: Panel) -> tuple[Table, str]:
    """Every scorer's means, and in one sentence whether the order of the runs survives them."""
    headers = ("run", *panel.means)
    rows = [
        (label, *(f"{100 * each[number]:.1f}" for each in panel.means.values()))
        for number, label in enumerate(panel.labels)
    ]
    taus = ("-" if isnan(tau) else f"{tau:.2f}" for tau in panel.taus.values())
    table = Table(
        f"Other scorers, in %; last row: Kendall's tau-b with {panel.leading}",
        headers,
        (*rows, ("tau", *taus)),
    )
    swaps = [f"{name} puts {second} above {first}" for name, first, second in panel.swaps]
    if not swaps:
        return table, f"No scorer turns the order of two runs under {panel.leading} around."
    return table, f"The order under {panel.leading} depends on the scorer: {'; '.join(swaps)}."


def says(comparison: Comparison, side: Side, what: str, caveat: str = "") -> str:
    """What a difference supports, and what it does not.

    Args:
        what: the change, as the subject of a sentence.
        caveat: what it does not say in any case.
    """
    d = side.difference
    if side.invalid or d is None:
        return f"{what}: INVALID, a budget was broken ({side.invalid or f'in the base: {comparison.base.invalid}'})."
    text = (
        f"{what} changes {comparison.scorer} by {100 * d.delta:+.1f} points on {d.n} questions of {d.clusters} tasks "
        f"(95 % interval {100 * d.low:+.1f} to {100 * d.high:+.1f}, p {_p(side.holm, equals=True)} after Holm): "
    )
    if side.holm is not None and side.holm <= SIGNIFICANT:
        text += "an effect, for this policy on tasks like these."
    else:
        text += (
            "no effect is shown, and none is ruled out within that interval; a true one below "
            f"{100 * d.visible:.1f} points would often have been missed."
        )
    return f"{text} {caveat}".rstrip()


def _points(d: Difference) -> str:
    return points(d.delta, d.low, d.high)


def _p(value: float | None, *, equals: bool = False) -> str:
    if value is None:
        return ""
    if value < 1e-4:
        return "< 0.0001"
    return f"{'= ' if equals else ''}{value:.2g}"
