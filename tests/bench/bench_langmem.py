"""LangMem 0.0.30 itself and our agent `langmem` on the same operations: `python tests/bench/bench_langmem.py`.

What is shown beside each chunk, in its order, and what is kept after it. Ours deletes, as its store manager does when
it is told to; there, an update is a JSON patch (trustcall). Both embed a chunk as its bare text (there it has a
heading) and an entry as its text (there: the whole of its JSON, if the store is not told otherwise).

Three series: operations on entries that are shown, each on one; several on one entry; and numbers that were not shown.
"""

from __future__ import annotations

import collections
import json
import random
import tempfile
from pathlib import Path
from typing import Any

from bench_mem0 import EPISODES, NAMES, WORDS
from peers import environment
from peers.playing import play
from peers.untied import Untied

from atommem_cli.agents import langmem
from atommem_cli.core.calls import Expects, Observation
from atommem_cli.core.episode import Episode
from atommem_cli.models.embedding_cache import CachedEmbedder

PINS = ("langmem==0.0.30", "langgraph==1.2.24", "trustcall==0.0.39", "langchain-core==1.8.3", "numpy==2.4.6")
CHUNKS, SEED = 6, 5

SERIES = ONE, SEVERAL, UNSHOWN = "each on one entry", "several on one entry", "entries that were not shown"

Operation = list[Any]
"""["INSERT", text], ["UPDATE", number of an entry shown, text], ["DELETE", number]."""
Chunk = tuple[str, list[Operation]]


def main() -> None:
    """Play each series with both, and print where they differ."""
    for series in SERIES:
        dice = random.Random(SEED)
        episodes = [[_chunk(dice, number, series) for number in range(CHUNKS)] for _ in range(EPISODES)]
        ours, played = _ours(episodes, series)
        with tempfile.TemporaryDirectory() as folder:
            asked = Path(folder, "asked.json")
            asked.write_text(json.dumps(played), encoding="utf-8")
            theirs = environment.ask("ask_langmem.py", asked, pins=PINS, home="peers-langmem")
        if theirs:
            _compare(series, played, ours, theirs)  # type: ignore[arg-type]


def _compare(series: str, episodes: list[list[Chunk]], ours: list[list[Any]], theirs: list[list[Any]]) -> None:
    counts: collections.Counter[str] = collections.Counter()
    first: list[str] = []
    for number, (mine, other) in enumerate(zip(ours, theirs, strict=True)):
        same = True
        for step, (one, two) in enumerate(zip(mine, other, strict=True)):
            counts["operations"] += len(episodes[number][step][1])
            counts["asked again"] += two["asked"] > 1
            counts["raised there"] += two["lost"] != ""
            differ = [what for what in ("shown", "kept") if one[what] != two[what]]
            if same and differ:  # what comes after a difference is another play
                same = False
                counts[f"{differ[0]} differs first"] += 1
                first = first or [f"episode {number} chunk {step} {episodes[number][step]}", f"{one}", f"{two}"]
        counts["episodes that are the same"] += same
    print(f"langmem 0.0.30 and `langmem`, {EPISODES} episodes of {CHUNKS} chunks; {series}")
    for what in ("operations", "asked again", "raised there", "shown differs first", "kept differs first"):
        print(f"  {what}: {counts[what]}")
    print("\n  ".join([f"  the same from end to end: {counts['episodes that are the same']}", *first]))


def _fact(dice: random.Random) -> str:
    return " ".join([dice.choice(NAMES), *dice.choices(WORDS, k=dice.randint(2, 5)), str(dice.randrange(10_000))])


def _chunk(dice: random.Random, number: int, series: str) -> Chunk:
    count = dice.randint(0, 5)
    among = {ONE: [1, 2, 3, 4, 5], SEVERAL: [1, 1, 2, 2, 3, 3], UNSHOWN: [1, 2, 3, 4, 5, 6, 7]}[series]
    targets = dice.sample(among, k=count)
    made: list[Operation] = []
    for target in targets:
        event = dice.choice(("INSERT", "INSERT", "INSERT", "UPDATE", "UPDATE", "DELETE"))
        told: Operation = [event] if event == "INSERT" else [event, target]
        made.append([*told, _fact(dice)] if event != "DELETE" else told)
    return f"chunk {number} {_fact(dice)} .", made


def _ours(episodes: list[list[Chunk]], series: str) -> tuple[list[list[Any]], list[list[Chunk]]]:
    """What ours does, and the operations that were said: of entries that are shown, but for the last series."""
    played: list[list[Chunk]] = [[] for _ in episodes]
    told: list[list[Any]] = [[] for _ in episodes]

    def reply(number: int, episode: Episode, asked: Observation) -> str:
        if told[number]:
            told[number][-1]["kept"] = sorted(entry.text for entry in episode.memory.entries)
        if asked.expects is not Expects.OPERATIONS:
            return ""
        shown = [entry.text for entry in episode.memory.shown]
        text, operations = episodes[number][asked.chunk or 0]
        if series != UNSHOWN:
            operations = [one for one in operations if one[0] == "INSERT" or one[1] <= len(shown)]
        played[number].append((text, operations))
        told[number].append({"shown": shown, "kept": []})
        keys = {"INSERT": ("event", "text"), "UPDATE": ("event", "id", "text"), "DELETE": ("event", "id")}
        said = [dict(zip(keys[one[0]], map(str, one), strict=True)) for one in operations]
        return json.dumps({"memory": said})

    worlds = [([text for text, _ in chunks], ["what ?"]) for chunks in episodes]
    play(langmem.build(langmem.Options()), worlds, reply, CachedEmbedder(Untied()))
    return told, played


if __name__ == "__main__":
    main()
