"""The closed style: words of one fixed list, so that a model with a hundred tokens can read and answer.

mara home velt .                    stated
until day 3 mara home velt .        stated, with a last day
mara now home dorn .                changed
mara not velt but home dorn .       corrected
mara no home .                      retracted
day 4 mara no home .                expired
no home velt .                      velt is nobody's home any more: a cascade
mara boss home ?                    asked: the home of mara's boss
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from atommem_cli.core.stream_words import LAST_DAY, NOISE, PAIRS, VALUES, Pair
from atommem_cli.tasks._style import Replacement

__all__ = ["LAST_DAY", "MOST_PAIRS", "ask", "noise", "people", "say", "values"]

MOST_PAIRS = len(PAIRS)


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
        case "cascade":
            return f"no {relation} {value} ."
        case _:
            return f"day {day} {subject} no {relation} ."


def noise(rng: Random) -> str:
    return " ".join(rng.choice(words) for words in NOISE) + " ."


def ask(rng: Random, path: Sequence[str]) -> str:
    return f"{' '.join(path)} ?"
