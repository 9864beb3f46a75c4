"""How far training runs came: the first, best and last value of what they are judged by, and tables of these."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from atommem_cli.reporting.training_history import TRAIN, VALIDATION, History, Series, smooth, width
from atommem_cli.runs.tables import Table

EXACT_MATCH = "rewards/em/mean"
LOSS = "loss"


@dataclass(frozen=True, slots=True)
class TrainingSummary:
    """One metric of one run."""

    run: str
    metric: str
    """Its name in `metrics.jsonl`."""
    kind: str
    """validation: as measured; train: smoothed, because the value of one step is mostly noise."""
    n: int
    """Measurements."""
    first: float
    best: float
    """The highest; of `loss` the lowest."""
    best_step: int
    last: float


def leading(histories: Sequence[History]) -> list[TrainingSummary]:
    """One per run: exact match if it is validated, else the reward; of sft the loss.

    Of validation where there is one, else of training; a run that measured neither is left out.
    """
    if histories[0].command == "sft":
        metric = LOSS
    else:
        validated = any(len(history.series(VALIDATION, EXACT_MATCH)) for history in histories)
        metric = EXACT_MATCH if validated else "reward"
    by_kind = {kind: list(_of(histories, metric, kind)) for kind in (VALIDATION, TRAIN)}
    return by_kind[VALIDATION] or by_kind[TRAIN]


def everything(histories: Sequence[History]) -> list[TrainingSummary]:
    """Every reward, or what sft learns, of validation and of training."""
    if histories[0].command == "sft":
        metrics = [LOSS, "mean_token_accuracy"]
    else:
        metrics = ["reward", *sorted({name for history in histories for name in history.rewards})]
    return [one for metric in metrics for kind in (VALIDATION, TRAIN) for one in _of(histories, metric, kind)]


def table(histories: Sequence[History]) -> Table:
    """For the terminal: one row per run, and what several have in common."""
    by_run = {one.run: one for one in leading(histories)}
    headers = ("run", "steps", "minutes", "of", "n", "first", "best", "last")
    rows = []
    for history in histories:
        one = by_run.get(history.name)
        values = _values(one) if one else ("nothing measured", "-", "-", "-", "-")
        rows.append((history.name, str(history.steps), f"{history.seconds / 60:.1f}", *values))
    together = list(by_run.values())
    if len(together) > 1:
        columns = ([one.first for one in together], [one.best for one in together], [one.last for one in together])
        rows.append((f"mean of {len(together)} runs", "", "", "", "", *(_spread(column) for column in columns)))
    notes = ["best: the highest of n, so it flatters"]
    if histories[0].command == "sft":
        notes = ["best: the lowest of n, so it flatters"]
    notes += [f"{history.name} diverged: {history.diverged}" for history in histories if history.diverged]
    notes += [
        f"the model of {history.name} is that of update {history.kept}"
        for history in histories
        if history.kept is not None and (one := by_run.get(history.name)) and one.best_step != history.kept
    ]
    if len(together) > 1:
        notes.append("± one standard deviation over runs")
    return Table(f"Training by {histories[0].command}; {'; '.join(notes)}", headers, tuple(rows))


def details(histories: Sequence[History]) -> Table:
    """For the report: one row per metric, kind and run."""
    found = everything(histories)
    rows = tuple((one.run, *_values(one)) for one in found)
    title = "First, best and last; of training the smoothed curve, because one step is mostly noise"
    table = Table(title, ("run", "of", "n", "first", "best", "last"), rows)
    if len(histories) > 1:
        return table
    return Table(title, table.headers[1:], tuple(row[1:] for row in rows))


def _of(histories: Sequence[History], metric: str, kind: str) -> Iterator[TrainingSummary]:
    sigma = width(histories)
    for history in histories:
        measured = history.series(kind, metric)
        series = smooth(measured, sigma) if kind == TRAIN else measured
        if not len(series):
            continue
        best, step = _best(series, lowest=metric == LOSS)
        yield TrainingSummary(history.name, metric, kind, len(series), series.values[0], best, step, series.values[-1])


def _best(series: Series, *, lowest: bool) -> tuple[float, int]:
    """The best value and the first step that has it."""
    best = min(series.values) if lowest else max(series.values)
    return best, series.steps[series.values.index(best)]


def _values(one: TrainingSummary) -> tuple[str, ...]:
    name = one.metric.removeprefix("rewards/").removesuffix("/mean")
    of = f"{name}, {'training' if one.kind == TRAIN else one.kind}"
    return of, str(one.n), f"{one.first:.3f}", f"{one.best:.3f} (step {one.best_step})", f"{one.last:.3f}"


def _spread(values: Sequence[float]) -> str:
    return f"{fmean(values):.3f} ± {stdev(values):.3f}"
