"""What a text of the memory states about a `stream` world.

A sentence of the task's documents means its event, or of a cascade all that it ends. In other words a value belongs to
the last person named before it in the clause, unless the words between deny it. That is exact for the sentences of both
styles and for `subject relation value`; free paraphrases of the rich style are read by the same rule, which knows the
relations by a few stems.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Iterator, Sequence

from atommem_cli.core.stream_facts import UNKNOWN, cascades, concerned_by
from atommem_cli.core.stream_words import PERSONAL
from atommem_cli.core.types import Chunk, Document, Event, Task

Statement = tuple[str, str, str | None]
"""Subject, relation and value; None: nothing is known any more. Lower case."""

_ABOUT = {
    "home": "home|house|live|living|resid|moved",
    "boss": "boss|work|report|employ",
    "pet": "pet|keep|look|animal",
    "friend": "friend|close|fall",
    "job": "job|earn|work|occup|profess",
    "tool": "tool|own|treasur|possess",
}
"""Stems that tell the relations of `stream` apart; needed where the values are people."""
_DENIAL = re.compile(r"\b(?:not|never|no|formerly|used to|moved out|given|fallen out|stopped|parted)\b|n't\b")
_FALSELY = re.compile(r"\b(?:not true|untrue|false|falsely|wrongly)\b[\w\s]*$")
_INSTEAD = re.compile(r"\b(?:but|now|truth)\b")
_NEARBY = 200
"""Characters in which words belong together; a clause of a megabyte must not take its square."""
_CLAUSES = re.compile(r"[.;\n]")


class Statements:
    """What texts say about the world of one `stream` task."""

    def __init__(self, documents: Iterable[Document]) -> None:
        documents = tuple(documents)
        self._said: dict[str, tuple[Statement, ...]] = {}
        """By sentence; a cascade states of each fact that goes with its value that nothing is known any more."""
        self._over: dict[tuple[str, str], tuple[Statement, ...]] = {}
        """Likewise, by relation and value of a cascade."""
        for document, keys in zip(documents, concerned_by(documents), strict=True):
            if (event := document.event) is not None:
                value = event.value.lower() if event.value and not cascades(event) else None
                said = tuple((subject.lower(), relation, value) for subject, relation in keys)
                self._said.setdefault(document.text, said)
                if cascades(event) and event.value:
                    self._over[event.relation, event.value.lower()] = said
        self._values: dict[str, set[tuple[str, str]]] = {}
        """Which (subject, relation) ever had a value."""
        for subject, relation, value in (one for said in self._said.values() for one in said):
            if value:
                self._values.setdefault(value, set()).add((subject, relation))
        self._keys = {one[:2] for said in self._said.values() for one in said}
        self._people = {subject for subject, _ in self._keys} | {
            value for value, keys in self._values.items() if any(relation in PERSONAL for _, relation in keys)
        }
        self._cache: dict[str, frozenset[Statement]] = {}

    def of(self, text: str) -> frozenset[Statement]:
        """Everything a text states, about facts that the documents tell of."""
        if text not in self._cache:
            self._cache[text] = frozenset(self._read(text))
        return self._cache[text]

    def _read(self, text: str) -> Iterator[Statement]:
        if text in self._said:
            yield from self._said[text]
            return
        words = text.lower().split()
        if len(words) == 3 and words[0] == "no" and (words[1], words[2]) in self._over:
            yield from self._over[words[1], words[2]]
            return
        if len(words) == 3 and words[2].isalpha() and (words[0], words[1]) in self._keys:
            yield words[0], words[1], None if words[2] == UNKNOWN else words[2]
            return
        for sentence in sorted((s for s in self._said if s in text), key=len, reverse=True):
            if sentence in text:  # and not within one that was longer
                yield from self._said[sentence]
                text = text.replace(sentence, "\n")
        for clause in _CLAUSES.split(text.lower()):
            yield from self._clause(clause)

    @functools.cached_property
    def _name(self) -> re.Pattern[str]:
        names = sorted({*self._people, *self._values}, key=len, reverse=True)
        return re.compile(rf"\b(?:{'|'.join(map(re.escape, names))})\b")

    def _clause(self, clause: str) -> Iterator[Statement]:
        hits = [hit for hit in self._name.finditer(clause) if not _corrected(clause, hit)]
        subject: re.Match[str] | None = None
        for hit in hits:
            if subject is not None:
                start = hit.start()
                between = _INSTEAD.split(clause[max(subject.end(), start - _NEARBY) : start])[-1]
                for key in self._values.get(hit[0], ()):
                    if key[0] == subject[0] and (hit[0] not in self._people or _names(key[1], between)):
                        before = clause[max(0, subject.start() - _NEARBY) : subject.start()]
                        denied = _DENIAL.search(between) or _FALSELY.search(before)
                        yield (*key, None if denied else hit[0])
            if hit[0] in self._people:
                subject = hit
                yield from self._bare(hit[0], clause[hit.end() : hit.end() + _NEARBY])

    def _bare(self, subject: str, rest: str) -> Iterator[Statement]:
        """`subject relation value` with a value that the fact never had, or none."""
        words = rest.split()[:4]
        if words[:1] == ["now"]:
            del words[0]
        if words[:1] == ["no"] and (subject, *words[1:2]) in self._keys:
            yield subject, words[1], None
        elif len(words) > 1 and (subject, words[0]) in self._keys:
            value = words[1].strip(",:")
            known = any((subject, words[0]) in keys for v, keys in self._values.items() if v.split()[0] == value)
            if value and not known:
                yield subject, words[0], None if value == UNKNOWN else value


@functools.lru_cache(maxsize=2)  # all questions and episodes of a task, one after the other
def statements(documents: tuple[Document, ...]) -> Statements:
    """What texts say about the world of these documents."""
    return Statements(documents)


def key_of(event: Event) -> tuple[str, str]:
    """Subject and relation as `Statement` has them."""
    return event.subject.lower(), event.relation


def _corrected(clause: str, hit: re.Match[str]) -> bool:
    """`not velt but`: the old value of a correction."""
    before, after = clause[max(0, hit.start() - 9) : hit.start()], clause[hit.end() : hit.end() + 9]
    return before.rstrip().endswith(" not") and after.lstrip().startswith("but ")


def _names(relation: str, text: str) -> bool:
    return re.search(rf"\b(?:{_ABOUT.get(relation, re.escape(relation))})", text) is not None


class Told:
    """What the documents shown so far have said: what is true now, and what was."""

    def __init__(self, task: Task, chunks: Sequence[Chunk]) -> None:
        self._documents = task.documents
        self._chunks = {chunk.index: chunk for chunk in chunks}
        self._world = statements(task.documents)
        self._begun: set[int] = set()
        self._shown: set[int] = set()
        self._said: set[Statement] = set()
        self._now: dict[tuple[str, str], str | None] = {}

    def show(self, chunk: int | None) -> None:
        """One more chunk, or none; a document counts as soon as all of it was shown."""
        if chunk is None or chunk not in self._chunks:
            return
        for index in self._chunks[chunk].documents:
            document = self._documents[index]
            whole = index in self._begun or document.text in self._chunks[chunk].text
            self._begun.add(index)
            if document.event is not None and whole and index not in self._shown:
                self._shown.add(index)
                for said in self._world.of(document.text):
                    self._said.add(said)
                    self._now[said[:2]] = said[2]

    def outdated(self, text: str) -> bool:
        """Whether a text states what was true once and is no more."""
        said = [s for s in self._world.of(text) if s[2] is not None and s in self._said]
        return any(self._now[s[:2]] != s[2] for s in said)
