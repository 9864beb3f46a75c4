"""Small evaluations for tests of the report: real runs of scripted policies, and one whose every text is hostile."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from builders import Says

from atommem_cli.config import recipe as recipes
from atommem_cli.core.calls import Expects
from atommem_cli.core.episode import Call
from atommem_cli.core.files import read_json
from atommem_cli.core.types import MemoryOp, OpKind
from atommem_cli.data import files, preparation
from atommem_cli.running import evaluation
from atommem_cli.running.build import assemble

ATTACK = (
    "<script>window.hacked=1</script></script><!--<script><img src=x onerror=alert(1)>"
    '"><svg onload=alert(2)> javascript:alert(3) {{ 7*7 }} ${7*7} \x1b[31mred\x00nul \u202egnp\u2066.exe &lt;b&gt;'
)
PAPER = ("agent.dialect=paper", "chunk={tokens: 60, overlap: 0, by: documents}")


def tasks(home: Path, count: int = 6, **options: Any) -> Path:
    """Prepared `stream` tasks: the folder that recipes name."""
    folder = home / "data" / "stream"
    preparation.prepare("stream", out=folder, split="validation", options=options, limit=count, seed=3)
    return folder


def run(folder: Path, out: Path, script: str = "sloppy", *changes: str) -> Path:
    """A finished run of a scripted policy on these tasks."""
    settings = [f"task.folder={folder}", f"policy={{name: scripted, script: {script}}}", "store.name=exact", *changes]
    evaluation.evaluate(recipes.load("tiny-sloppy", settings), out)
    return out


def conversation(folder: Path, out: Path) -> Path:
    """A finished run of an agent whose prompts grow, with a policy that edits them."""
    support = Path(__file__).parent
    parts = (f"agent={{name: {support / 'growing.py'}}}", f"policy={{name: {support / 'editing.py'}}}")
    return run(folder, out, "mute", *parts)


def corrected(folder: Path, out: Path) -> Path:
    """Likewise, with entries that are named by their ids: two are made, the second is changed, the first goes."""

    def say(call: Call) -> str:
        assert call.episode is not None
        if call.observation.question is not None:
            return '{"answer": "nobody knows"}'
        create, update = MemoryOp(OpKind.CREATE, "one"), MemoryOp(OpKind.UPDATE, "two and more", 2)
        ops = [
            [create, MemoryOp(OpKind.CREATE, "two"), MemoryOp(OpKind.READ, "two")],
            [update, MemoryOp(OpKind.DELETE, target=1), MemoryOp(OpKind.DELETE, target=12)],
        ]
        return call.episode.agent.write(Expects.OPERATIONS, ops[min(call.observation.chunk or 0, 1)])

    settings = [f"task.folder={folder}", f"agent={{name: {Path(__file__).parent / 'growing.py'}}}", "store.name=exact"]
    recipe = recipes.load("tiny-sloppy", [*settings, "policy={name: scripted, script: mute}"])
    evaluation.evaluate(recipe, out, parts=assemble(recipe, out, playing=Says(say)))
    return out


def staged(home: Path, count: int = 3) -> Path:
    """A finished run of `agemem` in three stages, whose policy adds, filters, and sums up in hostile words."""
    preparation.prepare("stream", out=home / "late", split="validation", limit=count, seed=3, distractors=2)

    def say(call: Call) -> str:
        assert call.episode is not None
        there = [entry.id for entry in call.episode.context.entries if entry.message.role != "system"]
        chunk = call.observation.chunk
        if chunk is None:
            return call.episode.agent.write(Expects.ANSWER, [], "nobody knows")
        text = call.episode.chunks[chunk].text
        sum_up = MemoryOp(OpKind.SUMMARIZE, f"{ATTACK} {text}", targets=tuple(there[-2:]))
        take_out = MemoryOp(OpKind.FILTER, "all of this", targets=tuple(there[:1]))
        ops = [[MemoryOp(OpKind.CREATE, text)], [sum_up], [take_out], [sum_up, MemoryOp(OpKind.CREATE, ATTACK)]]
        return call.episode.agent.write(Expects.OPERATIONS, ops[chunk % 4])

    settings = [f"task.folder={home / 'late'}", "agent={name: agemem, dialect: paper}", "store.name=exact"]
    settings += ["limits={reply: 400, answer: 100, reads: 2}", "policy={name: scripted, script: mute}"]
    recipe = recipes.load("tiny", settings)
    evaluation.evaluate(recipe, home / "staged", parts=assemble(recipe, home / "staged", playing=Says(say)))
    return home / "staged"


def rewrite(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change every line of a file of JSON lines."""
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for line in lines:
        change(line)
    path.write_text("".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines))


def hostile(home: Path, long: int = 1_000_000) -> Path:
    """A run whose documents, questions, replies, entries, answers and errors attack the page that shows them."""
    folder = tasks(home, 2, people=2, relations=2)

    def poison(task: dict[str, Any]) -> None:
        for number, document in enumerate(task["documents"]):
            document["text"] += f" {number} {ATTACK}"
        for question in task["questions"]:
            question["text"] += f" {ATTACK}"
            question["answers"] = [ATTACK, *question["answers"]]
            for support in question["supporting"]:
                support["text"] = task["documents"][support["document"]]["text"]

    split = folder / "validation"
    rewrite(split / "tasks.jsonl", poison)
    manifest = {**read_json(split / "manifest.json"), "sha256": files.sha256(split / "tasks.jsonl")}
    (split / "manifest.json").write_text(json.dumps(manifest))
    out = run(folder, home / "results" / "hostile", "append_only", *PAPER)

    def answer(line: dict[str, Any]) -> None:
        line["error"] = f"server said {ATTACK}"
        line["answers"] = [{"text": f"{ATTACK} \ud800", "tagged": False} for _ in line["answers"]]

    def reply(line: dict[str, Any]) -> None:
        line["reply"] = f"{line['reply']} \udfff " + ("A" * long if line["step"] == 0 else "")

    rewrite(out / "episodes.jsonl", answer)
    rewrite(out / "steps.jsonl", reply)
    return out
