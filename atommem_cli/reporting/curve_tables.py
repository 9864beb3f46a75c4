"""A score against the values of a setting, as tables and sentences; in points of %."""

from __future__ import annotations

from collections.abc import Callable

from atommem_cli.compare.curves import Curves, Estimate, Line, Spot
from atommem_cli.runs.tables import Table, percent, points


def tables(found: Curves) -> list[Table]:
    """What each line scores at each value, what that changes, and how the changes differ from the first line's."""
    over = f"{found.tasks} tasks"
    if found.seeds > 1:
        over += f", {found.seeds} seeds; intervals 95 %, Student's t over the seeds"
    first, key, start = found.lines[0].label, found.key, told(found.reference)
    made = [
        _table(f"{found.title} in % by {key}, {over}", found, lambda spot: score_of(spot.score)),
        _table(f"Change from {key} {start}, in points: paired by question", found, lambda spot: _points(spot.change)),
    ]
    if len(found.lines) > 1:
        title = f"That change minus the one of {first}: above 0 where less is lost than by {first}"
        made.append(_table(title, found, lambda spot: _points(spot.apart), found.lines[1:]))
    return made


def sentences(found: Curves) -> list[str]:
    """What the largest value does to each line, beside the first."""
    said = []
    for line in found.lines:
        spot = line.spots[-1]
        if spot.change is None:
            continue
        text = f"{line.label}: {found.key} {told(spot.value)} changes {found.title} by {_points(spot.change)} points"
        if spot.apart is not None:
            sure = spot.apart.beside_zero
            verdict = ("less" if spot.apart.mean > 0 else "more") if sure else "no difference shown"
            text += f"; minus what it changes of {found.lines[0].label}: {_points(spot.apart)} ({verdict} is lost)"
            text = text.replace("(no difference shown is lost)", "(no difference is shown)")
        said.append(f"{text}.")
    return said


def told(value: float) -> str:
    """A value as it was typed."""
    return f"{value:g}"


def _table(title: str, found: Curves, cell: Callable[[Spot], str], lines: tuple[Line, ...] | None = None) -> Table:
    values = sorted({spot.value for line in found.lines for spot in line.spots})
    rows = []
    for line in found.lines if lines is None else lines:
        there = {spot.value: cell(spot) for spot in line.spots}
        rows.append((line.label, *(there.get(value, "") for value in values)))
    return Table(title, ("run", *map(told, values)), tuple(rows))


def _points(estimate: Estimate | None) -> str:
    return "" if estimate is None else points_of(estimate)


def score_of(estimate: Estimate) -> str:
    """A score in %, with its interval where that says anything."""
    return percent(*estimate) if estimate.known else f"{100 * estimate.mean:.1f} [-]"


def points_of(estimate: Estimate) -> str:
    """Likewise a difference in points."""
    return points(*estimate) if estimate.known else f"{100 * estimate.mean:+.1f} [-]"
