"""Folders that a command writes into: missing, empty, or its own; and names that stay in their folder."""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from pathlib import Path

from atommem_cli.core.errors import BackendError, RunMismatch, UsageError
from atommem_cli.core.safe_text import visible

RUN = "run.json"
"""The mark of a run's folder, whichever command it is of."""
RECIPE = "recipe.yaml"
"""The resolved recipe of a run, and of the model that a training made."""
LOCK = ".lock"
"""Held while a process works on a run."""
SHARDS = "shards"
"""In a run's folder, the folders of the processes that play it together; see `runs.shards`."""
_OURS = re.compile(rf"{re.escape(LOCK)}|\.scratch|\..+\.draft|{SHARDS}")
"""What a command that was killed before its first file may have left, and what a run that is not joined consists of."""
_APART = re.compile(r"[/\\\n\t]")
LONGEST_NAME = 150
"""Bytes of a name that becomes part of a folder's."""


def part(name: str) -> str:
    """A name as a part of a folder's: letters, digits, dots and dashes, at most 40."""
    return re.sub(r"[^A-Za-z0-9._+-]+", "-", Path(name).stem if name.endswith(".py") else name).strip("-.")[:40] or "x"


def claim(folder: Path, marks: Collection[str] = (RUN,)) -> None:
    """Insist that a folder may be written into: it is missing, empty, or our own. Changes nothing.

    Args:
        marks: files of which a command writes one before anything else; with one of them the folder is its own. That
            of a run is nobody else's, whatever is in it.

    Raises:
        RunMismatch: it holds something else; names some of it.
        BackendError: it cannot be read.
    """
    try:
        if not folder.exists():
            return
        if not folder.is_dir():
            raise RunMismatch(f"{_said(folder)}: a file, and no folder: choose another --out")
        foreign = sorted(path.name for path in folder.iterdir() if not _OURS.fullmatch(path.name))
    except OSError as error:
        raise BackendError(f"{_said(folder)}: cannot be read: {error.strerror}") from None
    if RUN not in marks and (command := of_command(folder)) is not None:
        raise RunMismatch(f"{_said(folder)}: the folder of a run of {command}: choose another --out")
    if foreign and not any((folder / mark).is_file() for mark in marks):
        more = f" and {len(foreign) - 3} more" if len(foreign) > 3 else ""
        raise RunMismatch(
            f"{_said(folder)}: holds {visible(', '.join(foreign[:3]))}{more}, which this command did not write: "
            "choose another --out, a new or an empty folder"
        )


def insist_apart(folder: Path) -> None:
    """Insist that a folder lies in no run's folder, so that what is written there is never taken for a part of it.

    Raises:
        UsageError: it does; names the run.
    """
    for above in folder.resolve().parents:
        if (command := of_command(above)) is not None:
            raise UsageError(
                f"{_said(folder)}: lies in the folder of a run of {command} ({above}): choose another --out"
            )


def of_command(folder: Path) -> str | None:
    """The command whose run a folder holds, whole or as shards; None where it holds none."""
    marks = folder / RUN, *shards_of(folder)
    try:
        command = json.loads(next(mark for mark in marks if mark.is_file()).read_bytes())["command"]
    except (OSError, ValueError, LookupError, TypeError, RecursionError, StopIteration):
        return None
    return command if isinstance(command, str) else None


def shards_of(folder: Path) -> list[Path]:
    """The marks of the shards in a run's folder, by their names."""
    return sorted(folder.glob(f"{SHARDS}/*/{RUN}"))


def fault_of_name(name: str) -> str | None:
    """What keeps a name from being part of a folder's name, and of it alone; None where nothing does."""
    if visible(name) != name or _APART.search(name) or not name.strip(" ."):
        return "must be a plain name, without slashes and control characters"
    if len(name.encode()) > LONGEST_NAME:
        return f"is longer than {LONGEST_NAME} bytes"
    return None


def _said(folder: Path) -> str:
    return visible(str(folder))
