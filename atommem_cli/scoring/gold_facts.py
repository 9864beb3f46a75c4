"""The gold supporting facts of a task, and what a text says about each: evidence and rewards go by the same reading."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from typing import NamedTuple

from atommem_cli.core.stream_facts import cascades, final_state, follow
from atommem_cli.core.types import Event, Question, Support, Task
from atommem_cli.scoring.fact_matcher import Passage
from atommem_cli.scoring.stream_reader import Statements, key_of, statements


class Reading(NamedTuple):
    """What a text says about one fact."""

    states: bool
    contradicts: bool
    """It states another value (`stream`; elsewhere never)."""


class Fact(NamedTuple):
    """One supporting fact of one question."""

    question: int
    support: Support
    documents: tuple[int, ...]
    """Whichever of them shows it; `stream` says some things twice."""
    event: Event | None
    """The fact itself, where the task is of `stream`; of a cascade that the question's fact has ended."""
    read: Callable[[str], Reading]

    @property
    def gone(self) -> bool:
        """`stream`: the fact is that nothing is known any more. A memory holds it, too, by stating no value."""
        return self.event is not None and self.event.value is None


def of(task: Task) -> list[Fact]:
    """Every supporting fact of every question that `has_gold`, in order."""
    whole = {f"{document.title}\n{document.text}" for document in task.documents}
    asked = [(number, question) for number, question in enumerate(task.questions) if has_gold(task, question)]
    return [fact for number, question in asked for fact in _of_question(task, number, question, whole)]


def has_gold(task: Task, question: Question) -> bool:
    """Whether it is known which facts a question needs: `stream` knows all of them, even where that is none; and what
    nothing tells needs none.

    Elsewhere there must be one at least, and each must stand in its document: a chain that lacks links, or has some
    that nobody could have read, says nothing about where it broke.
    """
    if question.path or question.unanswerable:
        return True
    return bool(question.supporting) and all(
        (text := " ".join(support.text.split())) and text in " ".join(task.documents[support.document].text.split())
        for support in question.supporting
    )


def _of_question(task: Task, number: int, question: Question, whole: Collection[str]) -> Iterator[Fact]:
    titles = [task.documents[support.document].title for support in question.supporting]
    for support, title in zip(question.supporting, titles, strict=True):
        event = task.documents[support.document].event
        if event is None:
            passage = Passage(support, title, question, [t for t in dict.fromkeys(titles) if t != title])
            yield Fact(number, support, (support.document,), None, _carrying(passage, whole))
        else:
            rest = range(support.document, len(task.documents))
            same = tuple(i for i in rest if task.documents[i].event == event)
            fact = _gone(task, question) if cascades(event) else event
            yield Fact(number, support, same, fact, _stating(statements(task.documents), fact))


def _gone(task: Task, question: Question) -> Event:
    """What a question looks up in vain: that nothing is known of it any more."""
    return Event(*follow(final_state(task.documents), question.path)[0][-1], None)


def _carrying(passage: Passage, whole: Collection[str]) -> Callable[[str], Reading]:
    """Entries that are documents (`rag`) carry what they hold word for word; there is nothing to guess."""

    def read(text: str) -> Reading:
        return Reading(passage.quoted(text) if text in whole else passage.carried(text), False)

    return read


def _stating(world: Statements, event: Event) -> Callable[[str], Reading]:
    key = key_of(event)
    wanted = (*key, event.value.lower() if event.value else None)

    def read(text: str) -> Reading:
        said = world.of(text)
        others = any(s[:2] == key and s[2] not in (None, wanted[2]) for s in said)
        return Reading(wanted in said, others)

    return read
