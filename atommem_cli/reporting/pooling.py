"""The same ablation under several seeds: does a difference survive another training, other tasks, another draw?"""

from __future__ import annotations

from collections.abc import Sequence
from math import nan, sqrt
from statistics import fmean, stdev

from atommem_cli.errors import RunMismatch
from atommem_cli.evidence.comparison import SIGNIFICANT, Comparison, Side
from atommem_cli.tables import Table, points


def pool(comparisons: Sequence[Comparison], names: Sequence[str]) -> list[Table]:
    """Differences of the arms that all comparisons have, over the comparisons, in points; each counts the same.

    Args:
        names: one per comparison.

    Raises:
        RunMismatch: they have no arm in common, or other scorers.
    """
    first = comparisons[0]
    if {c.scorer for c in comparisons} != {first.scorer}:
        raise RunMismatch("these ablations cannot be pooled: their leading scorers differ")
    sides = {side.label: [_valid(c, side.label) for c in comparisons] for side in first.sides[1:]}
    common = {label: [s for s in each if s] for label, each in sides.items() if all(each)}
    if not common:
        raise RunMismatch("these ablations cannot be pooled: no valid arm is in all of them")
    rows = []
    for label, each in common.items():
        deltas = [side.difference.delta for side in each if side.difference]
        sure = sum(side.holm is not None and side.holm <= SIGNIFICANT for side in each)
        rows.append((label, _spread(deltas), *(f"{100 * d:+.1f}" for d in deltas), f"{sure} of {len(each)}"))
    base = [f"{100 * c.base.score.mean:.1f}" for c in comparisons]
    scores = fmean(c.base.score.mean for c in comparisons)
    title = (
        f"{first.scorer} on {first.source}: differences to {first.base.label} in points, over {len(comparisons)} "
        "ablations; intervals 95 %, Student's t over the ablations, which knows nothing of the tasks in them"
    )
    headers = ("run", "mean [95 %]", *names, "significant (Holm)")
    tables = [Table(title, headers, ((f"{first.base.label} (score)", f"{100 * scores:.1f}", *base, ""), *rows))]
    kinds = [kind for kind in first.base.groups if all(kind in c.base.groups for c in comparisons)]
    if len(kinds) > 1:
        tables.append(_by_kind(comparisons, common, kinds))
    return tables


def _by_kind(comparisons: Sequence[Comparison], common: dict[str, list[Side]], kinds: Sequence[str]) -> Table:
    first = comparisons[0]
    scores = (f"{100 * fmean(c.base.groups[kind][0] for c in comparisons):.1f}" for kind in kinds)
    rows: list[tuple[str, ...]] = [(f"{first.base.label} (score)", *scores)]
    for label, each in common.items():
        cells = []
        for kind in kinds:
            found = [side.groups[kind][1] for side in each]
            cells.append(_spread([d.delta for d in found if d]))
        rows.append((label, *cells))
    title = f"{first.scorer} by kind of question: mean difference over the ablations [95 %]"
    return Table(title, ("run", *kinds), tuple(rows))


def _valid(comparison: Comparison, label: str) -> Side | None:
    return next((side for side in comparison.sides if side.label == label and side.difference), None)


def _spread(deltas: Sequence[float]) -> str:
    """Mean with Student's interval over the values."""
    from scipy.special import stdtrit

    mean = fmean(deltas)
    half = float(stdtrit(len(deltas) - 1, 0.975)) * stdev(deltas) / sqrt(len(deltas)) if len(deltas) > 1 else nan
    return points(mean, mean - half, mean + half)
