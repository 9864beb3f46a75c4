"""A comparison, whole and as files: Markdown to read, CSV and JSON to compute with, LaTeX to print."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from math import isnan
from pathlib import Path
from typing import Any

from atommem_cli import comparison, contrasts, forest
from atommem_cli.comparison import Comparison, compare
from atommem_cli.curves import save
from atommem_cli.jsonlines import write_whole
from atommem_cli.runs import Run
from atommem_cli.tables import Table


@dataclass(frozen=True, slots=True)
class Findings:
    """A comparison, ready to be shown and written."""

    comparison: Comparison
    tables: tuple[Table, ...]
    sentences: tuple[str, ...]
    values: Mapping[str, Any]
    """Everything as JSON values, in [0, 1]; what is not known is null."""


def names(runs: Sequence[Run]) -> list[str]:
    """A name for each run: its folder's, with as many parents as it takes to tell them apart."""
    parts = [run.path.resolve().parts for run in runs]
    depth = 1
    while depth < max(map(len, parts)) and len({each[-depth:] for each in parts}) < len(parts):
        depth += 1
    return ["/".join(each[-depth:]) for each in parts]


def findings(
    runs: Sequence[Run],
    names: Sequence[str],
    scorer: str | None = None,
    *,
    what: Sequence[str] = (),
    caveats: Sequence[str] = (),
    theirs: Mapping[str, str] | None = None,
) -> Findings:
    """Compare runs with the first one, with every table and sentence about it.

    Args:
        names: one per run.
        scorer: None is the base's leading one.
        what: per run, what it changes, as the subject of a sentence; none: its name.
        caveats: per run, what its difference does not say in any case.
        theirs: published numbers by name.

    Raises:
        UsageError, RunMismatch, SourceError: as `comparison.compare`.
    """
    compared = compare(runs, names, scorer)
    panel = comparison.panel(runs, names, compared.scorer)
    other, order = contrasts.scorers(panel)
    sentences = [
        contrasts.says(compared, side, (what or names)[number], (caveats or [""] * len(names))[number])
        for number, side in enumerate(compared.sides)
        if number
    ]
    tables = (contrasts.main(compared, theirs), contrasts.by_kind(compared), contrasts.differing(compared), other)
    values = {
        "scorer": compared.scorer,
        "source": compared.source,
        "runs": [asdict(side) for side in compared.sides],
        "differing": compared.differing,
        "scorers": asdict(panel),
        **({"theirs": theirs} if theirs else {}),
    }
    return Findings(compared, tuple(table for table in tables if table), (*sentences, order), _plain(values))


def publish(folder: Path, found: Findings, theirs: Mapping[str, float] | None = None) -> list[Path]:
    """Write `table.md`, `table.csv`, `table.tex` (the first table), `table.json` (everything) and the figures.

    Args:
        theirs: published differences by name, in points, for the figure.

    Raises:
        BackendError: the disk is full or gone.
    """
    said = "".join(f"- {sentence}\n" for sentence in found.sentences)
    values = {**found.values, "sentences": list(found.sentences)}
    files: dict[str, str | bytes] = {
        "table.md": "\n".join([*(table.markdown() for table in found.tables), said]),
        "table.csv": _csv(found.values),
        "table.tex": found.tables[0].latex(),
        "table.json": json.dumps(values, indent=2, ensure_ascii=False) + "\n",
    }
    figures = {
        "differences": forest.differences([found.comparison], theirs),
        "costs": forest.costs(found.comparison),
    }
    for name, figure in figures.items():
        if figure is not None:
            files |= {f"{name}.png": save(figure, "png"), f"{name}.pdf": save(figure, "pdf")}
    for name, content in files.items():
        write_whole(folder / name, content)
    return [folder / name for name in files]


def _csv(values: Mapping[str, Any]) -> str:
    """One row per run, and per run and kind of question; plain numbers in [0, 1]."""
    numbers = ("delta", "low", "high", "p", "wins", "losses", "ties", "visible")
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(
        ["run", "kind", "scorer", "n", "tasks", "mean", *numbers, "p_holm", "calls", "tokens", "failed", "invalid"]
    )
    for side in values["runs"]:
        d = side["difference"] or {}
        score = side["score"]
        head = [side["label"], "", values["scorer"], score["n"], score["clusters"], score["mean"]]
        rest = [side["holm"], side["calls"], side["tokens"], side["failed"], side["invalid"]]
        writer.writerow([*head, *(d.get(name, "") for name in numbers), *("" if v is None else v for v in rest)])
        for kind, (mean, difference) in side["groups"].items():
            d = difference or {}
            head = [side["label"], kind, values["scorer"], d.get("n", ""), d.get("clusters", ""), mean]
            writer.writerow([*head, *(d.get(name, "") for name in numbers), "", "", "", "", ""])
    return file.getvalue()


def _plain(value: Any) -> Any:
    """JSON has no nan."""
    if isinstance(value, float):
        return None if isnan(value) else value
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, (list, tuple)) else value
