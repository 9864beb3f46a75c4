"""The closed style: words of one fixed list, so that a model with a hundred tokens can read and answer.

mara home velt .                    stated
until day 3 mara home velt .        stated, with a last day
mara now home dorn .                changed
mara not velt but home dorn .       corrected
mara no home .                      retracted
day 4 mara no home .                expired
mara boss home ?                    asked: the home of mara's boss
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from atommem_cli.core.stream_facts import UNKNOWN
from atommem_cli.tasks._style import RELATIONS, Pair, Replacement

_NAMES = (
    "mara/mira joren/joran tilda/tilde oskar/oskan selin/selim bruno/bruna edda/edna falko/falka hanno/hanna "
    "kaspar/kasper livia/lidia nelo/nela"
)
_VALUES = {
    "home": "velt dorn quill ashby corva drell fenn garth holm istra kelso lorne marn nesk ostro",
    "pet": "fox owl cat dog hen goat mole crow toad hare",
    "job": "baker smith tailor miner pilot nurse judge clerk guard cook",
    "tool": "axe saw rope lamp drill spade brush hook net bell",
}
_NOISE = "rain snow wind fog sun/falls rests hangs/over near/the/hill river road field wood lake"

PAIRS: list[Pair] = [(first, second) for first, _, second in (pair.partition("/") for pair in _NAMES.split())]
VALUES = {relation: words.split() for relation, words in _VALUES.items()}
NOISE = [words.split() for words in _NOISE.split("/")]

MOST_PAIRS = len(PAIRS)
LAST_DAY = 9

VOCABULARY = tuple(
    sorted(
        {name for pair in PAIRS for name in pair}
        | {word for words in (*VALUES.values(), *NOISE, RELATIONS) for word in words}
        | {str(day) for day in range(1, LAST_DAY + 1)}
        | {UNKNOWN, "until", "day", "now", "not", "but", "no", ".", "?"}
    )
)
"""Every word of its documents, questions and answers, sorted; words are separated by one space."""


def people(rng: Random, pairs: int) -> list[Pair]:
    return [(a, b) if rng.random() < 0.5 else (b, a) for a, b in rng.sample(PAIRS, pairs)]


def values(relation: str) -> Sequence[str]:
    return VALUES[relation]


def say(rng: Random, change: Replacement) -> str:
    kind, subject, relation, value, old, day = change
    match kind:
        case "state":
            return f"{subject} {relation} {value} ."
        case "until":
            return f"until day {day} {subject} {relation} {value} ."
        case "change":
            return f"{subject} now {relation} {value} ."
        case "correct":
            return f"{subject} not {old} but {relation} {value} ."
        case "retract":
            return f"{subject} no {relation} ."
        case _:
            return f"day {day} {subject} no {relation} ."


def noise(rng: Random) -> str:
    return " ".join(rng.choice(words) for words in NOISE) + " ."


def ask(rng: Random, path: Sequence[str]) -> str:
    return f"{' '.join(path)} ?"
