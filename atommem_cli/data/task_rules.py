"""What a task source has to give: `prepare` insists on it, and so does the contract of task sources.

Each function gives one sentence about what is wrong, with the way to mend it; an empty text where nothing is.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from pydantic import ValidationError
from pydantic_core import PydanticSerializationError

from atommem_cli.core.errors import SourceError
from atommem_cli.core.safe_text import shown
from atommem_cli.core.types import Document, Question, Support, Task
from atommem_cli.data.files import Plan, adapter


def insist(fault: str, check: str) -> None:
    """Insist that there is no fault.

    Args:
        check: the command that looks at all that a source has to give.

    Raises:
        SourceError: there is one.
    """
    if fault:
        raise SourceError(f"{fault} (`{check}` looks at all that a task source has to give)")


def inputs_fault(found: object) -> str:
    """Of what `inputs` gives."""
    whole = isinstance(found, Mapping) and all(
        isinstance(name, str) and re.fullmatch("[0-9a-f]{64}", str(digest)) for name, digest in found.items()
    )
    wanted = "a mapping of file names to sha256 is wanted, in hexadecimal digits"
    return "" if whole else f"inputs gives {shown(found)}: {wanted}"


def plan_fault(plan: object) -> str:
    """Of what `build` gives."""
    if not isinstance(plan, Plan):
        return f"build gives {shown(plan)}: a `SourcePlan` is wanted"
    if not all(isinstance(text, str) and text for text in (plan.source, plan.licence)):
        return f"source is {shown(plan.source)} and licence {shown(plan.licence)}: manifests record both as texts"
    if not (isinstance(plan.read, int) and plan.read >= 0):
        return f"read is {shown(plan.read)}: the number of questions that were read is wanted"
    return ""


def task_fault(task: object, source: str) -> str:
    """Of one task: its id, its documents, its questions and their answers.

    Args:
        source: the plan's.
    """
    if not isinstance(task, Task):
        return f"make gives {shown(task)}: a `Task` is wanted"
    if not isinstance(task.id, str) or not task.id.strip() or task.source != source:
        return (
            f"a task has the id {shown(task.id)} and the source {shown(task.source)}: an id, and the plan's source "
            f"{shown(source)}, are wanted"
        )
    if not _all(task.documents, Document):
        return f"{task.id} has the documents {shown(task.documents)}: a tuple of `Document` is wanted"
    if not all(isinstance(one.text, str) and isinstance(one.title, str) for one in task.documents):
        return f"{task.id} has a document whose text or title is no text: give '' where there is none"
    last = next((i for i, document in enumerate(task.documents) if document.distractor), len(task.documents))
    if not all(document.distractor for document in task.documents[last:]):
        return f"{task.id} has a document after distractors that is none: they come after all others"
    if not any(document.text.strip() for document in task.documents):
        return f"{task.id} has no document with a text: there is nothing to read"
    if not _all(task.questions, Question):
        return f"{task.id} has the questions {shown(task.questions)}: a tuple of `Question` is wanted"
    if not task.questions:
        return f"{task.id} has no question: one at least"
    return next(filter(None, (_question_fault(task, question) for question in task.questions)), "")


def _question_fault(task: Task, question: Question) -> str:
    if not isinstance(question.id, str) or not question.id.strip():
        return f"{task.id}: a question has the id {shown(question.id)}: a text of its own is wanted"
    sound = isinstance(question.text, str) and question.text.strip() and _all(question.answers, str)
    if not sound or not any(answer.strip() for answer in question.answers):
        return (
            f"{task.id}: the question {shown(question.text)} has the answers {shown(question.answers)}: a text, and a "
            "tuple of one answer at least, are wanted"
        )
    return ""


def gold_fault(task: Task) -> str:
    """Of the gold facts of a task, which stand verbatim in the documents that they name."""
    for question in task.questions:
        if not _all(question.supporting, Support):
            return f"{task.id}: {shown(question.supporting)} are no gold facts: a tuple of `Support` is wanted"
        for support in question.supporting:
            if type(support.document) is not int or not 0 <= support.document < len(task.documents):
                return (
                    f"{task.id}: a gold fact of {shown(question.text)} is in document {shown(support.document)} of "
                    f"{len(task.documents)}: they count from 0, in the order of the task"
                )
            document = task.documents[support.document].text
            if task.documents[support.document].distractor:
                return f"{task.id}: a gold fact of {shown(question.text)} is in a distractor, which has none"
            if not isinstance(support.text, str) or not support.text or support.text not in document:
                return (
                    f"{task.id}: the gold fact {shown(support.text)} does not stand in document {support.document}: "
                    "give it verbatim, `why` looks for it there"
                )
    return ""


def line_fault(task: Task) -> str:
    """Of a task that is to be written to tasks.jsonl and read again."""
    try:
        if adapter().validate_json(line_of(task)) == task:
            return ""
    except PydanticSerializationError as error:
        return f"{task.id} cannot be written: {shown(str(error))}"
    except ValidationError as error:
        where = ".".join(map(str, error.errors()[0]["loc"]))
        return f"{task.id} cannot be read again, its {where} is {shown(error.errors()[0]['input'])}: use {_TYPES}"
    return f"{task.id} is another task when it was written and read: use {_TYPES}"


def line_of(task: Task) -> bytes:
    """A task as its line in tasks.jsonl; types that are not those of `Task` are written, too."""
    return adapter().dump_json(task, exclude_defaults=True, warnings=False)


_TYPES = "the types of `Task`, tuples for lists"


class Ids:
    """The ids of the tasks of one split, and of their questions."""

    def __init__(self) -> None:
        self._tasks: set[str] = set()
        self._questions: set[str] = set()

    def fault(self, task: str, questions: Sequence[str]) -> str:
        """Of the next task's: each is given once in a split."""
        for what, known, ids in (("tasks", self._tasks, [task]), ("questions", self._questions, questions)):
            for name in ids:
                if name in known:
                    return f"two {what} have the id {shown(name)}: number them, runs are compared by it"
                known.add(name)
        return ""


def _all(many: object, kind: type) -> bool:
    return isinstance(many, tuple) and all(isinstance(one, kind) for one in many)
