"""The entities of mem0ai 2.2.1: names that entries share, and what they are worth where a question has them.

There spaCy finds them (`utils/entity_extraction.py`): named entities, runs of proper nouns, identifiers, quoted text,
noun phrases. Here a rule does, by capitals and quotes: runs of capitalised words, "of" or "the" between two of them
included, identifiers with dots, quoted text. So common nouns are none ("machine learning"), a sentence's first word is
one wherever it is no stop word, and an adjective as "Dutch" is one.

Entities are linked when a question is asked, and no longer when an entry is added, entry by entry, oldest first: the
result depends on the entries alone. There all of one call are looked up at once, before any of them is added.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from atommem_cli.agents._mem0_keywords import CONTENTLESS

SAME, NEAR = 0.95, 0.5
"""Least cosine of two entities that are one (`_upsert_entity`), and of one of a question and one of entries."""
WEIGHT = 0.5
"""`ENTITY_BOOST_WEIGHT`."""
MOST, FOUND = 8, 500
"""Entities of a question that count, and entities found for each (`_compute_entity_boosts`)."""
LONGEST = 100
"""Characters of an entity."""
JOINING = frozenset({"of", "the", "for", "at", "in"})
_GENERIC = """
    user assistant agent customer client person people human memory message conversation chat session system
    works items things stuff resources options tips ideas steps ways methods tools features benefits examples
    details notes instructions guidelines recommendations suggestions overview summary conclusion introduction
    pros cons advantages disadvantages
"""
GENERIC = frozenset(_GENERIC.split())
"""Words that are no name, however they are written (`_GENERIC_SINGLE_ENTITY_TERMS`, `_GENERIC_CAPS`)."""
_TOKEN = re.compile(
    r"(?P<identifier>[A-Za-z_][\w-]*(?:\.[A-Za-z_][\w-]*)+)|(?P<initial>[^\W\d_]\.(?!\w))|(?P<word>\w+(?:-\w+)*)"
)
_QUOTED = re.compile(r'"([^"]+)"'), re.compile(r"(?:^|[\s(\[{,;])'([^']+)'(?=[\s.,;:!?)\]]|$)")

Vectors = NDArray[np.float32]


def entities(text: str) -> list[str]:
    """The entities of a text, each once: names and identifiers in order, then what is quoted."""
    found: dict[str, str] = {}
    for one in (*_names(text), *(quoted.strip() for pattern in _QUOTED for quoted in pattern.findall(text))):
        if 2 < len(one) <= LONGEST and not any(mark in one for mark in ("**", "__", "\n", "  ")):
            found.setdefault(key(one), one)
    return list(found.values())


def asked(question: str) -> list[str]:
    """The entities of a question that count."""
    return entities(question)[:MOST]


def key(entity: str) -> str:
    """What is the same of two entities that are the same."""
    return " ".join(entity.lower().split())


def _names(text: str) -> list[str]:
    """Identifiers, and runs of capitalised words with one space between each."""
    found, run, joined = list[str](), list[re.Match[str]](), list[re.Match[str]]()

    def close() -> None:
        if run:
            found.append(text[run[0].start() : run[-1].end()])
        run.clear()
        joined.clear()

    for token in _TOKEN.finditer(text):
        before = (joined or run)[-1:]
        if before and text[before[0].end() : token.start()] != " ":
            close()
        if token.lastgroup == "identifier" and not _abbreviates(text, token):
            close()
            found.append(token[0])
        elif _is_name(token[0]):
            run += [*joined, token]
            joined.clear()
        elif run and not joined and token[0].lower() in JOINING:
            joined.append(token)
        else:
            close()
    close()
    return found


def _abbreviates(text: str, token: re.Match[str]) -> bool:
    """Whether letters with dots are as "U.S." is."""
    return text[token.end() : token.end() + 1] == "." and all(len(part) == 1 for part in token[0].split("."))


def _is_name(word: str) -> bool:
    return word[0].isupper() and word.lower() not in CONTENTLESS and word.lower() not in GENERIC


class Links:
    """Which entries name which entity."""

    def __init__(self) -> None:
        self._known: set[int] = set()
        """Entries whose entities are linked."""
        self._number: dict[str, int] = {}
        self._entries: list[list[int]] = []
        """By the number of an entity: the entries that name it."""
        self._vectors = np.empty((0, 0), np.float32)
        """Likewise, in its first rows: the vectors, each of shape (D,); there is room for more."""

    def new(self, entries: Mapping[int, str]) -> list[tuple[int, str]]:
        """Entities that are to be linked, each with its entry; `entries`: texts by id, oldest first."""
        news = [(entry, text) for entry, text in entries.items() if entry not in self._known]
        self._known.update(entries)
        return [(entry, entity) for entry, text in news for entity in entities(text)]

    def link(self, found: Sequence[tuple[int, str]], vectors: Sequence[Vectors]) -> None:
        """Link these entities with their entries; `vectors`: of shape (D,), of each entity."""
        if found:
            there = self._vectors[: len(self._entries)].reshape(-1, len(vectors[0]))
            self._vectors = np.concatenate([there, np.empty((len(found), len(vectors[0])), np.float32)])
        for (entry, entity), vector in zip(found, vectors, strict=True):
            number = self._number.get(key(entity))
            if number is None:
                number = self._same(vector)
                if number == len(self._entries):
                    self._number[key(entity)] = number
                    self._vectors[number] = vector
                    self._entries.append([])
            if entry not in self._entries[number][-1:]:
                self._entries[number].append(entry)

    def _same(self, vector: Vectors) -> int:
        """The number of the nearest entity, if it is near enough to be the same one, or else of a new one."""
        if self._entries:
            cosines = self._cosines(vector)
            nearest = int(np.argmax(cosines))
            if cosines[nearest] >= SAME:
                return nearest
        return len(self._entries)

    def _cosines(self, vector: Vectors) -> Vectors:
        cosines: Vectors = np.einsum("ij,j->i", self._vectors[: len(self._entries)], vector)
        return cosines

    def boosts(self, asked: Iterable[Vectors]) -> dict[int, float]:
        """What entries gain by the entities of a question, 0 to 0.5; `asked`: their vectors, each of shape (D,)."""
        gains: dict[int, float] = {}
        for vector in asked if self._entries else ():
            cosines = self._cosines(vector)
            for number in np.argsort(-cosines, kind="stable")[:FOUND].tolist():
                if cosines[number] < NEAR:
                    break
                linked = self._entries[number]
                gain = float(cosines[number]) * WEIGHT / (1 + 0.001 * (len(linked) - 1) ** 2)
                for entry in linked:
                    gains[entry] = max(gains.get(entry, 0.0), gain)
        return gains
