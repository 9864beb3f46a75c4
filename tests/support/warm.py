"""Commands in processes of their own that start warm: forked from one that has imported the heavy packages.

Most of what a short command costs is the import of torch, TRL and the like. What is asserted about imports, start-up
and signals has cold processes (`commands.ATOMMEM`).
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import pkgutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path

import atommem_cli

HEAVY = (
    "chromadb",
    "chromadb_rust_bindings",
    "datasets",
    "fontTools.subset",
    "matplotlib.backends.backend_agg",
    "matplotlib.backends.backend_pdf",
    "matplotlib.pyplot",
    "pandas",
    "scipy.stats",
    "trl.trainer.grpo_trainer",
    "trl.trainer.sft_trainer",
    "warm",
)
"""TRL brings torch and transformers."""
OURS = tuple(found.name for found in pkgutil.walk_packages(atommem_cli.__path__, "atommem_cli."))

_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload([*HEAVY, *(name for name in OURS if not name.endswith("__main__"))])


def start(
    arguments: Sequence[str],
    cwd: Path | None = None,
    *,
    code: str = "",
    said: Path | None = None,
    **environment: str,
) -> BaseProcess:
    """`atommem` with these arguments, or some Python, under way in a process that can be watched, killed and joined.

    Args:
        cwd: None is where the test stands.
        said: a folder that gets its `stdout` and `stderr`; None is nowhere.
        environment: variables beside those of the test.
    """
    streams = [str(said / name) if said else os.devnull for name in ("stdout", "stderr")]
    where = str(cwd or Path.cwd())
    process = _FORKS.Process(target=_command, args=([*arguments], code, where, {**os.environ, **environment}, *streams))
    process.start()
    return process


def atommem(
    arguments: Sequence[str], cwd: Path, timeout: float, code: str = "", **environment: str
) -> subprocess.CompletedProcess[str]:
    """`atommem` with these arguments, or some Python: its exit status, and what it wrote.

    Raises:
        subprocess.TimeoutExpired: it did not end in time.
    """
    with tempfile.TemporaryDirectory() as folder:
        process = start(arguments, cwd, code=code, said=Path(folder), **environment)
        process.join(timeout)
        if process.exitcode is None:
            process.kill()
            process.join()
            raise subprocess.TimeoutExpired([*arguments], timeout)
        texts = [Path(folder, name).read_text(encoding="utf-8") for name in ("stdout", "stderr")]
        return subprocess.CompletedProcess(["atommem", *arguments], process.exitcode, *texts)


def _command(arguments: list[str], code: str, cwd: str, environment: dict[str, str], *streams: str) -> None:
    os.fsync = lambda _: None  # as in the tests themselves
    gc.freeze()  # what was there before is not looked through again
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(cwd)
    for number, stream in enumerate(streams, 1):
        os.dup2(os.open(stream, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    if code:
        sys.argv = ["-c", *arguments]
        exec(compile(code, "code", "exec"), {"__name__": "__main__"})
        return
    sys.argv = ["atommem", *arguments]
    from atommem_cli.cli import main

    main()
