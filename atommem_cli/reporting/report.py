"""The report of runs, of training or of evaluation: figures, and one HTML file that needs nothing else."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from atommem_cli.core.errors import UsageError
from atommem_cli.core.files import read_json, write_whole
from atommem_cli.reporting import (
    plotting,
    run_figures,
    run_page,
    run_statistics,
    run_tables,
    training_figures,
    training_page,
    training_summary,
)
from atommem_cli.reporting.episodes import SHOWN
from atommem_cli.reporting.run_page import Beside
from atommem_cli.reporting.training_history import read_all
from atommem_cli.reporting.training_summary import TrainingSummary
from atommem_cli.runs import shards, summary
from atommem_cli.runs.layout import EPISODES, METRICS, RUN, STEPS
from atommem_cli.runs.names import labels
from atommem_cli.runs.reader import Run, open_all
from atommem_cli.runs.tables import Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FIGURES = {
    "reward": training_figures.reward,
    "operations": training_figures.operations,
    "housekeeping": training_figures.housekeeping,
}
THEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
FORMS: tuple[Literal["png", "pdf"], ...] = ("png", "pdf")
MARK = "report.html"
"""What is written first: with it a folder is one of reports."""


@dataclass(frozen=True, slots=True)
class Report:
    """What was written and what the terminal shows of it."""

    paths: tuple[Path, ...]
    """Figures, then `report.html`."""
    table: Table
    progress: tuple[TrainingSummary, ...] = ()
    """Of training: the table's numbers."""
    results: tuple[Mapping[str, Any], ...] = ()
    """Of evaluations: what `summary.json` of each holds."""


def report(
    folders: Sequence[Path],
    out: Path | None = None,
    *,
    pdf: bool = False,
    episodes: int = SHOWN,
    beside: Beside | None = None,
) -> Report:
    """Draw runs, side by side if there are several: of training by one command, or evaluations.

    Writes the figures that the runs have something for as PNG, and `report.html`. The same folders give the same
    bytes. A run that is still going is drawn as far as it is.

    Args:
        folders: of the runs; the same one twice counts once.
        out: where to write; the run's own folder unless there are several.
        pdf: the figures also as PDF, for papers.
        episodes: of each evaluation, how many the page shows step by step.
        beside: what the page of evaluations says of them together; its figures are in the page alone.

    Raises:
        UsageError: a folder holds no run, runs of different kinds are mixed, or several runs have no `out`.
        SourceError: a file of a run is damaged.
        BackendError: `out` cannot be written.
    """
    for folder in folders:
        if not folder.is_dir():
            raise UsageError(f"{folder}: no such folder")
        shards.insist_joined(folder)
        if not any((folder / name).is_file() for name in (RUN, METRICS)):
            raise UsageError(f"{folder}: neither a run of eval, nor a training, nor an ablation")
    commands = [_evaluation(folder) for folder in folders]
    if "eval" not in commands:
        return _training(folders, out, pdf)
    first = folders[commands.index("eval")]
    for folder, command in zip(folders, commands, strict=True):
        if command not in ("eval", None):
            raise UsageError(f"{first} is an evaluation and {folder} a run of {command}: report them apart")
    return _evaluations(open_all(folders), out, pdf, episodes, beside or Beside())


def _training(folders: Sequence[Path], out: Path | None, pdf: bool) -> Report:
    histories = read_all(folders)
    target = _target([history.folder for history in histories], out)
    drawn = {
        name: {theme: figure for theme in THEMES if (figure := draw(histories, theme))}
        for name, draw in FIGURES.items()
    }
    images = _embedded(drawn, lambda figure, theme: training_figures.save(figure, "png", theme))
    ready = {f"{image['name']}.png": base64.b64decode(image["light"]) for image in images}
    paths = _write(target, drawn, pdf, training_page.page(histories, images), ready)
    return Report(paths, training_summary.table(histories), tuple(training_summary.leading(histories)))


def _evaluations(runs: Sequence[Run], out: Path | None, pdf: bool, episodes: int, beside: Beside) -> Report:
    target = _target([run.path for run in runs], out)
    surveys = [run_statistics.take(run, label, episodes) for run, label in zip(runs, labels(runs), strict=True)]
    results = [summary.summarize(one.run.path, one.questions, one.scorers) for one in surveys]
    drawn = {
        name: {theme: figure for theme in THEMES if (figure := draw(surveys, theme))}
        for name, draw in run_figures.FIGURES.items()
    }
    together = {
        name: {theme: figure for theme in THEMES if (figure := draw(theme))} for name, draw in beside.figures.items()
    }
    images = _embedded({**together, **drawn}, plotting.vector)
    paths = _write(target, drawn, pdf, run_page.page(surveys, results, images, beside.tables), {})
    return Report(paths, run_tables.scores([one.label for one in surveys], results), results=tuple(results))


Drawn = Mapping[str, Mapping[Literal["light", "dark"], "Figure"]]
"""Figures by name and theme."""


def _embedded(drawn: Drawn, save: Callable[[Figure, Literal["light", "dark"]], bytes]) -> list[dict[str, Any]]:
    """For the page: name, whether it is wide, and in base64 light and dark; without those with nothing to show."""
    return [
        {
            "name": name,
            "wide": themes["light"].get_size_inches()[0] > 8,
            **{theme: base64.b64encode(save(figure, theme)).decode() for theme, figure in themes.items()},
        }
        for name, themes in drawn.items()
        if themes
    ]


def _write(target: Path, drawn: Drawn, pdf: bool, page: str, ready: Mapping[str, bytes]) -> tuple[Path, ...]:
    """Write page and figures; `ready` are files of figures that need not be drawn again."""
    content = {MARK: page.encode("utf-8", "replace")}
    for name, themes in drawn.items():
        for form in FORMS[: 1 + pdf] if themes else ():
            file = f"{name}.{form}"
            content[file] = ready.get(file) or training_figures.save(themes["light"], form, "light")
    for name, one in content.items():
        write_whole(target / name, one)
    return tuple(target / name for name in (*list(content)[1:], MARK))


def _target(folders: Sequence[Path], out: Path | None) -> Path:
    if out is None and len(folders) > 1:
        raise UsageError("several runs have one report: say with --out in which folder it goes")
    return out or folders[0]


def _evaluation(folder: Path) -> str | None:
    """The command whose folder this is: eval where it left lines; None where nobody says."""
    known = folder / RUN
    if not known.is_file():
        return None
    content: object = read_json(known)
    command = content.get("command") if isinstance(content, dict) else None
    if command == "grpo" and (folder / STEPS).is_file():
        return "eval"  # rollouts that a training kept
    if command == "eval" and not any((folder / name).is_file() for name in (STEPS, EPISODES)):
        return None
    return str(command)
