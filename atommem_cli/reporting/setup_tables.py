"""What runs were made with, what they read, and where their recipes differ: tables that reports have."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from atommem_cli.core.errors import SourceError
from atommem_cli.core.files import whole_lines
from atommem_cli.data.files import Manifest, read_manifest
from atommem_cli.runs.layout import SESSIONS
from atommem_cli.runs.names import differing
from atommem_cli.runs.reader import Run
from atommem_cli.runs.tables import Table, counted, number, spread

FILES = 3
"""Names of files that a table has room for; of more the rest is counted."""


def made(runs: Sequence[tuple[str, Path, Mapping[str, Any]]]) -> Table:
    """One row per run, commit and versions of packages; one for all where these are the same.

    Args:
        runs: name, folder and the content of `run.json` of each.

    Raises:
        SourceError: a line of `sessions.jsonl` is damaged.
    """
    rows = []
    for name, folder, identity in runs:
        begun = [line for line in _sessions(folder) if "begin" in line] or [identity]
        rows += [(name, *found) for found in dict.fromkeys((_commit(one), _versions(one)) for one in begun)]
    if len(rows) == len(runs) > 1 and len({row[1:] for row in rows}) == 1:
        rows = [(f"all {len(runs)}", *rows[0][1:])]
    return Table("Made with", ("run", "commit", "versions"), tuple(row for row in rows if any(row[1:])))


def data(runs: Sequence[Run]) -> Table:
    """What was read: source, licence, where it came from and how much it is, one column for each set of tasks.

    Without those whose folder is gone or holds other tasks now: what is there says nothing of what was played.
    """
    found: dict[str, tuple[Run, Manifest]] = {}
    for run in runs:
        try:
            manifest = read_manifest(run.folder)
        except SourceError:
            continue
        if manifest.sha256 == run.identity["tasks"]:
            found.setdefault(manifest.sha256, (run, manifest))
    columns = [_data(run, manifest) for run, manifest in found.values()]
    names = dict.fromkeys(name for column in columns for name in column)
    rows = tuple((name, *(column.get(name, "-") for column in columns)) for name in names)
    return Table("The data", ("what", *(f"{run.folder}" for run, _ in found.values())), rows)


def _data(run: Run, manifest: Manifest) -> dict[str, str]:
    limit = run.recipe.task.limit or manifest.tasks
    played = f", of which the first {number(limit)} are played" if limit < manifest.tasks else ""
    files = [*manifest.origin, *manifest.inputs]
    more = f" and {len(files) - FILES:,} more" if len(files) > FILES else ""
    return {
        "source": f"{manifest.source}, {manifest.split}",
        "licence": manifest.licence,
        "read from": f"{', '.join(files[:FILES])}{more}" if files else "its generator",
        "tasks": f"{number(manifest.tasks)}{played}",
        "questions": number(manifest.questions_used),
        "questions by kind": counted(manifest.kinds or manifest.hinges),
        "left out": counted(manifest.questions_skipped),
        "documents per task": f"{spread(manifest.documents)} (least / median / most)",
        "tokens per task": f"{spread(manifest.tokens)}, counted by {manifest.options['tokenizer']}",
        "prepared with seed": str(manifest.options["seed"]),
        "sha256": manifest.sha256[:16],
    }


def differing_keys(names: Sequence[str], recipes: Sequence[Any]) -> Table:
    """The recipe keys in which runs differ, given the name and the recipe of each; no row where there are none."""
    keys = differing(recipes)
    rows = [(name, *(values[number] for values in keys.values())) for number, name in enumerate(names)]
    return Table("Keys in which the recipes differ", ("run", *keys), tuple(rows) if keys else ())


def narrow(table: Table) -> Table:
    """`differing_keys` for a page, where few columns fit: keys as rows, unless the runs are more."""
    if len(table.rows) >= len(table.headers):
        return table
    first, *rest = zip(table.headers, *table.rows, strict=True)
    return Table(table.title, ("key", *first[1:]), tuple(rest))


def _sessions(folder: Path) -> Iterator[Mapping[str, Any]]:
    path = folder / SESSIONS
    return (line for _, line in whole_lines(path) if isinstance(line, dict)) if path.is_file() else iter(())


def _commit(session: Mapping[str, Any]) -> str:
    commit = str(session.get("commit") or "")[:12]
    return f"{commit} with local changes" if commit and session.get("dirty") is True else commit


def _versions(session: Mapping[str, Any]) -> str:
    packages = session.get("packages")
    own = {name: session[name] for name in ("atommem", "python") if name in session}
    return ", ".join(f"{name} {v}" for name, v in (own | (packages if isinstance(packages, dict) else {})).items())
