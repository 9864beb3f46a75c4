"""Distractors: documents after all others that have nothing to do with a task's questions (AgeMem, arXiv 2601.01885).

The authors had a language model write them. Ours are passages of other questions, drawn by seed: the ones that share
most words with the questions among those that are proved to share nothing else. Proved is, word for word and in any
case, that a passage holds no title of a gold document, no accepted answer, no name of two words or more that a question
says, and nothing that lies on a path of `stream`, at any time; and that its title, its text and the fact that it states
are none of the task's. Yes, no and unknown are answers that prove nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from random import Random
from typing import Any

from atommem_cli.core.errors import UsageError
from atommem_cli.core.seeds import derive
from atommem_cli.core.stream_facts import UNKNOWN
from atommem_cli.core.types import Document, Question, Task
from atommem_cli.data.files import Plan

DRAWN = 16
"""Passages without a fault that are looked at for each distractor that is wanted."""
_BRACKETS = re.compile(r"\s*\([^()]*\)\s*$")
_NAME = re.compile(r"[^\W\d_a-z]\w+(?:\s+[^\W\d_a-z]\w+)+")
_WORD = re.compile(r"\w{4,}")
_COMMON = frozenset({"yes", "no", UNKNOWN})


def add(plan: Plan, count: int, seed: int, name: str) -> Plan:
    """The plan with `count` distractors at the end of each task.

    Args:
        name: of the source, for the message.

    Raises:
        UsageError: its source has no passages of other questions to give.
    """
    if not count:
        return plan
    if plan.bank is None:
        raise UsageError(f"--distractors {count}: the source {name} has none to give (its plan has no `bank`)")
    return replace(plan, make=_Adding(plan.make, plan.bank, count, seed))


@dataclass(frozen=True, slots=True)
class _Adding:
    make: Callable[[Any], Task]
    bank: Callable[[Any, Random], Iterable[Document]]
    count: int
    seed: int

    def __call__(self, job: Any) -> Task:
        task = self.make(job)
        rng = Random(derive(self.seed, task.id, "distractors"))
        sound = list(islice(_unrelated(task, self.bank(job, rng)), DRAWN * self.count))
        if len(sound) < self.count:
            raise UsageError(
                f"--distractors {self.count}: among all passages of other questions {len(sound)} share nothing with "
                f"those of {task.id}: ask for no more than that, or prepare more records"
            )
        asked = {word.casefold() for question in task.questions for word in _WORD.findall(question.text)}
        ranked = sorted(range(len(sound)), key=lambda at: (-len(asked & _words(sound[at])), at))
        chosen = (replace(sound[at], distractor=True) for at in sorted(ranked[: self.count]))
        return replace(task, documents=(*task.documents, *chosen))


def _unrelated(task: Task, passages: Iterable[Document]) -> Iterator[Document]:
    """Those that share nothing with the questions, and nothing with one another, in order."""
    named = names(task)
    taken = {key for document in task.documents for key in _keys(document)}
    for passage in passages:
        keys = {*_keys(passage)}
        if taken.isdisjoint(keys) and not named.search(f"{passage.title}\n{passage.text}"):
            taken |= keys
            yield passage


def names(task: Task) -> re.Pattern[str]:
    """Finds what ties a text to the questions of a task: see above."""
    found: set[str] = set()
    for question in task.questions:
        found |= {_BRACKETS.sub("", task.documents[support.document].title) for support in question.supporting}
        found |= {answer for answer in question.answers if answer.strip().casefold() not in _COMMON}
        found |= {*_said(question.text)}
        found |= _on_path(task, question)
    sought = sorted({" ".join(name.split()) for name in found} - {""}, key=len, reverse=True)
    spelled = (r"\s+".join(map(re.escape, name.split())) for name in sought)
    return re.compile(rf"(?<!\w)(?:{'|'.join(spelled) or '(?!)'})(?!\w)", re.IGNORECASE)


def _said(text: str) -> list[str]:
    """Names of several words; the first word of a question has a capital anyway."""
    return _NAME.findall(text.strip().partition(" ")[2])


def _on_path(task: Task, question: Question) -> set[str]:
    """`stream`: every subject and value that the path has touched at any time."""
    events = [document.event for document in task.documents if document.event is not None]
    subjects, touched = {*question.path[:1]}, {*question.path[:1]}
    for relation in question.path[1:]:
        here = (event for event in events if event.subject in subjects and event.relation == relation)
        subjects = {event.value for event in here if event.value is not None}
        touched |= subjects
    return touched


def _keys(document: Document) -> Iterator[tuple[str, ...]]:
    """What no two documents may share where one of them is a distractor."""
    yield "text", document.text
    if document.title:
        yield "title", document.title.casefold()
    if document.event is not None:
        yield "fact", document.event.subject, document.event.relation


def _words(document: Document) -> set[str]:
    return {word.casefold() for word in _WORD.findall(f"{document.title} {document.text}")}
