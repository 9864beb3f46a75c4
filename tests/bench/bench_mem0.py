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
from peers.playing import bent, play
from peers.seen import DIMENSION, Hashed, Seen

from atommem_cli.agents import mem0
from atommem_cli.core.calls import Expects, Observation
from atommem_cli.core.episode import Episode
from atommem_cli.core.types import OpKind, Outcome

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
    vectors = Hashed().embed(texts, is_query=False)
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
    first, second = (bent(dice, json.dumps(one)) for one in ({"facts": told}, {"memory": items}))
    return f"chunk {number} {_fact(dice)} .", first, second


def _item(dice: random.Random) -> Any:
    event = dice.choice(("ADD", "ADD", "ADD", "UPDATE", "UPDATE", "DELETE", "NONE", "NOOP", "update"))
    known: Any = str(dice.randint(0, 5)) if dice.random() < 0.85 else dice.choice(ODD)
    item: dict[str, Any] = {"id": known, "text": _fact(dice), "event": event, "old_memory": "x"}
    for key in ("id", "text", "event"):
        if dice.random() < 0.05:
            del item[key]
    return item if dice.random() < 0.97 else dice.choice((None, 3, "ADD", [item]))


# --- ours


def _ours(episodes: list[list[Chunk]]) -> tuple[list[dict[str, Any]], list[str]]:
    seen = Seen()
    at: dict[int, int] = {}

    def reply(number: int, _: Episode, asked: Observation) -> str:
        if asked.expects is Expects.FACTS:
            at[number] = asked.chunk or 0
        said = {Expects.FACTS: 1, Expects.OPERATIONS: 2}.get(asked.expects)
        return episodes[number][at[number]][said] if said else ""

    worlds = [([text for text, *_ in chunks], ["what ?"]) for chunks in episodes]
    found = []
    for one, trajectory in play(mem0.build(mem0.Options()), worlds, reply, seen):
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
        found.append({"steps": steps, "kept": sorted(entry.text for entry in one.memory.entries)})
    return found, sorted(seen.texts)


EVENTS = {OpKind.CREATE: "ADD", OpKind.UPDATE: "UPDATE", OpKind.DELETE: "DELETE"}


if __name__ == "__main__":
    main()
