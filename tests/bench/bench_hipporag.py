"""HippoRAG 2.0.0a4 and our agent `hipporag` on the same scripted replies: `python tests/bench/bench_hipporag.py`.

Of every question the triples that the filter is shown, and all documents in the order in which they are found. Ours
plays with `latin_phrases`, as the code does.
"""

from __future__ import annotations

import collections
import json
import random
import re
import tempfile
import zlib
from pathlib import Path
from typing import Any

from peers import environment
from peers.playing import bent, play
from peers.seen import DIMENSION, Hashed, Seen

from atommem_cli.agents import hipporag
from atommem_cli.core.calls import Expects, Observation
from atommem_cli.core.episode import Episode

PINS = ("igraph==1.0.0", "numpy==2.4.6", "pandas==3.1.1", "pyarrow==26.0.1", "tqdm==4.70.1", "pydantic==2.14.3")
ALONE = ("hipporag==2.0.0a4",)
EPISODES, QUESTIONS, SEED = 60, 4, 12
NAMES = (
    "north old stone bridge of Velt",
    "North old stone bridge of Dorn",
    "Ada Quill",
    "Ada Quills",
    "Bo",
    "Łódź",
    "Cy Fenn",
    "cy fenn",
    "Velt-Bridge",
    "Dorn",
    "May 1931",
    "!",
    "Jo",
    7,
)
RELATIONS = ("was born in", "lies in", "designed", "is", "opened", 12)

Said = dict[str, Any]


def main() -> None:
    """Play both, and print where they differ."""
    dice = random.Random(SEED)
    episodes = [_episode(dice, number) for number in range(EPISODES)]
    ours, texts = _ours(episodes)
    with tempfile.TemporaryDirectory() as folder:
        asked = Path(folder, "asked.json")
        known = dict(zip(texts, Hashed().embed(texts, is_query=False).tolist(), strict=True))
        asked.write_text(json.dumps({"episodes": episodes, "vectors": known}), encoding="utf-8")
        theirs = environment.ask("ask_hipporag.py", asked, pins=PINS, alone=ALONE, home="peers-hipporag")
    if theirs:
        _compare(ours, theirs)  # type: ignore[arg-type]


def _compare(ours: list[list[Said]], theirs: list[list[Said]]) -> None:
    counts: collections.Counter[str] = collections.Counter()
    first: list[str] = []
    for number, (mine, others) in enumerate(zip(ours, theirs, strict=True)):
        for one, other in zip(mine, others, strict=True):
            counts["questions"] += 1
            counts["of them with triples"] += bool(other["shown"])
            counts["theirs raised"] += "raised" in other
            shown = one["shown"] != other["shown"]
            found = "raised" not in other and one["found"] != other["found"]
            counts["shown differ"] += shown
            counts["found differ"] += found
            if (shown or found) and not first:
                first = [f"episode {number}", f"ours {one}", f"theirs {other}"]
    print(f"HippoRAG 2.0.0a4 and `hipporag`, {EPISODES} episodes of {QUESTIONS} questions, {DIMENSION} dimensions")
    for what in ("questions", "of them with triples", "theirs raised", "shown differ", "found differ"):
        print(f"  {what}: {counts[what]}")
    print("\n".join(["  the first difference:", *first] if first else ["  no difference"]))


# --- what is said


def _episode(dice: random.Random, number: int) -> Said:
    documents = []
    for at in range(dice.randint(2, 14)):
        triples: list[Any] = [_triple(dice) for _ in range(dice.choice((0, 1, 2, 3, 5)))]
        text = " ".join([f"e{number}d{at}q", *(str(part) for triple in triples for part in triple)])
        triples += [dice.choice(triples)] * dice.randint(0, 1) if triples else []
        entities = json.dumps({"named_entities": [str(dice.choice(NAMES)) for _ in range(dice.randint(0, 4))]})
        documents.append([text, bent(dice, entities), bent(dice, json.dumps({"triples": triples}))])
    questions = [f"Who {dice.choice(RELATIONS)} {dice.choice(NAMES)} {at}?" for at in range(QUESTIONS)]
    return {"documents": documents, "questions": questions}


def _triple(dice: random.Random) -> list[Any]:
    triple = [dice.choice(NAMES), dice.choice(RELATIONS), dice.choice(NAMES)]
    return triple[: dice.choice((2, 1))] if dice.random() < 0.05 else triple


# --- ours


def _ours(episodes: list[Said]) -> tuple[list[list[Said]], list[str]]:
    seen = Seen()
    calls: collections.Counter[int] = collections.Counter()
    shown: dict[tuple[int, int], list[str]] = {}

    def reply(number: int, _: Episode, asked: Observation) -> str:
        match asked.expects:
            case Expects.FACTS:
                document, which = divmod(calls[number], 2)
                calls[number] += 1
                said: str = episodes[number]["documents"][document][1 + which]
                return said
            case Expects.CHOICE:
                listed = asked.messages[-1].content.split("\nFacts:\n")[1].split("\n\nWhich of these")[0]
                facts = re.findall(r"^\d+\. (.*)$", listed, re.MULTILINE)
                assert asked.question is not None
                shown[number, asked.question] = facts
                kept = [at for at, fact in enumerate(facts, start=1) if zlib.crc32(fact.encode()) % 2]
                return json.dumps({"facts": kept})
            case _:
                return ""

    agent = hipporag.build(hipporag.Options(latin_phrases=True))
    worlds = [([text for text, *_ in told["documents"]], told["questions"]) for told in episodes]
    found = []
    for number, (_, trajectory) in enumerate(play(agent, worlds, reply, seen, k=20)):
        answers = [step for step in trajectory.transitions if step.observation.expects is Expects.ANSWER]
        found.append(
            [
                {"shown": shown.get((number, at), []), "found": [entry.text for entry in step.shown]}
                for at, step in enumerate(answers)
            ]
        )
    return found, sorted(seen.texts)


if __name__ == "__main__":
    main()
