"""The pipeline as a user runs it, on the installed command: check -> prepare -> eval -> sft -> grpo -> eval ->
ablate -> compare -> why -> replay -> report, in a folder of its own.

python tests/smoke.py path/to/atommem
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

RECORDS = Path(__file__).parents[2] / "shared" / "data"
"""Real records, where they lie beside the project; the smoke test does without them elsewhere."""


def main(atommem: str) -> None:
    with tempfile.TemporaryDirectory() as folder:

        def run(*arguments: str) -> str:
            print("$ atommem", *arguments, flush=True)
            done = subprocess.run([atommem, *arguments], cwd=folder, stdout=subprocess.PIPE, text=True, check=True)
            return done.stdout

        print(run("check"))
        run("prepare", "stream", "--limit", "20")
        oracle, mute, tiny = (
            json.loads(run("eval", "--json", "--limit", "8", *policy))
            for policy in (["--policy", "scripted:oracle"], ["--policy", "scripted:mute"], [])
        )
        assert oracle["scores"]["em"]["mean"] == 1.0, oracle["scores"]
        assert mute["scores"]["em"]["mean"] == 0.0, mute["scores"]
        assert tiny["evaluated"] == 8
        assert not tiny["failed"]
        learn(run, Path(folder))
        for name in ("hotpotqa", "2wikimultihopqa", "musique") if RECORDS.is_dir() else ():
            source = ("--source", str(RECORDS / name), "--split", "validation", "--docs", "30", "--limit", "10")
            run("prepare", name, *source)
            words = ["agent.dialect=paper", "chunk={tokens: 1024, overlap: 100}", "memory.retrieve_k=6"]
            changes = [part for change in [f"task.folder=data/{name}", *words] for part in ("--set", change)]
            result = json.loads(run("eval", "--json", "--policy", "scripted:oracle", *changes))
            assert result["scores"]["em"]["mean"] == 1.0, result["scores"]
            print(f"{name}: the oracle scores 100 on {result['scores']['em']['n']} questions", flush=True)
    print("smoke: the pipeline stands")


def learn(run: Callable[..., str], folder: Path) -> None:
    """A training of seconds; it learns nothing, and every part of it is real."""
    smoke = ("--recipe", "smoke", "--json")
    run("eval", *smoke, "--policy", "scripted:sloppy", "--set", "task.split=train", "--out", "results/teacher")
    plans = [json.loads(run(command, *smoke, "--plan", *given)) for command, given in (("sft", TEACHER), ("grpo", ()))]
    assert plans[0]["rows"] > 0, plans[0]
    taught = json.loads(run("sft", *smoke, *TEACHER, "--out", "results/sft"))
    learned = json.loads(run("grpo", *smoke, "--policy", "results/sft", "--out", "results/grpo"))
    assert (taught["updates"], learned["updates"]) == (4, 2), (taught, learned)
    assert taught["weights"] != learned["weights"]
    played = json.loads(run("eval", "--policy", "results/grpo", "--out", "results/played", "--ladder", "--json"))
    assert played["policy"]["weights"] == learned["weights"]
    assert not played["failed"]
    assert played["ladder"]["rungs"][0]["rung"] == "closed book"
    ablated = json.loads(run("ablate", "--policy", "results/grpo", "--json", "--out", "results/ablated"))
    assert [side["label"] for side in ablated["runs"]] == ["base", "without-delete"]
    for name in ("table.md", "table.csv", "table.tex", "table.json", "pareto.png"):
        assert (folder / "results" / "ablated" / name).stat().st_size > 100, name
    print(run("compare", "results/played", "results/ablated/arms/without-delete"))
    print(run("why", "results/played"))
    for path in sorted(folder.glob("results/**/steps.jsonl")):
        if json.loads((path.parent / "run.json").read_text())["command"] == "eval":
            found = json.loads(run("replay", str(path.parent.relative_to(folder)), "--retrieve", "--json"))
            assert not found["findings"], found
    for reported in ("results/grpo", "results/played"):
        run("report", reported)
        assert (folder / reported / "report.html").stat().st_size > 10_000


TEACHER = ("--from", "results/teacher")

if __name__ == "__main__":
    main(*sys.argv[1:])
