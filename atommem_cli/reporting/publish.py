"""A comparison, whole and as files: Markdown to read, CSV and JSON to compute with, LaTeX to print."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Any

from atommem_cli.compare import costs, panels
from atommem_cli.compare.comparison import Comparison, compare
from atommem_cli.compare.curves import Curves
from atommem_cli.core.files import write_whole
from atommem_cli.core.safe_text import json_text
from atommem_cli.core.types import CONTEXT_OPS
from atommem_cli.explain import signatures
from atommem_cli.explain.store_grades import grades
from atommem_cli.reporting import (
    comparison_figures,
    comparison_tables,
    curve_figures,
    curve_tables,
    setup_tables,
    store_tables,
)
from atommem_cli.reporting.run_page import Beside
from atommem_cli.reporting.themes import Theme
from atommem_cli.reporting.training_figures import save
from atommem_cli.runs.layout import COMPARISON, TABLE
from atommem_cli.runs.names import differing
from atommem_cli.runs.reader import Run
from atommem_cli.runs.tables import Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, slots=True)
class Findings:
    """A comparison, or several of the same arms, ready to be shown and written."""

    comparisons: tuple[Comparison, ...]
    tables: tuple[Table, ...]
    sentences: tuple[str, ...]
    values: Mapping[str, Any]
    """Everything as JSON values, in [0, 1]; what is not known is null."""
    keys: Table | None = None
    """The recipe keys in which the runs differ."""
    theirs: Mapping[str, float] = field(default_factory=dict)
    """Published differences by name, in points."""
    whose: str = ""
    """Who published them."""
    curves: tuple[Curves, ...] = ()
    """Scores against the values of a setting."""

    @property
    def shown(self) -> tuple[Table, ...]:
        """Every table, in the order in which they are read."""
        return (*self.tables, *([self.keys] if self.keys is not None and self.keys.rows else []))

    def drawing(self, curves: Sequence[Curves]) -> Findings:
        """These, and curves with their tables and sentences."""
        tables = tuple(table for one in curves for table in curve_tables.tables(one))
        said = tuple(sentence for one in curves for sentence in curve_tables.sentences(one))
        values = {**self.values, **({"curves": [asdict(one) for one in curves]} if curves else {})}
        return replace(
            self,
            tables=(*self.tables, *tables),
            sentences=(*self.sentences, *said),
            values=values,
            curves=(*self.curves, *curves),
        )

    def saying(self, sentence: str) -> Findings:
        """These, and one sentence more."""
        return replace(self, sentences=(*self.sentences, sentence))

    def beside(self) -> Beside:
        """For a report of the same runs, which has the keys and the costs: tables, and the sentences as one more."""
        said = Table("What the differences say", ("",), tuple((said,) for said in self.sentences))
        return Beside([*self.tables, said], {"differences": self.differences} | self.lines())

    def differences(self, theme: Theme = "light") -> Figure | None:
        """The figure of the differences."""
        return comparison_figures.difference_figure(self.comparisons, self.theirs, theme, self.whose)

    def lines(self) -> dict[str, Callable[[Theme], Figure | None]]:
        """A figure for each curve."""
        return {f"curve-{one.key}": partial(curve_figures.figure, one) for one in self.curves}


def findings(
    runs: Sequence[Run],
    names: Sequence[str],
    scorer: str | None = None,
    *,
    what: Sequence[str] = (),
    caveats: Sequence[str] = (),
    theirs: Mapping[str, str] | None = None,
    whose: str = "",
) -> Findings:
    """Compare runs with the first one, with every table and sentence about it.

    Args:
        names: one per run.
        scorer: None is the base's leading one.
        what: per run, what it changes, as the subject of a sentence; none: the runs are just several.
        caveats: per run, what its difference does not say in any case.
        theirs: published numbers by name.
        whose: who published them.

    Raises:
        UsageError, RunMismatch, SourceError: as `comparison.compare`.
    """
    compared = compare(runs, names, scorer)
    panel = panels.panel(runs, names, compared.scorer)
    other, order = comparison_tables.scorers(panel)
    stores = {name: grades(run) for name, run in zip(names, runs, strict=True)}
    apart = store_tables.differences(stores)
    sentences = [
        comparison_tables.says(compared, side, what[number] if what else "", caveats[number] if caveats else "")
        for number, side in enumerate(compared.sides)
        if number
    ]
    sentences += costs.sentences({name: costs.cost(run) for name, run in zip(names, runs, strict=True)})
    sentences += [said for said in [costs.missing(runs)] if said]
    hygiene = {name: found for name, run in zip(names, runs, strict=True) if (found := _signatures(run))}
    tables = (
        comparison_tables.main(compared, theirs, whose),
        comparison_tables.named(compared),
        comparison_tables.by_kind(compared),
        comparison_tables.costs(compared),
        *store_tables.tables(stores, apart=apart),
        other,
        signatures.table(hygiene) if hygiene else None,
    )
    keys = setup_tables.differing_keys(names, [run.recipe.content for run in runs])
    values = {
        "scorer": compared.scorer,
        "source": compared.source,
        "runs": [asdict(side) for side in compared.sides],
        **({"named": compared.named} if compared.named else {}),
        "stores": {
            name: {**one.values(), **({"difference": asdict(apart[name])} if name in apart else {})}
            for name, one in stores.items()
        },
        "differing": differing([run.recipe.content for run in runs]),
        "scorers": asdict(panel),
        **({"hygiene": {name: asdict(found) for name, found in hygiene.items()}} if hygiene else {}),
        **({"theirs": theirs} if theirs else {}),
    }
    shown = tuple(table for table in tables if table)
    return Findings((compared,), shown, (*sentences, order), _plain(values), keys, whose=whose)


def _signatures(run: Run) -> signatures.Signatures | None:
    """Of a run whose agent edits a context; no other is read for it."""
    return signatures.of_run(run) if {*CONTEXT_OPS} & {*run.agent.operations} else None


MARK = COMPARISON
"""What is written first: with it a folder is one of tables."""


def publish(folder: Path, found: Findings) -> list[Path]:
    """Write `table.md`, `table.csv`, `table.tex` (the first table), `table.json` (everything) and the figures.

    Raises:
        BackendError: the disk is full or gone.
    """
    said = "".join(f"- {sentence}\n" for sentence in found.sentences)
    values = {**found.values, "sentences": list(found.sentences)}
    files: dict[str, str | bytes] = {
        MARK: json_text(values) + "\n",
        TABLE: "\n".join([*(table.markdown() for table in found.shown), said]),
        "table.csv": _csv(found.values),
        "table.tex": found.tables[0].latex(),
    }
    figures = {
        "differences": found.differences(),
        "pareto": comparison_figures.costs(found.comparisons[0]) if len(found.comparisons) == 1 else None,
    }
    figures |= {name: draw("light") for name, draw in found.lines().items()}
    for name, figure in figures.items():
        if figure is not None:
            files |= {f"{name}.png": save(figure, "png"), f"{name}.pdf": save(figure, "pdf")}
    for name, content in files.items():
        write_whole(folder / name, content)
    return [folder / name for name in files]


def _csv(values: Mapping[str, Any]) -> str:
    """One row per run, and per run and kind of question; plain numbers in [0, 1]."""
    difference = ("delta", "low", "high", "p", "wins", "losses", "ties", "visible")
    rest = ("holm", "calls", "retrievals", "entries", "tokens", "failed", "stopped", "invalid")
    rows: list[dict[str, Any]] = []
    for name, one in values.get("ablations", {"": values}).items():
        for side in one["runs"]:
            score, about = side["score"], {"ablation": name, "run": side["label"], "scorer": one["scorer"]}
            whole = {"n": score["n"], "tasks": score["tasks"], "mean": score["mean"]}
            whole |= {"mean_low": score["low"], "mean_high": score["high"]}
            rows.append(
                {**about, "kind": "", **whole, **(side["difference"] or {}), **{key: side[key] for key in rest}}
            )
            for kind, (mean, found) in side["groups"].items():
                rows.append({**about, "kind": kind, "mean": mean, **(found or {})})
    file = io.StringIO()
    columns = ("ablation", "run", "kind", "scorer", "n", "tasks", "mean", "mean_low", "mean_high")
    writer = csv.DictWriter(file, [*columns, *difference, *rest], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue()


def _plain(value: Any) -> Any:
    """JSON has no nan."""
    if isinstance(value, float):
        return None if isnan(value) else value
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, (list, tuple)) else value
