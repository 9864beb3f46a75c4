"""Commands in processes of their own that start warm: forked from one that has imported the heavy packages.

Most of what a short command costs is the import of torch, TRL and the like. What is asserted about imports, start-up
and signals has cold processes (`commands.ATOMMEM`).
"""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

HEAVY = (
    "atommem_cli.cli.commands",
    "chromadb",
    "datasets",
    "matplotlib.pyplot",
    "pandas",
    "scipy.stats",
    "trl.trainer.grpo_trainer",
    "trl.trainer.sft_trainer",
    "warm",
)
"""Imported once; TRL brings torch and transformers."""

_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload([*HEAVY])


def atommem(arguments: Sequence[str], cwd: Path, timeout: float) -> subprocess.CompletedProcess[str]:
    """`atommem` with these arguments: its exit status, and what it wrote.

    Raises:
        subprocess.TimeoutExpired: it did not end in time.
    """
    with tempfile.TemporaryDirectory() as folder:
        streams = [Path(folder, name) for name in ("stdout", "stderr")]
        process = _FORKS.Process(target=_command, args=([*arguments], str(cwd), dict(os.environ), *map(str, streams)))
        process.start()
        process.join(timeout)
        if process.exitcode is None:
            process.kill()
            process.join()
            raise subprocess.TimeoutExpired([*arguments], timeout)
        return subprocess.CompletedProcess(
            ["atommem", *arguments], process.exitcode, *(stream.read_text(encoding="utf-8") for stream in streams)
        )


def _command(arguments: list[str], cwd: str, environment: dict[str, str], *streams: str) -> None:
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(cwd)
    for number, stream in enumerate(streams, 1):
        os.dup2(os.open(stream, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    sys.argv = ["atommem", *arguments]
    from atommem_cli.cli import main

    main()
