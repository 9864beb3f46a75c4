"""What the command line shows: tables, findings and progress. The library never prints."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from atommem_cli.core.safe_text import json_text, one_line, visible

if TYPE_CHECKING:
    from atommem_cli.runs.tables import Table


def show(tables: Sequence[Table]) -> None:
    """Print tables: drawn on a terminal, in Markdown elsewhere."""
    if not sys.stdout.isatty():
        print("\n".join(table.markdown() for table in tables))
        return
    from rich.console import Console
    from rich.table import Table as Drawn
    from rich.text import Text

    console = Console()
    for table in (piece for whole in tables for piece in pieces(whole, console.width)):
        drawn = Drawn(title=Text(table.title), title_justify="left", header_style="bold")
        for header in table.headers:
            drawn.add_column(header, overflow="fold")
        for row in table.rows:
            drawn.add_row(*map(Text, row))
        console.print(drawn)


def pieces(table: Table, width: int) -> list[Table]:
    """A table that is too wide as several, each with the first column; cells are not broken as long as one fits.

    Args:
        width: of the terminal, in characters.
    """
    needed = [
        min(_LONGEST, max(map(len, (*header.split(), *(row[at] for row in table.rows))), default=0)) + 3
        for at, header in enumerate(table.headers)
    ]
    groups: list[list[int]] = [[]]
    for at in range(1, len(needed)):
        if groups[-1] and needed[0] + sum(needed[i] for i in groups[-1]) + needed[at] + 1 > width:
            groups.append([])
        groups[-1].append(at)
    return [
        replace(
            table,
            title=table.title if number == 0 else "",
            headers=tuple(table.headers[at] for at in (0, *group)),
            rows=tuple(tuple(row[at] for at in (0, *group)) for row in table.rows),
        )
        for number, group in enumerate(groups)
    ]


_LONGEST = 40
"""Characters of a cell that is worth a line of its own; longer ones are folded."""


def show_lines(lines: Iterable[str]) -> None:
    """Print lines; on a terminal what was refused, added, changed and removed stands out."""
    lines = map(visible, lines)
    if not sys.stdout.isatty():
        print(*lines, sep="\n", flush=True)
        return
    from rich.console import Console
    from rich.text import Text

    console = Console()
    for text in lines:
        style = next((style for mark, style in _MARKS.items() if text.startswith(mark)), "")
        console.print(Text(text, style), soft_wrap=True)


_MARKS = {"  ! ": "red", "  + ": "green", "  ~ ": "yellow", "  - ": "magenta"}


def show_json(value: Any) -> None:
    """Print one JSON value."""
    print(json_text(value))


def say(text: str) -> None:
    """One line to the error stream, which leaves the output to results."""
    print(one_line(text), file=sys.stderr, flush=True)


@contextmanager
def progress(what: str) -> Iterator[Callable[[int, int | None, str], None]]:
    """A bar on a terminal, at most one line a second elsewhere.

    Yields:
        A function of (done, planned or None, remark).
    """
    if not sys.stderr.isatty():
        yield _Lines(what)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn(one_line(what), markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[remark]}", markup=False),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None, remark="")
        yield lambda done, planned, remark: bar.update(task, completed=done, total=planned, remark=one_line(remark))


@contextmanager
def patience(what: str, seconds: float = 2.0) -> Iterator[Callable[[int, int | None, str], None]]:
    """`progress` for what is mostly quick: silent until it has taken some seconds."""
    begun = time.monotonic()
    with ExitStack() as later:
        shown: list[Callable[[int, int | None, str], None]] = []

        def tell(done: int, planned: int | None, remark: str) -> None:
            if not shown and time.monotonic() - begun > seconds:
                shown.append(later.enter_context(progress(what)))
            for each in shown:
                each(done, planned, remark)

        yield tell


class _Lines:
    """Progress for logs: a line a second, and the last one."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._last = 0.0

    def __call__(self, done: int, planned: int | None, remark: str) -> None:
        now = time.monotonic()
        if planned is None and not self._last:  # how far it is says nothing yet
            self._last = now
        if now - self._last >= 1 or done == planned:
            self._last = now
            say(f"{self._what}: {done}{f' of {planned}' if planned is not None else ''} {remark}".rstrip())
