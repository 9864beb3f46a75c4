"""Train here, evaluate there: policies that learned from several sources, each played on all of them.

A run stands in the row of the source that its policy learned from, and in the column of the one that it was played on.
Both are found from what is there: tasks by their digests and by the options that they were prepared with, whatever
their seed; a training by the folder of its model (`runs.trained_on`). A label says what is not found, or renames it.

Each column is compared with the policy that was trained there, on the same tasks: paired by question, clustered by
task. Of several runs in a cell (seeds, each with tasks of its own) every one counts the same, with Student's interval
over them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from atommem_cli.compare.comparison import scored
from atommem_cli.compare.curves import Estimate, student
from atommem_cli.compare.paired import paired
from atommem_cli.core.errors import RunMismatch, UsageError
from atommem_cli.core.safe_text import one_line
from atommem_cli.runs import labels, trained_on
from atommem_cli.runs.names import differing, names_of
from atommem_cli.runs.reader import Run
from atommem_cli.scoring.intervals import mean_interval
from atommem_cli.scoring.metrics import lowest

_MOST_OPTIONS = 3
"""Options that name a source; where more differ, its folder does."""


@dataclass(frozen=True, slots=True)
class Cell:
    """Policies of one row on the tasks of one column."""

    score: Estimate
    difference: Estimate | None
    """To the policy that was trained there; None for that itself, and where there is none."""
    p: float | None
    """Of the sign flips of tasks, of a single run."""
    runs: int
    questions: int


@dataclass(frozen=True, slots=True)
class Transfer:
    """The matrix."""

    title: str
    """The scorer."""
    rows: tuple[str, ...]
    """Where policies learned: the columns' names first, as far as there are any; then others."""
    columns: tuple[str, ...]
    cells: Mapping[tuple[str, str], Cell]
    """By row and column; those that were not played are not there."""


@dataclass(frozen=True, slots=True)
class Placed:
    """A run in its place."""

    run: Run
    trained: str
    evaluated: str


def transfer(runs: Sequence[Run], given: Mapping[str, str], scorer: str | None = None) -> Transfer:
    """The matrix of some runs.

    Args:
        given: names by path: of a folder of tasks, of a model, or of its training.
        scorer: None is the first run's leading one.

    Raises:
        UsageError: a run is unfinished, a label names nothing here, or where a policy was trained is not known.
        RunMismatch: no two sources, or a run is not over the tasks of the policy that was trained there.
        SourceError: a file is damaged.
    """
    for run in runs:
        run.insist_complete()
    placed = place(runs, given)
    title = scorer or runs[0].leading
    columns = tuple(dict.fromkeys(one.evaluated for one in placed))
    trained = dict.fromkeys(one.trained for one in placed)
    rows = (*(name for name in columns if name in trained), *(name for name in trained if name not in columns))
    if len(columns) < 2:
        raise RunMismatch(f"every run is on {columns[0]}: a transfer takes two sources at least")
    cells = {}
    for row in rows:
        for column in columns:
            mine = [one.run for one in placed if (one.trained, one.evaluated) == (row, column)]
            home = [one.run for one in placed if one.trained == one.evaluated == column]
            if mine:
                cells[row, column] = _cell(mine, home if row != column else [], title)
    return Transfer(title, rows, columns, cells)


def _cell(runs: Sequence[Run], home: Sequence[Run], scorer: str) -> Cell:
    scores, least = [list(scored(run, scorer).values()) for run in runs], lowest(scorer)
    intervals = [mean_interval(each, lowest=least) for each in scores]
    questions = sum(interval.n for interval in intervals)
    beside = [_beside(run, other, scorer) for run in runs if (other := _partner(run, home)) is not None]
    differences = [paired(mine, theirs, lowest=least) for mine, theirs in beside]
    if home and len(differences) < len(runs):
        lost = next(run for run in runs if _partner(run, home) is None)
        raise RunMismatch(
            f"{lost.path}: the policy that was trained there has not played the same tasks: play it on them"
        )
    if len(runs) == 1:
        (one,), apart = intervals, differences[0] if differences else None
        score = Estimate(one.mean, one.low, one.high)
        change = Estimate(apart.delta, apart.low, apart.high) if apart else None
        return Cell(score, change, apart.p if apart else None, 1, questions)
    score = student([interval.mean for interval in intervals]).within(least, 1.0)
    change = student([apart.delta for apart in differences]) if differences else None
    return Cell(score, change, None, len(runs), questions)


def _partner(run: Run, home: Sequence[Run]) -> Run | None:
    """The run of the policy that was trained there over the same episodes; of several the one with the same seed."""
    same = [
        other
        for other in home
        if other.identity["tasks"] == run.identity["tasks"] and other.episodes.keys() == run.episodes.keys()
    ]
    return next((other for other in same if other.recipe.seed == run.recipe.seed), same[0] if same else None)


def _beside(run: Run, other: Run, scorer: str) -> tuple[list[list[float]], list[list[float]]]:
    mine, theirs = (list(map(list, scored(one, scorer).values())) for one in (run, other))
    return mine, theirs


# --- where runs belong


@dataclass(frozen=True, slots=True)
class _Source:
    """Tasks that were prepared in one way."""

    folder: Path
    key: str
    options: Mapping[str, Any]


def place(runs: Sequence[Run], given: Mapping[str, str]) -> list[Placed]:
    """Every run in its row and column.

    Raises:
        UsageError: as `transfer`.
    """
    wanted = {Path(path).resolve(): name for path, name in given.items()}
    played = [_played_on(run) for run in runs]
    learned = [_learned(run, played, wanted) for run in runs]
    there = [*played, *(one for one in learned if isinstance(one, _Source))]
    named = _names(list({one.key: one for one in there}.values()), wanted)
    used = {*(one.folder for one in there), *_places(runs)}
    if strange := [path for path in given if Path(path).resolve() not in used]:
        raise UsageError(f"--label {strange[0]}: it is no folder of tasks, model or training of these runs")
    return [
        Placed(run, one if isinstance(one, str) else named[one.key], named[where.key])
        for run, where, one in zip(runs, played, learned, strict=True)
    ]


def _source(folder: Path) -> _Source | None:
    """None where the tasks are not there."""
    options = trained_on.setting(folder)
    return None if options is None else _Source(folder.resolve(), json.dumps(options, sort_keys=True), options)


def _played_on(run: Run) -> _Source:
    folder = Path(run.recipe.task.folder)
    found = _source(folder)
    if found is None or run.identity["tasks"] not in trained_on.digests(folder):
        raise UsageError(f"{run.path}: the tasks that it was played on are not in {folder}, seen from where you stand")
    return found


def _model(run: Run) -> Path | None:
    named = (run.recipe.policy.model_extra or {}).get("model")
    return Path(str(named)) if named else None


def _places(runs: Sequence[Run]) -> Iterator[Path]:
    """Models and trainings."""
    for model in filter(None, map(_model, runs)):
        yield model.resolve()
        if training := trained_on.training_of(model):
            yield training.resolve()


def _learned(run: Run, played: Sequence[_Source], wanted: Mapping[Path, str]) -> _Source | str:
    """The source that a policy learned from, or the name of its row."""
    model = _model(run)
    if model is None:
        return labels.label(run.identity["policy"])
    training = trained_on.training_of(model)
    for place in filter(None, (model, training)):
        if place.resolve() in wanted:
            return wanted[place.resolve()]
    seen = trained_on.tasks_of(training) if training else set()
    found = next((one for one in played if seen & trained_on.digests(one.folder)), None)
    if found is None and training is not None:
        found = _source(trained_on.folder_of(training))
    if found is None:
        there = f"the tasks of {training} are not there" if training else f"there is no training beside {model}"
        raise UsageError(
            f"{run.path}: {there}, so where its policy was trained is not known: --label {model}=NAME says it"
        )
    return found


def _names(sources: Sequence[_Source], wanted: Mapping[Path, str]) -> dict[str, str]:
    """A name for each source: a label, or the options in which it differs from the others, or its folder."""
    told = differing([one.options for one in sources])
    folders = names_of([one.folder for one in sources])
    found = {}
    for number, one in enumerate(sources):
        options = ", ".join(f"{key} {each[number]}" for key, each in told.items())
        found[one.key] = one_line(options if 0 < len(told) <= _MOST_OPTIONS else folders[number])
    for folder, name in wanted.items():
        if (there := trained_on.setting(folder)) is not None:
            found[json.dumps(there, sort_keys=True)] = name
    return found
