"""Train here, evaluate there: tables, sentences, values and files of a transfer."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

from atommem_cli.compare.curves import Estimate
from atommem_cli.compare.transfer import Cell, Transfer
from atommem_cli.core.files import write_whole
from atommem_cli.core.safe_text import json_text
from atommem_cli.reporting import transfer_figures
from atommem_cli.reporting.curve_tables import points_of, score_of
from atommem_cli.reporting.training_figures import save
from atommem_cli.runs.layout import COMPARISON, TABLE
from atommem_cli.runs.tables import Table


def tables(found: Transfer) -> list[Table]:
    """What every policy scores everywhere, and how that differs from the policy that was trained there, if one was."""
    scores = f"{found.title} in %: rows, where trained; columns, where evaluated. {_sizes(found)}"
    gaps = "Difference to the policy that was trained where it is evaluated, in points: paired by question"
    apart = any(cell.difference is not None for cell in found.cells.values())
    return [_table(scores, found, _score), *([_table(gaps, found, _gap)] if apart else [])]


def sentences(found: Transfer) -> list[str]:
    """Each cell beside the policy that was trained there."""
    said = []
    for (row, column), cell in found.cells.items():
        d = cell.difference
        if d is None:
            continue
        sure = d.beside_zero
        chance = "" if cell.p is None else f", p = {cell.p:.2g}"
        verdict = "a real difference on tasks like these" if sure else "no difference is shown"
        over = "" if cell.runs == 1 else f" over {cell.runs} runs"
        said.append(
            f"Trained on {row}, evaluated on {column}: {points_of(d)} points of {found.title} to the policy that was "
            f"trained there{over}{chance}: {verdict}."
        )
    missing = [
        f"{row} on {column}" for row in found.rows for column in found.columns if (row, column) not in found.cells
    ]
    if not said:
        said.append("None of these policies was trained on one of these sources: there is nothing to subtract.")
    return [*said, *([f"Not played: {', '.join(missing)}."] if missing else [])]


def values(found: Transfer) -> dict[str, Any]:
    """Everything as JSON values, in [0, 1]."""
    cells = [
        {
            "trained": row,
            "evaluated": column,
            "score": cell.score._asdict(),
            "difference": cell.difference._asdict() if cell.difference else None,
            "p": cell.p,
            "runs": cell.runs,
            "questions": cell.questions,
        }
        for (row, column), cell in found.cells.items()
    ]
    return {"scorer": found.title, "rows": list(found.rows), "columns": list(found.columns), "transfer": cells}


def publish(folder: Path, found: Transfer) -> list[Path]:
    """Write `table.md`, `table.csv`, `table.tex` (the scores), `table.json` (everything), and the heat map on light and
    on dark ground.

    Raises:
        BackendError: the disk is full or gone.
    """
    made, said = tables(found), sentences(found)
    files: dict[str, str | bytes] = {
        COMPARISON: json_text({**values(found), "sentences": said}) + "\n",
        TABLE: "\n".join([*(table.markdown() for table in made), "".join(f"- {one}\n" for one in said)]),
        "table.csv": _csv(found),
        "table.tex": made[0].latex(),
        "transfer.png": save(transfer_figures.heat_map(found), "png"),
        "transfer-dark.png": save(transfer_figures.heat_map(found, "dark"), "png", "dark"),
        "transfer.pdf": save(transfer_figures.heat_map(found), "pdf"),
    }
    for name, content in files.items():
        write_whole(folder / name, content)
    return [folder / name for name in files]


def _sizes(found: Transfer) -> str:
    runs = {cell.runs for cell in found.cells.values()}
    if runs == {1}:
        return "Intervals 95 %, clustered by task"
    least, most = min(runs), max(runs)
    each = str(most) if least == most else f"{least} to {most}"
    return f"Means over {each} runs a cell; intervals 95 %, Student's t over the runs (of one alone clustered by task)"


def _table(title: str, found: Transfer, cell: Callable[[Cell], str]) -> Table:
    rows = []
    for row in found.rows:
        cells = (found.cells.get((row, column)) for column in found.columns)
        rows.append((row, *("" if one is None else cell(one) for one in cells)))
    return Table(title, ("trained on", *found.columns), tuple(rows))


def _score(cell: Cell) -> str:
    return score_of(cell.score)


def _gap(cell: Cell) -> str:
    return "-" if cell.difference is None else points_of(cell.difference)


def _csv(found: Transfer) -> str:
    """One row per cell; plain numbers in [0, 1]."""
    file = io.StringIO()
    columns = ("trained", "evaluated", "scorer", "runs", "questions", "mean", "mean_low", "mean_high")
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow((*columns, "delta", "low", "high", "p"))
    for (row, column), cell in found.cells.items():
        apart: Estimate | tuple[str, str, str] = cell.difference or ("", "", "")
        p = "" if cell.p is None else cell.p
        writer.writerow((row, column, found.title, cell.runs, cell.questions, *cell.score, *apart, p))
    return file.getvalue()
