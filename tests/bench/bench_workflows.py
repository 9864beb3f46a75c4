"""What each agent takes for a task of 200 and of 800 documents of HotpotQA, beside what AtomMem's paper says (Table 6).

One question a task, chunks of 4,000 tokens (here: words and marks) with 100 of overlap, as AtomMem's code cuts them;
every agent with its own defaults, the recipe's k and a scripted policy.

Run: python tests/bench/bench_workflows.py FOLDER [DOCUMENTS] [TASKS] [AGENT ...]     FOLDER: HotpotQA's records
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from statistics import fmean

from atommem_cli.config import plugins
from atommem_cli.config import recipe as recipes
from atommem_cli.core.workload import shape_of, workload_of
from atommem_cli.data import preparation
from atommem_cli.running.build import assemble
from atommem_cli.running.evaluation import planned_tasks
from atommem_cli.runs.tables import Table

PUBLISHED = {
    "atommem": "10.9 / 10.9",
    "memagent": "8.0 / 0",
    "mem0": "12.9 / 88.6",
    "generative_agents": "375.9 / 418.0",
    "a_mem": "400.0 / 402.0",
}
"""Calls and retrievals of a task (AtomMem v3, Table 6); the number of documents is not said, and 200 fits A-MEM's."""
SCRIPTS = ("oracle", "append_only")
VARIANTS: dict[str, list[dict[str, object]]] = {
    "a_mem": [{}, {"variant": "library"}],
    "mem0": [{}, {"variant": "add_only"}],
    "agemem": [{}, {"context_tokens": 200_000}],
}
"""AgeMem's 8,192 tokens of context are full at the second chunk of this size: its episode ends there."""


def row(folder: Path, agent: str, options: dict[str, object], script: str) -> tuple[str, ...]:
    """One agent with one script: means of a task, and what a plan says before."""
    content = {
        "name": "bench",
        "task": {"folder": str(folder)},
        "chunk": {"tokens": 4000, "overlap": 100, "by": "tokens", "most": 40},
        "memory": {"retrieve_k": 6},
        "limits": {"reply": 4096, "answer": 1024, "reads": 3},
        "agent": {"name": agent, **options},
        "policy": {"name": "scripted", "script": script},
        "store": {"name": "exact"},
        "embedder": {"name": "hashing"},
    }
    recipe = recipes.resolve(content, [], origin="bench")
    parts, started = assemble(recipe), time.process_time()
    played = [*parts.play(parts.episodes(planned_tasks(recipe)))]
    bounds = [workload_of(parts.agent, shape_of(one.chunks, len(one.answers)), 4096).calls for one in played]
    again = 1 + recipe.limits.reads * parts.agent.reads_again
    parts.close()
    used = [one.usage for one in played]

    def mean(*values: float) -> str:
        return f"{fmean(values):,.1f}"

    return (
        " ".join([agent, *map(str, options.values())]),
        script,
        mean(*(one.calls for one in used)),
        f"{mean(*(low for low, _ in bounds))} to {mean(*(high * again for _, high in bounds))}",
        mean(*(one.reads for one in used)),
        mean(*(one.entries for one in used)),
        f"{fmean(one.prompt_tokens for one in used):,.0f}",
        f"{fmean(one.new_tokens for one in used):,.0f}",
        PUBLISHED.get(agent, "-"),
        f"{(time.process_time() - started) / len(played):.1f}",
    )


def main() -> None:
    source, documents, tasks, *agents = [*sys.argv[1:], *["200", "4"][max(0, len(sys.argv) - 2) :]]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "data"
        options = {"docs": int(documents), "questions": 1}
        preparation.prepare("hotpotqa", source=source, out=folder, options=options, limit=int(tasks))
        headers = ("agent", "script", "calls", "planned", "retrievals", "entries", "prompt tokens", "new tokens")
        rows = []
        for agent in agents or plugins.available("agents"):
            for options in VARIANTS.get(agent, [{}]):
                for script in SCRIPTS:
                    rows.append(row(folder, agent, options, script))
                    print(*rows[-1], sep=" | ", flush=True)
        title = f"A task of {documents} documents, means over {tasks} tasks"
        print(Table(title, (*headers, "published calls / retrievals", "CPU s"), tuple(rows)).markdown())


if __name__ == "__main__":
    main()
