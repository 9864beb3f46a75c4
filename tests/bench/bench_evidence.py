"""What evidence about large evaluations takes: seconds and memory of `report`, `compare`, `why` and `replay`.

python tests/bench/bench_evidence.py [episodes] [folder]

The run is made once, by a scripted policy on `stream` tasks; a folder that has it already is used again.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

ATOMMEM = (sys.executable, "-m", "atommem_cli.cli")


def main(episodes: int = 10_000, home: Path | None = None) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        home = home or Path(scratch)
        runs = [home / f"{script}-{episodes}" for script in ("sloppy", "append_only")]
        for run in runs:
            if not (run / "summary.json").exists():
                make(home / f"tasks-{episodes}", run, episodes)
        steps = (runs[0] / "steps.jsonl").read_bytes().count(b"\n")
        print(f"{episodes:,} episodes, {steps:,} steps a run")
        page = Path(scratch) / "page"
        for words in (
            ("report", runs[0], "--out", page),
            ("compare", *runs, "--out", Path(scratch) / "compared"),
            ("why", runs[0]),
            ("replay", runs[0]),
        ):
            measure([str(word) for word in words])
        print(f"page: {(page / 'report.html').stat().st_size / 1e6:.2f} MB")


def measure(words: Sequence[str]) -> None:
    """Run a command; wall seconds, and the largest memory of the process."""
    started = time.perf_counter()
    process = subprocess.Popen([*ATOMMEM, *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    assert status == 0, words
    print(f"{words[0]:8} {time.perf_counter() - started:6.1f} s {usage.ru_maxrss / 1024:6,.0f} MiB", flush=True)


def make(tasks: Path, run: Path, episodes: int) -> None:
    """A run of a script on so many tasks."""
    from atommem_cli.config import recipe as recipes
    from atommem_cli.data import preparation
    from atommem_cli.running import evaluation

    started = time.perf_counter()
    preparation.prepare("stream", out=tasks, split="validation", limit=episodes)
    script = run.name.rpartition("-")[0]
    changes = [f"task.folder={tasks}", f"policy={{name: scripted, script: {script}}}", "store={name: exact}"]
    evaluation.evaluate(recipes.load("tiny", changes), run)
    print(f"{run.name} made in {time.perf_counter() - started:.1f} s", flush=True)


if __name__ == "__main__":
    main(*(int(sys.argv[1]),) if sys.argv[1:] else (), *(Path(folder) for folder in sys.argv[2:]))
