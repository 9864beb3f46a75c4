"""Sessions: which process worked on a run, when, with what, and where its time went."""

from __future__ import annotations

import functools
import platform
import subprocess
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from atommem_cli import __version__
from atommem_cli.core.files import read_lines
from atommem_cli.runs.layout import SESSIONS

PACKAGES = ("torch", "transformers", "trl", "accelerate", "peft", "vllm", "chromadb", "datasets", "numpy")
"""Whose versions a session records."""


def session_start(command: Sequence[str], changed: Mapping[str, Any]) -> dict[str, Any]:
    """What a session says when it begins: when, with which command, program and packages.

    Args:
        changed: recipe keys that are others than at the start before; see `writer.Folder.changed`.
    """
    return {
        "begin": now(),
        "command": list(command),
        "atommem": __version__,
        "python": platform.python_version(),
        "packages": versions(),
        **_commit(),
        **({"changed": dict(changed)} if changed else {}),
    }


def told(folder: Path, episodes: int, failed: int = 0) -> str:
    """What the last session on a run came to, for the person who started it.

    Args:
        episodes: of the whole run.
        failed: of these; they were tried.

    Raises:
        SourceError: a line is damaged.
    """
    lines = [line for _, line in read_lines(folder / SESSIONS)]
    begin: dict[str, Any] = next((line for line in reversed(lines) if "begin" in line), {})
    ends = [line for line in lines if "end" in line]
    busy = [line["end"] for line in ends if line.get("episodes") != 0]  # older sessions do not count them
    said = "written"
    if failed:
        said = f"written; {failed:,} of {episodes:,} episodes failed: the same command tries them again"
    elif ends and ends[-1].get("episodes") == 0 and begin.get("store"):
        since = f" (since {busy[-1]})" if busy else ""
        said = f"nothing to play: all {episodes:,} episodes are here{since}"
    if len(lines) > 2 and "shard" in lines[-3] and (own := lines[-1].get("episodes")):
        said += f"; its shards lacked {own:,} of {episodes:,} episodes: they were played by this command"
    if again := begin.get("played_again"):
        said += f"; steps of {len(again):,} finished episodes were missing: they were played again"
    if changed := begin.get("changed"):
        said += f"; changed since the last start: {', '.join(changed)}"
    return said


@functools.cache
def versions() -> Mapping[str, str]:
    """Installed versions of the packages that can change a number; looked up once a process."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def now() -> str:
    """The time of the world, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


@functools.cache
def _commit() -> Mapping[str, Any]:
    """Commit of the checkout this package is imported from, and whether it has local changes; asked once a process."""
    home = Path(__file__).parents[2]
    if not (home / ".git").exists():
        return {}
    try:
        commit = _git(home, "rev-parse", "HEAD")
        return {"commit": commit, "dirty": bool(_git(home, "status", "--porcelain", "--untracked-files=no"))}
    except (OSError, subprocess.SubprocessError):
        return {}


def _git(home: Path, *arguments: str) -> str:
    done = subprocess.run(["git", "-C", str(home), *arguments], capture_output=True, text=True, check=True, timeout=10)
    return done.stdout.strip()
