"""Tables of a report of evaluations: one run in detail, or several side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from atommem_cli.runs import score_tables, summary, tables
from atommem_cli.runs.labels import scorer
from atommem_cli.runs.layout import SUMMARY
from atommem_cli.runs.tables import Table, number
from atommem_cli.scoring import llm_judge

Result = Mapping[str, Any]
"""The content of a `summary.json`."""


def scores(labels: Sequence[str], results: Sequence[Result]) -> Table:
    """One row per run."""
    table = score_tables.scores(results)
    if len(results) == 1:
        return table
    rows = tuple((label, *row) for label, row in zip(labels, table.rows, strict=True))
    return Table(
        "Scores in % with 95 % intervals clustered by task; medians per episode", ("run", *table.headers), rows
    )


def narrow(table: Table) -> Table:
    """`scores` for a page, where "What was run" names the parts: the numbers fit without scrolling."""
    kept = [at for at, header in enumerate(table.headers) if header not in ("policy", "store", "embedder")]

    def of(row: Sequence[str]) -> tuple[str, ...]:
        return tuple(row[at] for at in kept)

    return Table(table.title, of(table.headers), tuple(map(of, table.rows)))


def details(labels: Sequence[str], results: Sequence[Result]) -> list[Table]:
    """Scores by kind of question, operations, use, time; one column per run if they are several."""
    if len(results) == 1:
        return [tables.bounded(table, SUMMARY) for table in score_tables.details(results[0])[1:]]
    shares = _side_by_side(
        labels,
        [{share: _score(cell) for share, cell in one.get("named", {}).get("all", {}).items()} for one in results],
    )
    tried = _side_by_side(labels, [_operations(result) for result in results])
    use = _side_by_side(
        labels,
        [{what: number(spread["median"]) for what, spread in result["budget"].items()} for result in results],
    )
    facts = _side_by_side(labels, [_facts(result) for result in results])
    titled: list[tuple[str, str, tuple[tuple[str, ...], ...]]] = [
        ("What answers name, in %: what is true now, what is no more, neither or both", "share", shares),
        ("Memory operations per reading step, by outcome", "operation", tried),
        ("Use per episode, medians", "what", use),
        ("The runs", "what", facts),
    ]
    shown = (Table(title, (first, *labels), rows) for title, first, rows in titled if rows)
    return [*by_kind(labels, results), *shown]


def by_kind(labels: Sequence[str], results: Sequence[Result]) -> list[Table]:
    """The leading score of each run by kind of question, and the judge's, where there are kinds."""
    leading = scorer(llm_judge.leading(tuple(results[0]["scores"])), results[0].get("judge"))
    judge = scorer(llm_judge.NAME, next((one["judge"] for one in results if summary.JUDGED in one), None))
    made = []
    for key, name in (("by_kind", leading), (summary.JUDGED, judge)):
        columns = [result.get(key, {}) for result in results]
        kinds = dict.fromkeys(kind for column in columns for kind in column)
        rows = []
        for kind in kinds:
            cells = [column.get(kind) for column in columns]
            counts = dict.fromkeys(str(cell["n"]) for cell in cells if cell)
            rows.append((kind, *(score_tables.score(cell) if cell else "-" for cell in cells), " / ".join(counts)))
        title = f"{name} in % by kind of question{summary.overlap(kinds)}"
        made += [Table(title, ("kind", *labels, "n"), tuple(rows))] if rows else []
    return made


def cards(result: Result) -> list[tuple[str, str, str]]:
    """The numbers at the head of one run: what, value, and what to know about it."""
    shown = []
    for name, cell in result["scores"].items():
        interval = f"[{100 * cell['low']:.1f}, {100 * cell['high']:.1f}], n = {tables.sized(cell['n'], cell['tasks'])}"
        mean = f"{100 * cell['mean']:.1f} %" if cell["n"] else "-"
        shown.append((scorer(name, result.get("judge")), mean, interval if cell["n"] else "nothing"))
    budget = result["budget"]
    failed = len(result["failed"])
    return [
        *shown,
        ("failed episodes", f"{failed:,}", f"of {result['evaluated']:,}, counted as wrong"),
        ("calls", number(budget["calls"]["median"]), "per episode, median"),
        ("prompt tokens", number(budget["prompt_tokens"]["median"]), "per episode, median"),
        ("new tokens", number(budget["new_tokens"]["median"]), "per episode, median"),
    ]


def _side_by_side(labels: Sequence[str], columns: Sequence[Mapping[str, str]]) -> tuple[tuple[str, ...], ...]:
    """One row per key that any column has."""
    keys = dict.fromkeys(key for column in columns for key in column)
    return tuple((key, *(column.get(key, "-") for column in columns)) for key in keys)


def _operations(result: Result) -> dict[str, str]:
    steps = result["steps"]["reading"]
    return {
        f"{kind}: {outcome}": tables.ratio(count, steps)
        for kind, counts in result["operations"].items()
        for outcome, count in counts.items()
    }


def _facts(result: Result) -> dict[str, str]:
    """Stop reasons, time and the like, as the table of one run has them."""
    (table,) = [table for table in score_tables.details(result) if table.title == "The run"]
    return {row[0]: row[1] for row in table.rows}


def _score(cell: Mapping[str, Any]) -> str:
    if not cell["n"]:
        return "-"
    return f"{100 * cell['mean']:.1f} [{100 * cell['low']:.1f}, {100 * cell['high']:.1f}] {cell['n']}"
