"""The rich style: templated English, several wordings of each kind of statement, names from syllables."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from atommem_cli.core.stream_words import Pair
from atommem_cli.tasks._style import Replacement

_SYLLABLES = {
    "head": "Bal Cor Dan El Fer Gal Hel Ir Jas Kor Lun Mar Nor Or Pel Quin Ros Sel Tal Ul Ver Wil Yor Zel",
    "middle": "a e i o u an en il or ul",
    "tail": "bor dan fin gar las mir nor pas ric sel ten vik",
    "town": "berg by dale field ford haven holt mere stead wick",
}
HEADS, MIDDLES, TAILS, TOWNS = (words.split() for words in _SYLLABLES.values())
_WORDS = {
    "pet": (
        "badger canary dachshund ferret gecko goose greyhound hamster heron jackdaw kestrel lizard magpie newt "
        "parrot pigeon poodle rabbit raven salamander spaniel squirrel terrier tortoise"
    ),
    "job": (
        "baker beekeeper bookbinder botanist carpenter cartographer chemist clockmaker cobbler dentist ferryman "
        "gardener glazier locksmith midwife mason notary potter roofer saddler surveyor tailor translator weaver"
    ),
    "colour": "amber black blue copper green grey red silver white yellow",
    "thing": "bicycle camera chisel compass lantern loom sextant telescope violin wagon",
}
VALUES = {
    "home": [head + middle + town for head in HEADS for middle in MIDDLES for town in TOWNS],
    "pet": _WORDS["pet"].split(),
    "job": _WORDS["job"].split(),
    "tool": [f"{colour} {thing}" for colour in _WORDS["colour"].split() for thing in _WORDS["thing"].split()],
}
CLAUSES = {
    "home": (("lives in {}", "no longer lives in {}"), ("has a house in {}", "has moved out of {}")),
    "boss": (("works for {}", "no longer works for {}"), ("reports to {}", "has stopped reporting to {}")),
    "pet": (("keeps a {}", "no longer keeps a {}"), ("looks after a {}", "has given the {} away")),
    "friend": (
        ("is best friends with {}", "is no longer best friends with {}"),
        ("is closest to {}", "has fallen out with {}"),
    ),
    "job": (
        ("earns a living as a {}", "no longer earns a living as a {}"),
        ("works as a {}", "has given up working as a {}"),
    ),
    "tool": (("owns the {}", "no longer owns the {}"), ("treasures the {}", "has parted with the {}")),
}
"""Wordings of each relation: while it holds, and when it no longer does."""
FRAMES = {
    "state": ("{s} {holds}.", "It is well known that {s} {holds}.", "According to the register, {s} {holds}."),
    "until": ("Until day {day}, {s} {holds}.", "Up to and including day {day}, {s} {holds}."),
    "change": (
        "Things have changed: {s} now {holds}.",
        "It used to be otherwise, but {s} now {holds}.",
        "As of this week, {s} {holds}.",
    ),
    "correct": (
        "Correction: it is not true that {s} {held}; {s} {holds}.",
        "It was wrongly reported that {s} {held}; in truth, {s} {holds}.",
    ),
    "retract": (
        "{s} {gone}, and what came after is not known.",
        "We hear that {s} {gone}; nothing has taken its place.",
    ),
    "expire": ("Day {day} has come, and {s} {gone}.", "Today is day {day}: {s} {gone}."),
}
CASCADES = {
    "home": ("{} has been abandoned: nobody lives there any more.", "The last house of {} stands empty."),
    "boss": ("{} has closed the business and is nobody's boss any more.", "Nobody works for {} any more."),
    "pet": ("Everybody has given up keeping a {}.", "Nobody keeps a {} any more."),
    "friend": ("{} has gone away and is nobody's best friend any more.", "Nobody is friends with {} any more."),
    "job": ("Nobody works as a {} any more.", "The trade has died out: there is no {} left."),
    "tool": (
        "The {} has been destroyed: nobody owns it any more.",
        "Nobody has the {} any more: it was lost at sea.",
    ),
}
"""Wordings of each relation where a value goes, with every fact that has it."""
NOUNS = {
    "home": "Where is the home",
    "boss": "Who is the boss",
    "pet": "Which animal is the pet",
    "friend": "Who is the best friend",
    "job": "What is the occupation",
    "tool": "What is the treasured possession",
}
NOISE = (
    "The {season} market opened {early} than usual.",
    "A little {weather} was seen over the valley in the {time}.",
    "The {time} ferry came {early} than expected.",
    "The price of {good} rose a little in {season}.",
    "Nobody could remember a {season} with so much {weather}.",
    "The almanac says that {weather} in {season} is good for {good}.",
)
_FILLINGS = {
    "season": "spring summer autumn winter",
    "weather": "drizzle fog frost hail mist rain snow thunder",
    "time": "morning evening afternoon",
    "early": "earlier later",
    "good": "barley butter flax honey salt wool yarn",
}
FILLINGS = {slot: words.split() for slot, words in _FILLINGS.items()}

MOST_PAIRS = 10_000
LAST_DAY = 10_000


def people(rng: Random, pairs: int) -> list[Pair]:
    names: list[Pair] = []
    taken: set[str] = set()
    while len(names) < pairs:
        first, stem = (rng.choice(HEADS) + rng.choice(MIDDLES) for _ in range(2))
        a, b = (f"{first} {stem}{tail}" for tail in rng.sample(TAILS, 2))
        if taken.isdisjoint((a, b)):
            taken |= {a, b}
            names.append((a, b))
    return names


def values(relation: str) -> Sequence[str]:
    return VALUES[relation]


def say(rng: Random, change: Replacement) -> str:
    if change.kind == "cascade":
        return rng.choice(CASCADES[change.relation]).format(change.value)
    holds, gone = rng.choice(CLAUSES[change.relation])
    return rng.choice(FRAMES[change.kind]).format(
        s=change.subject,
        holds=holds.format(change.value),
        held=holds.format(change.old),
        gone=gone.format(change.value),
        day=change.day,
    )


def noise(rng: Random) -> str:
    return rng.choice(NOISE).format(**{slot: rng.choice(words) for slot, words in FILLINGS.items()})


def ask(rng: Random, path: Sequence[str]) -> str:
    subject, *relations = path
    chain = " of the ".join(NOUNS[relation].split(" the ", 1)[1] for relation in reversed(relations[:-1]))
    whose = f"the {chain} of {subject}" if chain else subject
    tail = rng.choice(("If nobody knows any more", "If this is not known in the end"))
    return f'{NOUNS[relations[-1]]} of {whose}? {tail}, the answer is "unknown".'
