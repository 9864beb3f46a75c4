"""AgeMem under 100,000 replies of a policy that calls every tool, well and badly; twenty kills; episodes alone.

All of it twice: with tools that the instructions tell, and with tools that are told apart from the messages.

Run: python tests/bench/bench_agemem.py
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

from atommem_cli.config import recipe as recipes
from atommem_cli.config.recipe import Recipe
from atommem_cli.data import preparation
from atommem_cli.replay import replay
from atommem_cli.running.build import assemble
from atommem_cli.running.evaluation import evaluate, planned_tasks
from atommem_cli.runs.reader import Run

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))
import tool_calls

REPLIES, TASKS, KILLS = 100_000, 40, 20


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        options = {"docs": 20, "questions": 2}
        preparation.prepare(
            "stream", out=folder / "data", split="validation", options=options, distractors=5, limit=TASKS
        )
        for calling in ("text", "native"):
            fuzzed(folder, calling)
            killed(folder, calling)


def recipe(folder: Path, calling: str, **changes: Any) -> Recipe:
    content: dict[str, Any] = {
        "name": "tools",
        "task": {"folder": str(folder / "data")},
        "chunk": {"tokens": 8, "overlap": 0, "by": "documents", "most": None},
        "memory": {"retrieve_k": 3},
        "limits": {"reply": 400, "answer": 400, "reads": 2},
        "agent": {"name": "agemem", "calling": calling},
        "policy": {"name": tool_calls.__file__},
        "store": {"name": "exact"},
        "embedder": {"name": "hashing"},
        **changes,
    }
    return recipes.resolve(content, [], origin="tools")


def fuzzed(folder: Path, calling: str) -> None:
    """Goal: every episode comes to an end that has a name; nothing raises."""
    stops: Counter[str] = Counter()
    outcomes: Counter[str] = Counter()
    replies, seed, started = 0, 0, time.perf_counter()
    while replies < REPLIES:
        seed += 1
        chosen = recipe(folder, calling, seed=seed, eval={"repeats": 8})
        parts = assemble(chosen)
        for trajectory in parts.play(parts.episodes(planned_tasks(chosen))):
            replies += len(trajectory.transitions)
            stops[trajectory.stop] += 1
            outcomes.update(result.outcome for step in trajectory.transitions for result in step.results)
        parts.close()
    rate = replies / (time.perf_counter() - started)
    told = ", ".join(f"{outcome} {count:,}" for outcome, count in outcomes.most_common())
    print(f"{calling}: {replies:,} fuzzed replies, {rate:,.0f} a second; episodes {dict(stops)}; operations {told}")


def killed(folder: Path, calling: str) -> None:
    """Goal: as many digests alike as there were kills, no finding, and no episode that differs when it plays alone."""
    chosen = recipe(folder, calling)
    for name in ("whole", "alone"):
        shutil.rmtree(folder / name, ignore_errors=True)
    whole = evaluate(chosen, folder / "whole")
    steps = (folder / "whole" / "steps.jsonl").read_bytes()
    dice, same = Random(0), 0
    for _ in range(KILLS):
        shutil.rmtree(folder / "killed", ignore_errors=True)
        (folder / "killed").mkdir()
        for name in ("run.json", "recipe.yaml"):
            shutil.copy(folder / "whole" / name, folder / "killed" / name)
        (folder / "killed" / "steps.jsonl").write_bytes(steps[: dice.randrange(len(steps))])
        same += evaluate(chosen, folder / "killed")["digest"] == whole["digest"]
    found = replay.verify(Run(folder / "whole"), retrieve=True)
    evaluate(chosen.changed(["policy.batch=1"]), folder / "alone")
    together, alone = (_ends(folder / name) for name in ("whole", "alone"))
    print(f"{calling}: {same} of {KILLS} killed runs end with the same digest")
    print(f"{calling}: a replay has {len(found.findings)} findings in {found.steps:,} calls")
    print(f"{calling}: {sum(together[one] != alone[one] for one in together)} of {len(together)} episodes differ alone")


def _ends(run: Path) -> dict[str, str]:
    lines = map(json.loads, (run / "episodes.jsonl").read_text().splitlines())
    return {line["episode"]: line["steps"] for line in lines}


if __name__ == "__main__":
    main()
