"""What the harness itself costs: CPU per model call with full logging, beside inspect_ai's; memory over many episodes;
start-up.

python tests/bench/bench_harness.py
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
from peers import environment

from atommem_cli.config import recipe as recipes
from atommem_cli.config.plugins import load
from atommem_cli.core.types import Document, Question, Task
from atommem_cli.running.build import assemble
from atommem_cli.runs.writer import RunFolder

EPISODES, CHUNKS = 50, 19


def tasks(count: int) -> list[Task]:
    """One question, and documents of about 50 words, one per chunk: 20 calls an episode."""
    made = []
    for number in range(count):
        documents = tuple(
            Document("", " ".join([f"Fact {i} of world {number} is", *["velt"] * 45, f"w{i}."])) for i in range(CHUNKS)
        )
        made.append(
            Task(f"bench-{number}", "bench", documents, (Question(f"q{number}", "What is fact 3?", ("velt",)),))
        )
    return made


def call_cost(script: str, store: str = "chroma") -> tuple[float, str]:
    """CPU of a call in ms, and a line of print."""
    changes = [
        f"policy={{name: scripted, script: {script}}}",
        f"store.name={store}",
        "agent.dialect=paper",
        "chunk.tokens=60",
        "limits.reads=0",
    ]
    recipe = recipes.load("tiny", changes)
    parts = assemble(recipe)
    wave = tasks(EPISODES)
    with tempfile.TemporaryDirectory() as folder, RunFolder(Path(folder), {}, recipe.dump()) as run:
        list(parts.play(parts.episodes(tasks(2))))
        wall, cpu, calls = time.perf_counter(), time.process_time(), 0
        for played in parts.play(parts.episodes(wave), run, run):
            run.episode(played, {"em": [0.0]})
            calls += played.usage.calls
        wall, cpu = 1e3 * (time.perf_counter() - wall) / calls, 1e3 * (time.process_time() - cpu) / calls
        size = sum(path.stat().st_size for path in Path(folder).iterdir())
    parts.close()
    return cpu, f"{script}, {store}: {cpu:.2f} ms CPU and {wall:.2f} ms wall a call, {size / calls:.0f} bytes logged"


def compare_calls(rounds: int = 3) -> None:
    """A call in inspect_ai and here, in turns: a mock model, whole prompts and replies in the log."""
    stores = ("chroma", "exact")
    peers, ours = [], {store: list[float]() for store in stores}
    for _ in range(rounds):
        for store in stores:
            cpu, line = call_cost("append_only", store)
            ours[store].append(cpu)
            print(line)
        with tempfile.TemporaryDirectory() as folder:
            peer = environment.ask("ask_inspect.py", EPISODES, CHUNKS + 1, folder)
        if peer is None:
            return
        peers.append(peer["cpu_ms"])
        print(f"inspect_ai: {peer['cpu_ms']:.2f} ms CPU and {peer['wall_ms']:.2f} ms wall a call")
    for store, cpus in ours.items():
        ratio = statistics.median(peers) / statistics.median(cpus)
        print(f"{store}: {ratio:.1f}x less CPU a call than inspect_ai, medians of {rounds} rounds")


def memory(count: int = 10_000, step: int = 1_000) -> None:
    """The whole of an evaluation's life, 10,000 short episodes on the Chroma store."""
    recipe = recipes.load("tiny", ["policy={name: scripted, script: append_only}"])
    parts = assemble(recipe)
    stream = load("tasks", "stream")
    options = stream.Options(docs=12)
    process, seen = psutil.Process(), []
    with tempfile.TemporaryDirectory() as folder, RunFolder(Path(folder), {}, recipe.dump()) as run:
        lazily = (stream.generate(options, 0, "validation", index) for index in range(count))
        for number, played in enumerate(parts.play(parts.episodes(lazily), run, run), start=1):
            run.episode(played, {"em": [0.0]})
            if number in (256, step) or number % (2 * step) == 0:
                seen.append(f"{number}: {process.memory_info().rss / 2**20:.0f}")
    parts.close()
    print(f"resident MiB after episodes on the Chroma store: {', '.join(seen)}")


def startup(runs: int = 7) -> None:
    def seconds(*command: str) -> float:
        start = time.perf_counter()
        subprocess.run(command, capture_output=True, check=True)
        return time.perf_counter() - start

    ours, bare = (sys.executable, "-m", "atommem_cli.cli", "--help"), (sys.executable, "-c", "import typer, rich")
    seconds(*ours), seconds(*bare)
    pairs = [(seconds(*ours), seconds(*bare)) for _ in range(runs)]
    ratio = statistics.median(a / b for a, b in pairs)
    print(f"atommem --help: {statistics.median(a for a, _ in pairs):.2f} s, {ratio:.2f}x `import typer, rich`")


def main() -> None:
    compare_calls()
    for script in ("random", "mute"):
        print(call_cost(script)[1])
    startup()
    memory()


if __name__ == "__main__":
    main()
