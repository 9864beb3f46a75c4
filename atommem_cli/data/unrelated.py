"""Whether a passage shares nothing with the questions of a task: what makes it a distractor.

Proved is, word for word and in any case, that it holds no title of a gold document, no accepted answer, no name of two
words or more that a question says, and nothing that lies on a path of `stream`, at any time; and that its title, its
text and the fact that it states are none of the task's. Yes, no and unknown are answers that prove nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from atommem_cli.core.stream_facts import UNKNOWN, reached
from atommem_cli.core.types import Document, Task

_BRACKETS = re.compile(r"\s*\([^()]*\)\s*$")
_NAME = re.compile(r"[^\W\d_a-z]\w+(?:\s+[^\W\d_a-z]\w+)+")
_COMMON = frozenset({"yes", "no", UNKNOWN})


class Proof:
    """Of one task."""

    def __init__(self, task: Task, *, apart: bool = True) -> None:
        """
        Args:
            apart: whether passages that it takes share nothing with one another, either.
        """
        self._apart = apart
        self._named = names(task)
        self._taken = {key for document in task.documents for key in _keys(document)}

    def fault(self, passage: Document) -> str:
        """What it says that it must not, or "" where it is taken."""
        found = self._named.search(f"{passage.title}\n{passage.text}")
        if found is not None:
            return found[0]
        keys = {*_keys(passage)}
        if not self._taken.isdisjoint(keys):
            return passage.title or passage.text
        if self._apart:
            self._taken |= keys
        return ""


def names(task: Task) -> re.Pattern[str]:
    """Finds what ties a text to the questions of a task: see above."""
    found: set[str] = set()
    for question in task.questions:
        found |= {_BRACKETS.sub("", task.documents[support.document].title) for support in question.supporting}
        found |= {answer for answer in question.answers if answer.strip().casefold() not in _COMMON}
        found |= {*_said(question.text)}
        found |= set[str]().union(*reached(task.documents, question.path))
    sought = sorted({" ".join(name.split()) for name in found} - {""}, key=len, reverse=True)
    spelled = (r"\s+".join(map(re.escape, name.split())) for name in sought)
    return re.compile(rf"(?<!\w)(?:{'|'.join(spelled) or '(?!)'})(?!\w)", re.IGNORECASE)


def _said(text: str) -> list[str]:
    """Names of several words; the first word of a question has a capital anyway."""
    return _NAME.findall(text.strip().partition(" ")[2])


def _keys(document: Document) -> Iterator[tuple[str, ...]]:
    """What no two documents may share where one of them is a distractor."""
    yield "text", document.text
    if document.title:
        yield "title", document.title.casefold()
    if document.event is not None:
        yield "fact", document.event.subject, document.event.relation
