"""The report of training runs: three figures, and one HTML file that holds everything and needs nothing."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from atommem_cli import curves, progress
from atommem_cli.errors import SourceError, UsageError
from atommem_cli.history import TRAIN, VALIDATION, History, read_all
from atommem_cli.jsonlines import whole_lines, write_whole
from atommem_cli.progress import Progress
from atommem_cli.tables import Table

FIGURES = {"reward": curves.reward, "operations": curves.operations, "housekeeping": curves.housekeeping}


@dataclass(frozen=True, slots=True)
class Report:
    """What was written and what the terminal shows of it."""

    paths: tuple[Path, ...]
    """Figures, then `report.html`."""
    table: Table
    progress: tuple[Progress, ...]
    """The table's numbers."""


def report(folders: Sequence[Path], out: Path | None = None, *, pdf: bool = False) -> Report:
    """Draw training runs of one command, side by side if there are several.

    Writes `reward.png`, `operations.png`, `housekeeping.png`, those that the runs have something for, and
    `report.html`. The same folders give the same bytes. A run that is still going is drawn as far as it is.

    Args:
        folders: of training runs; the same one twice counts once.
        out: where to write; the run's own folder unless there are several.
        pdf: the figures also as PDF, for papers.

    Raises:
        UsageError: a folder holds no training metrics, sft and grpo are mixed, or several runs have no `out`.
        SourceError: a file of a run is damaged.
        BackendError: `out` cannot be written.
    """
    histories = read_all(folders)
    if out is None and len(histories) > 1:
        raise UsageError("several runs have one report: say with --out in which folder it goes")
    target = out or histories[0].folder
    files: dict[str, bytes] = {}
    images = []
    for name, draw in FIGURES.items():
        pictures: dict[str, str] = {}
        themes: tuple[Literal["light", "dark"], ...] = ("light", "dark")
        for theme in themes:
            figure = draw(histories, theme)
            if figure is None:
                continue
            image = curves.save(figure, "png", theme)
            pictures[theme] = base64.b64encode(image).decode("ascii")
            if theme == "light":
                files[f"{name}.png"] = image
                files |= {f"{name}.pdf": curves.save(figure, "pdf", theme)} if pdf else {}
        if pictures:
            images.append({"name": name, **pictures})
    files["report.html"] = _html(histories, images).encode("utf-8", "replace")
    for name, content in files.items():
        write_whole(target / name, content)
    paths = tuple(target / name for name in files)
    return Report(paths, progress.table(histories), tuple(progress.leading(histories)))


def _html(histories: Sequence[History], images: Sequence[Mapping[str, str]]) -> str:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    loader = PackageLoader("atommem_cli", "templates")
    rooms = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    several = len(histories) > 1
    return rooms.get_template("training.html").render(
        title=f"{len(histories)} runs of {histories[0].command}" if several else histories[0].name,
        command=histories[0].command,
        several=several,
        runs=_runs(histories),
        made=_made(histories),
        differences=_differences(histories) if several else None,
        together=progress.table(histories),
        values=progress.details(histories),
        images=images,
        rollouts=_rollouts(histories),
        recipes=[(history.name, _recipe(history)) for history in histories],
        unusable=[(h.name, len(h.unusable), h.unusable[:5]) for h in histories if h.unusable],
    )


def _runs(histories: Sequence[History]) -> Table:
    """What each run is and took."""
    rows = tuple(
        (h.name, _recipe_name(h), str(h.count(TRAIN)), str(h.count(VALIDATION)), f"{h.seconds / 60:.1f}")
        for h in histories
    )
    return Table("Runs", ("run", "recipe", "steps", "validations", "minutes"), rows)


def _made(histories: Sequence[History]) -> Table:
    """What each run was made with: one row per run, commit and versions of packages."""
    rows = []
    for history in histories:
        begun = [line for line in _sessions(history.folder) if "begin" in line] or [history.identity]
        rows += [(history.name, *made) for made in dict.fromkeys((_commit(one), _versions(one)) for one in begun)]
    return Table("Made with", ("run", "commit", "versions"), tuple(row for row in rows if any(row[1:])))


def _sessions(folder: Path) -> Iterator[Mapping[str, Any]]:
    path = folder / "sessions.jsonl"
    return (line for _, line in whole_lines(path) if isinstance(line, dict)) if path.is_file() else iter(())


def _commit(made: Mapping[str, Any]) -> str:
    commit = str(made.get("commit") or "")[:12]
    return f"{commit} with local changes" if commit and made.get("dirty") is True else commit


def _versions(made: Mapping[str, Any]) -> str:
    packages = made.get("packages")
    own = {name: made[name] for name in ("atommem", "python") if name in made}
    return ", ".join(f"{name} {v}" for name, v in (own | (packages if isinstance(packages, dict) else {})).items())


def _differences(histories: Sequence[History]) -> Table:
    """The recipe keys in which the runs differ."""
    flat = [dict(_flat(history.identity.get("recipe"))) for history in histories]
    keys = [k for k in dict.fromkeys(k for one in flat for k in one) if len({one.get(k, "-") for one in flat}) > 1]
    rows = [(h.name, *(one.get(k, "-") for k in keys)) for h, one in zip(histories, flat, strict=True)]
    return Table("Keys in which the recipes differ", ("run", *keys), tuple(rows) if keys else ())


def _flat(value: Any, at: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _flat(inner, f"{at}.{key}" if at else str(key))
    else:
        yield at, json.dumps(value, ensure_ascii=False)


def _recipe(history: History) -> str:
    """The resolved recipe as it lies in the run's folder."""
    try:
        return (history.folder / "recipe.yaml").read_text(encoding="utf-8")
    except OSError:
        return json.dumps(history.identity.get("recipe"), indent=2, ensure_ascii=False)
    except UnicodeDecodeError:
        raise SourceError(f"{history.folder / 'recipe.yaml'}: damaged") from None


def _recipe_name(history: History) -> str:
    import yaml

    try:
        recipe = yaml.safe_load(_recipe(history))
    except yaml.YAMLError:
        return "-"
    return str(recipe.get("name") or "-") if isinstance(recipe, dict) else "-"


def _rollouts(histories: Sequence[History]) -> Table:
    """Kept rollouts, each an ordinary run folder."""
    found = [(h, path) for h in histories for path in sorted((h.folder / "rollouts").glob("*/episodes.jsonl"))]
    rows = tuple((h.name, path.parent.name, str(path.read_bytes().count(b"\n"))) for h, path in found)
    return Table("Kept rollouts", ("run", "rollouts/", "episodes"), rows)
