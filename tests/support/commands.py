"""The command line as a user types it: in a process of its own, in a folder of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import warm

LONGEST = 240
"""Seconds that a command may take."""

ATOMMEM = (sys.executable, "-m", "atommem_cli.cli")


def atommem(
    *arguments: str, cwd: Path, status: int = 0, code: str = "", **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run a command, or some Python, and insist on its exit status. An environment of its own is a cold start."""
    if not code and not environment:
        done = warm.atommem(arguments, cwd, LONGEST)
    else:
        done = subprocess.run(
            [*((sys.executable, "-c", code) if code else ATOMMEM), *arguments],
            cwd=cwd,
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            check=False,
            timeout=LONGEST,
        )
    assert done.returncode == status, f"exit status {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


def complaint(*arguments: str, cwd: Path, status: int = 2) -> str:
    """The one sentence of a command that fails."""
    done = atommem(*arguments, cwd=cwd, status=status)
    lines = [line for line in done.stderr.splitlines() if line.startswith("atommem: ")]
    assert len(lines) == 1, done.stderr
    assert "Traceback" not in done.stderr
    return lines[0]
