"""What the report of a large evaluation takes: seconds and memory per 10,000 episodes, and the size of its page.

python tests/bench/bench_report.py [episodes] [folder]

The run is made once, by a scripted policy on `stream` tasks; a folder that has it already is used again.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PROGRAM = """
import sys, time
from pathlib import Path
from atommem_cli.reporting.report import report
started = time.perf_counter()
done = report([Path(sys.argv[1])], Path(sys.argv[2]))
print(time.perf_counter() - started, done.paths[-1].stat().st_size)
"""


def main(episodes: int = 10_000, home: Path | None = None) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        home = home or Path(scratch)
        run = home / f"run-{episodes}"
        if not (run / "summary.json").exists():
            make(home / f"tasks-{episodes}", run, episodes)
        steps = (run / "steps.jsonl").read_bytes().count(b"\n")
        command = [sys.executable, "-c", PROGRAM, str(run), scratch]
        printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    seconds, size = float(printed[0]), int(printed[1])
    memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(f"{episodes:,} episodes, {steps:,} steps: {seconds:.1f} s, {memory:,.0f} MiB, page {size / 1e6:.2f} MB")


def make(tasks: Path, run: Path, episodes: int) -> None:
    """A run of `sloppy` on so many tasks."""
    from atommem_cli import evaluation, preparation
    from atommem_cli import recipe as recipes

    started = time.perf_counter()
    preparation.prepare("stream", out=tasks, limit=episodes)
    changes = [f"task.folder={tasks}", "policy={name: scripted, script: sloppy}", "store.name=exact"]
    evaluation.evaluate(recipes.load("tiny", changes), run)
    print(f"made in {time.perf_counter() - started:.1f} s", flush=True)


if __name__ == "__main__":
    main(*(int(sys.argv[1]),) if sys.argv[1:] else (), *(Path(folder) for folder in sys.argv[2:]))
