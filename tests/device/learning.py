"""A pretrained model learns on this device, by the commands of a user: recipe small-cpu-grpo.

    python tests/device/learning.py --model DIR --out DIR [--seconds N] [--small]

Demonstrations, SFT and GRPO with as many updates as fit into the seconds, then both models on the same held-out tasks,
compared. Without --model, or with --small, the model is `tiny` and the recipe `smoke`: it learns nothing, and the last
line says so.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

ATOMMEM = (sys.executable, "-m", "atommem_cli.cli")
WORLD = (
    "style=rich", "people=2", "relations=1", "hops={1: 1.0}", "hinges={create: 0.3, update: 0.6, delete: 0.1}",
    "change=0.6",
)  # fmt: skip
"""As the header of the recipe says."""
DEVICE = (
    "policy.batch=256", "policy.micro_batch_tokens=131072", "sft.trainer.use_cpu=false", "sft.trainer.max_steps=240",
    "sft.trainer.per_device_train_batch_size=16", "grpo.trainer.use_cpu=false", "grpo.trainer.max_steps=1000",
    "grpo.micro_batch_tokens=24576", "grpo.validation=100", "grpo.trainer.num_generations=16",
    "grpo.trainer.per_device_train_batch_size=256", "grpo.trainer.learning_rate=1.0e-5",
)  # fmt: skip
"""What a GPU has room for, beside the recipe; the batches of findings.md 10."""


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=240)
    parser.add_argument("--small", action="store_true")
    options = parser.parse_args(arguments)
    real = bool(options.model) and not options.small
    out: Path = options.out
    world = [part for change in WORLD for part in ("--set", change)] if real else ["--set", "people=2"]
    size = ["--docs", "4", "--limit", "2000"] if real else ["--docs", "8", "--questions", "1", "--limit", "12"]
    run("prepare", "stream", *size, *world, "--out", f"{out}/data")
    recipe = ["--recipe", "small-cpu-grpo" if real else "smoke", "--set", f"task.folder={out}/data"]
    if real:
        recipe += [part for change in DEVICE for part in ("--set", change)]
    shown = []
    for script, tasks in (("sloppy", 1200), ("careful", 500)):
        words = ["--set", "chunk.tokens=26"] if real else []
        limit = ["--limit", str(tasks if real else 8)]
        told = ["--policy", f"scripted:{script}", "--set", "task.split=train", "--out", f"{out}/{script}"]
        run("eval", *recipe, *told, *words, *limit)
        shown.append(f"{out}/{script}")
    model = ["--set", f"policy.model={options.model}"] if real else []
    run("sft", *recipe, *model, "--set", f"sft.runs=[{', '.join(shown)}]", "--out", f"{out}/sft")
    learned = ["--set", f"policy.model={out}/sft/model", "--out", f"{out}/grpo"]
    run("grpo", *recipe, *learned, seconds=options.seconds)
    limit = ["--limit", "200" if real else "4"]
    for name, played in (("sft", f"{out}/sft"), ("grpo", last(out / "grpo"))):
        run("eval", "--policy", played, *limit, "--out", f"{out}/{name}-eval")
    run("compare", f"{out}/sft-eval", f"{out}/grpo-eval")
    for line in map(json.loads, (out / "grpo" / "metrics.jsonl").read_text().splitlines()):
        print(json.dumps({key: line[key] for key in SEEN if key in line}))
    print("the model was a pretrained one" if real else "no weights: the model was tiny, and has learned nothing")


SEEN = (
    "kind",
    "step",
    "seconds",
    "reward",
    "ops/update/ok",
    "ops/delete/ok",
    "time/generate",
    "time/train",
    "batch/shared",
)
"""Of each line of the metrics."""


def run(*arguments: str, seconds: float | None = None) -> None:
    """One command; after so many seconds it is told to stop, as by Ctrl-C, and keeps what it has."""
    print("$ atommem", *arguments, flush=True)
    started = time.perf_counter()
    process = subprocess.Popen([*ATOMMEM, *arguments], env={**os.environ, "HF_HUB_OFFLINE": "1"})
    try:
        status = process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGINT)
        status = process.wait()
        print("told to stop", flush=True)
        status = 0 if status == INTERRUPTED else status
    print(f"{time.perf_counter() - started:.1f} s", flush=True)
    if status:
        sys.exit(f"exit status {status}")


INTERRUPTED = 130
"""Exit status of a command that was stopped and has saved what it had."""


def last(training: Path) -> str:
    """The model of a finished training, or its last checkpoint."""
    if (training / "model").is_dir():
        return str(training)
    found = sorted((training / "checkpoints").glob("checkpoint-*"), key=lambda path: int(path.name.split("-")[1]))
    return str(found[-1])


if __name__ == "__main__":
    main(sys.argv[1:])
