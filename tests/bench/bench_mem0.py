"""Mem0 1.0.11 itself and our agent `mem0` on the same scripted replies: `python tests/bench/bench_mem0.py`.

What the second call is shown, what becomes of its operations, what is kept: episode by episode, and how often they
differ. Ours plays as it does by default, every quirk as it is there.
"""

from __future__ import annotations

import collections
import json
import random
import tempfile
from pathlib import Path
from typing import Any

from peers import environment
from peers.seen import DIMENSION, Seen, Untied

from atommem_cli.agents import mem0
from atommem_cli.core.calls import Expects, Generation
from atommem_cli.core.chunking import WordTokenizer, chunk_documents
from atommem_cli.core.episode import Call, Episode, Limits
from atommem_cli.core.memory import Memory
from atommem_cli.core.types import Document, OpKind, Outcome, Question, Task
from atommem_cli.running.player import Budget
from atommem_cli.running.rollout import Rollout
from atommem_cli.running.stubs import StubPolicy
from atommem_cli.stores import exact

EPISODES, CHUNKS, SEED = 100, 6, 11
NAMES = ("ada", "bo", "cy", "di", "ed", "fay", "gus", "hal", "ida", "jo", "kit", "lou")
WORDS = ("velt", "dorn", "quill", "fenn", "lute", "boat", "cat", "mayor", "baker", "rain", "hill", "lake", "lives")
ODD = ("99", "a", 0, 1, "01", " 1", -1, None)
"""Ids that were not shown."""

Chunk = tuple[str, str, str]
"""Its text, the reply to the first call, the reply to the second."""


def main() -> None:
    """Play both, and print where they differ."""
    dice = random.Random(SEED)
    episodes = [[_chunk(dice, number) for number in range(CHUNKS)] for _ in range(EPISODES)]
    ours, texts = _ours(episodes)
    vectors = Untied().embed(texts, is_query=False)
    with tempfile.TemporaryDirectory() as folder:
        asked = Path(folder, "asked.json")
        known = dict(zip(texts, vectors.tolist(), strict=True))
        asked.write_text(json.dumps({"episodes": episodes, "vectors": known}), encoding="utf-8")
        theirs = environment.ask("ask_mem0.py", asked)
    if theirs:
        _compare(episodes, ours, theirs)  # type: ignore[arg-type]


def _compare(episodes: list[list[Chunk]], ours: list[dict[str, Any]], theirs: list[dict[str, Any]]) -> None:
    counts: collections.Counter[str] = collections.Counter()
    first: list[str] = []
    for number, (mine, other) in enumerate(zip(ours, theirs, strict=True)):
        counts["kept differ"] += mine["kept"] != other["kept"]
        for step, (one, two) in enumerate(zip(mine["steps"], other["steps"], strict=True)):
            counts["operations that ran"] += len(one["done"])
            same = {what: one[what] == two[what] for what in ("shown", "done")}
            for what, is_same in same.items():
                counts[f"{what} differ"] += not is_same
            if not all(same.values()) and not first:
                first = [f"episode {number} chunk {step}", *episodes[number][step], f"ours {one}", f"theirs {two}"]
    print(f"mem0ai 1.0.11 and `mem0`, {EPISODES} episodes of {CHUNKS} chunks, the same replies, {DIMENSION} dimensions")
    for what in ("operations that ran", "shown differ", "done differ", "kept differ"):
        print(f"  {what}: {counts[what]}")
    print("\n".join(["  the first difference:", *first] if first else ["  no difference"]))


# --- what is said


def _fact(dice: random.Random) -> str:
    return " ".join([dice.choice(NAMES), *dice.choices(WORDS, k=dice.randint(2, 5))])


def _chunk(dice: random.Random, number: int) -> Chunk:
    facts = [_fact(dice) for _ in range(dice.randint(0, 4))]
    told: list[Any] = [one if dice.random() < 0.8 else {dice.choice(("fact", "text")): one} for one in facts]
    items = [_item(dice) for _ in range(dice.randint(0, 6))]
    first, second = (_bent(dice, json.dumps(one)) for one in ({"facts": told}, {"memory": items}))
    return f"chunk {number} {_fact(dice)} .", first, second


def _item(dice: random.Random) -> Any:
    event = dice.choice(("ADD", "ADD", "ADD", "UPDATE", "UPDATE", "DELETE", "NONE", "NOOP", "update"))
    known: Any = str(dice.randint(0, 5)) if dice.random() < 0.85 else dice.choice(ODD)
    item: dict[str, Any] = {"id": known, "text": _fact(dice), "event": event, "old_memory": "x"}
    for key in ("id", "text", "event"):
        if dice.random() < 0.05:
            del item[key]
    return item if dice.random() < 0.97 else dice.choice((None, 3, "ADD", [item]))


def _bent(dice: random.Random, reply: str) -> str:
    match dice.randrange(12):
        case 0:
            return f"```json\n{reply}\n```"
        case 1:
            return f"Here it is:\n{reply}\nI hope that this helps."
        case 2:
            return reply[: dice.randrange(len(reply))]
        case 3:
            return dice.choice(("", "I see nothing.", "{}", "[]", "null"))
        case _:
            return reply


# --- ours


def _ours(episodes: list[list[Chunk]]) -> tuple[list[dict[str, Any]], list[str]]:
    agent = mem0.build(mem0.Options())
    store, seen = exact.build(exact.Options()), Seen()

    def reply(call: Call) -> Generation:
        episode, asked = call.episode, call.observation
        assert episode is not None
        if asked.expects is Expects.FACTS:
            at[episode.id] = asked.chunk or 0
        said = {Expects.FACTS: 1, Expects.OPERATIONS: 2}.get(asked.expects)
        chunks = episodes[int(episode.id.split("#")[0])]
        return Generation(chunks[at[episode.id]][said] if said else "")

    at: dict[str, int] = {}
    made = [_episode(str(number), chunks, agent, store) for number, chunks in enumerate(episodes)]
    policy = StubPolicy(WordTokenizer(), on_calls=lambda calls: [reply(call) for call in calls], batch=64)
    found = {}
    for trajectory in Rollout(seen, store, Budget(calls=1000)).play(policy, made):
        steps: list[dict[str, Any]] = []
        for step in trajectory.transitions:
            if step.observation.expects is Expects.FACTS:
                steps.append({"shown": [], "done": []})
            elif step.observation.expects is Expects.OPERATIONS:
                steps[-1]["shown"] = [entry.text for entry in step.shown]
                steps[-1]["done"] = [
                    [EVENTS[one.op.kind], one.op.text]
                    for one in step.results
                    if one.op.kind in EVENTS and one.outcome in (Outcome.OK, Outcome.NOOP)
                ]
        found[trajectory.episode] = steps
    kept = {one.id: sorted(entry.text for entry in one.memory.entries) for one in made}
    return [{"steps": found[one.id], "kept": kept[one.id]} for one in made], sorted(seen.texts)


EVENTS = {OpKind.CREATE: "ADD", OpKind.UPDATE: "UPDATE", OpKind.DELETE: "DELETE"}


def _episode(name: str, chunks: list[Chunk], agent: mem0.Mem0, store: Any) -> Episode:
    documents = tuple(Document("", text) for text, *_ in chunks)
    task = Task(name, "bench", documents, (Question(f"{name}-q", "what ?", ("x",)),))
    cut, _ = chunk_documents(documents, WordTokenizer(), size=1, overlap=0, by="documents")
    memory = Memory(f"{name}#0", store, k=3)
    return Episode(task, cut, memory, agent, WordTokenizer(), Limits(1000, 100, 1))


if __name__ == "__main__":
    main()
