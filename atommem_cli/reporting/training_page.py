"""The page of a report of training runs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from atommem_cli.core.errors import SourceError
from atommem_cli.reporting import setup_tables, training_summary
from atommem_cli.reporting.training_history import TRAIN, VALIDATION, History
from atommem_cli.runs.layout import RECIPE
from atommem_cli.runs.tables import Table


def page(histories: Sequence[History], images: Sequence[Mapping[str, Any]]) -> str:
    """The page; images are PNG in base64, named, as light and dark.

    Raises:
        SourceError: a file of a run is damaged.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    loader = PackageLoader("atommem_cli.reporting", "templates")
    rooms = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    several = len(histories) > 1
    return rooms.get_template("training.html").render(
        title=f"{len(histories)} runs of {histories[0].command}" if several else histories[0].name,
        command=histories[0].command,
        several=several,
        runs=_runs(histories),
        made=setup_tables.made([(h.name, h.folder, h.identity) for h in histories]),
        differences=setup_tables.narrow(
            setup_tables.differing_keys([h.name for h in histories], [h.identity.get("recipe") for h in histories])
        ),
        together=training_summary.table(histories),
        values=training_summary.details(histories),
        images=images,
        rollouts=_rollouts(histories),
        recipes=[(history.name, _recipe(history)) for history in histories],
        diverged=[(h.name, h.diverged) for h in histories if h.diverged],
        unusable=[(h.name, len(h.unusable), h.unusable[:5]) for h in histories if h.unusable],
    )


def _runs(histories: Sequence[History]) -> Table:
    """What each run is and took."""
    rows = tuple(
        (h.name, _recipe_name(h), str(h.count(TRAIN)), str(h.count(VALIDATION)), f"{h.seconds / 60:.1f}")
        for h in histories
    )
    return Table("Runs", ("run", "recipe", "steps", "validations", "minutes"), rows)


def _recipe(history: History) -> str:
    """The resolved recipe as it lies in the run's folder."""
    try:
        return (history.folder / RECIPE).read_text(encoding="utf-8")
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
