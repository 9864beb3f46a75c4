"""Noise in the store: entries that nobody wrote, there before an episode's first chunk (`store.noise`).

A series of them belongs to a task. It depends on the recipe's seed, the kind, the task and the prepared split alone;
as many as are asked for are taken from its beginning. A fact of `stream` is put as a policy would note it (`mara home
velt`), another passage as `rag` stores it.

    irrelevant       what other tasks of the split say, shuffled, each text once, of `stream` what gives a fact a value:
                     only what is proved to share nothing with the questions (`unrelated`) or a document of the task
    near_duplicate   each document of the task in turn, then anew in other words; what becomes outdated in the task does
                     so here, too
    contradicting    each gold fact of the task in turn, then anew with another value; where there is none, each fact of
                     `stream`, or passage. Values are those that other tasks give such facts; in a passage an answer
                     gives way to one of another task's question of its kind, else a number to the next one, else a name
                     to the title of another task's document

Rounds go on until there are enough, so that texts come again where a task has few.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property, lru_cache
from itertools import count, islice
from pathlib import Path
from random import Random

from atommem_cli.config.schema import NoiseSection
from atommem_cli.core.errors import UsageError
from atommem_cli.core.seeds import derive
from atommem_cli.core.stream_facts import UNKNOWN
from atommem_cli.core.types import Document, Event, Question, Task
from atommem_cli.data.files import TaskFile
from atommem_cli.data.unrelated import Proof

MOST = 512
"""Other tasks that are looked at for one task's irrelevant entries."""
LOOKED = 24
"""Likewise for the values of contradicting ones."""
_AGAIN = ("{}", "Note: {}", "Again: {}", "As was said: {}", "Also: {}")
"""Words around a passage that leave it as true as it was."""
_NUMBER = re.compile(r"\d+")
_NAME = re.compile(r"(?<=\w )[A-Z]\w+(?: [A-Z]\w+)*")
"""Within a sentence: its first word has a capital anyway."""
_NO_VALUE = frozenset({"yes", "no", UNKNOWN})


class Noise:
    """The noise of a split's tasks."""

    def __init__(self, section: NoiseSection, folder: Path, seed: int) -> None:
        """
        Args:
            folder: of the prepared split.
            seed: the recipe's.
        """
        self._section = section
        self._folder = folder
        self._seed = seed
        self._read = lru_cache(maxsize=128)(self._task)

    def of(self, task: Task) -> tuple[str, ...]:
        """The entries of one task, in the order of their ids.

        Raises:
            UsageError: there are not so many.
            SourceError: the split cannot be read.
        """
        kind, wanted = self._section.kind, self._section.entries
        rng = Random(derive(self._seed, task.id, "noise", kind))
        series = {"irrelevant": self._irrelevant, "near_duplicate": _near, "contradicting": self._contradicting}[kind]
        found = tuple(islice(series(task, rng), wanted))
        if len(found) < wanted:
            raise UsageError(
                f"store.noise: {wanted} {kind} entries are asked for, and {self._folder} has {len(found)} for {task.id}"
            )
        return found

    @cached_property
    def _tasks(self) -> TaskFile:
        return TaskFile(self._folder)

    def _task(self, number: int) -> Task:
        return self._tasks[number]

    def _others(self, task: Task, rng: Random, most: int) -> Iterator[Task]:
        """Other tasks of the split, in the order of a shuffle."""
        there = len(self._tasks)
        for number in rng.sample(range(there), min(most, there)):
            other = self._read(number)
            if other.id != task.id:
                yield other

    def _irrelevant(self, task: Task, rng: Random) -> Iterator[str]:
        proof, said = Proof(task, apart=False), set[str]()
        for other in self._others(task, rng, MOST):
            for document in other.documents:
                told = document.event is None or document.event.value is not None
                text = _text(document)
                if told and text not in said and not proof.fault(document):
                    said.add(text)
                    yield text

    def _contradicting(self, task: Task, rng: Random) -> Iterator[str]:
        others = list(self._others(task, rng, LOOKED))
        every: dict[tuple[int, str], Question | None] = {
            (one.document, one.text): question for question in task.questions for one in question.supporting
        }
        every = every or {(number, document.text): None for number, document in enumerate(task.documents)}
        facts = [_otherwise(task, number, text, asked, others) for (number, text), asked in every.items()]
        yield from _rounds([each for each in facts if each], rng)


def _near(task: Task, rng: Random) -> Iterator[str]:
    around = ("{}",) if any(document.event for document in task.documents) else _AGAIN
    worded = (_worded(document, around) for document in task.documents)
    return _rounds([texts for texts in worded if texts], rng)


def _rounds(facts: Sequence[Sequence[str]], rng: Random) -> Iterator[str]:
    """Of every fact its next text, round by round, the facts in the order of a shuffle."""
    order = rng.sample(facts, len(facts))
    for number in count() if order else ():
        for texts in order:
            yield texts[number % len(texts)]


def _note(event: Event, value: str | None) -> str:
    return f"{event.subject} {event.relation} {value or UNKNOWN}"


def _text(document: Document) -> str:
    """What a document says, as an entry."""
    if document.event is not None:
        return _note(document.event, document.event.value)
    return f"{document.title}\n{document.text}" if document.title else document.text


def _worded(document: Document, around: Sequence[str]) -> list[str]:
    """A document in nearly the same words, but not in its own; `around`: frames of a passage."""
    event = document.event
    if event is not None:
        plain = _note(event, event.value)
        now = plain.replace(f"{event.subject} ", f"{event.subject} now ", 1)
        said = [plain, f"{plain} .", now, f"{now} ."]
    else:
        whole = _text(document)
        said = [frame.format(text) for frame in around for text in (whole.rstrip(" ."), whole)]
    return [text for text in said if text not in (document.text, _text(replace(document, event=None)))]


def _otherwise(task: Task, number: int, text: str, asked: Question | None, others: Sequence[Task]) -> list[str]:
    """A fact with other values, each once; empty where it has nothing that could be another."""
    document = task.documents[number]
    event = document.event
    if event is not None:
        events = (one.event for other in others for one in other.documents if one.event is not None)
        values = (one.value for one in events if one.relation == event.relation)
        untrue = {event.value, event.subject, None}
        return [_note(event, value) for value in dict.fromkeys(values) if value not in untrue]
    return [_text(Document(document.title, changed)) for changed in _changed(text, document.title, asked, others)]


def _changed(text: str, title: str, asked: Question | None, others: Sequence[Task]) -> list[str]:
    """A passage with an answer, a number or a name of it changed, whichever is the first that it has."""
    titles = [one.title for other in others for one in other.documents if one.title]
    ways: list[tuple[str, Callable[[], Iterator[str]]]] = []
    if asked is not None:
        kind = asked.kind
        given = (q.answers[0] for other in others for q in other.questions if q.kind == kind)
        values = [value for value in dict.fromkeys(given) if value.lower() not in _NO_VALUE]
        ways += [(answer, lambda: iter(values)) for answer in asked.answers if answer.lower() not in _NO_VALUE]
    if found := _NUMBER.search(text):
        ways.append((found[0], lambda: (str(int(found[0]) + more) for more in range(1, LOOKED))))
    ways += [(name, lambda: iter(titles)) for name in _NAME.findall(text) if name not in title]
    for old, news in ways:
        spelled = re.compile(rf"(?<!\w){re.escape(old)}(?!\w)", re.IGNORECASE)
        if spelled.search(text):
            parts = spelled.split(text)
            if changed := [new.join(parts) for new in news() if new.lower() != old.lower()]:
                return list(dict.fromkeys(changed))
    return []
