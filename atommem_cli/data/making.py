"""Makes the tasks of a plan, in this process or in several, measures them and writes them in order."""

from __future__ import annotations

import hashlib
import os
import statistics
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from atommem_cli.config.blame import blaming
from atommem_cli.core.chunking import Tokenizer, render
from atommem_cli.core.errors import UsageError
from atommem_cli.core.types import Document
from atommem_cli.data.files import Plan, Spread
from atommem_cli.data.parallel import ordered, useful
from atommem_cli.data.task_rules import Ids, gold_fault, insist, line_fault, line_of, task_fault

MOST_COUNTS = 16384
"""Documents whose token count is remembered."""

CountProgress = Callable[[str, int, int | None], None]
"""Stage ("read" or "write"), how much is done, and of how much (None: not known yet)."""


class _Made(NamedTuple):
    """One task, ready to be written."""

    line: bytes
    id: str
    questions: tuple[str, ...]
    """Their ids."""
    documents: int
    tokens: int
    kinds: tuple[str, ...]
    hinges: tuple[str, ...]


class _Workshop:
    """Makes a task, looks whether it is sound, and measures it."""

    def __init__(self, plan: Plan, tokenizer: Tokenizer, check: str) -> None:
        self._make = plan.make
        self._source = plan.source
        self._tokenizer = tokenizer
        self._check = check
        self._counts: dict[Document, int] = {}

    def __call__(self, numbered: tuple[int, Any]) -> _Made:
        number, job = numbered
        with blaming(f"task {number}"):
            task = self._make(job)
        insist(task_fault(task, self._source) or gold_fault(task) or line_fault(task), self._check)
        questions = task.questions
        return _Made(
            line_of(task) + b"\n",
            task.id,
            tuple(question.id for question in questions),
            len(task.documents),
            sum(map(self._count, task.documents)),
            tuple(question.kind for question in questions),
            tuple(question.hinge for question in questions),
        )

    def _count(self, document: Document) -> int:
        """Tokens of one document as it is shown; the same ones come again and again as filler."""
        if document not in self._counts:
            if len(self._counts) >= MOST_COUNTS:
                self._counts.clear()
            self._counts[document] = len(self._tokenizer.spans(render([document])[0]))
        return self._counts[document]


def write(
    path: Path, plan: Plan, tokenizer: Tokenizer, workers: int, tell: CountProgress, *, check: str
) -> dict[str, Any]:
    """Make all tasks and write them in order; what the manifest says about them.

    Args:
        check: see `task_rules.insist`.

    Raises:
        UsageError: the plan has no task.
        SourceError: a task is not what a task must be; see `task_rules`.
        PluginError: a task source of the user's own fails.
        BackendError: a worker died.
    """
    documents: list[int] = []
    tokens: list[int] = []
    kinds: Counter[str] = Counter()
    hinges: Counter[str] = Counter()
    digest = hashlib.sha256()
    total = len(plan.jobs)
    if not total:
        raise UsageError("there is no usable question, so there is no task")
    ids = Ids()
    with path.open("wb") as file:
        for made in ordered(_Workshop(plan, tokenizer, check), enumerate(plan.jobs), useful(workers, total)):
            insist(ids.fault(made.id, made.questions), check)
            file.write(made.line)
            digest.update(made.line)
            documents.append(made.documents)
            tokens.append(made.tokens)
            kinds.update(made.kinds)
            hinges.update(made.hinges)
            tell("write", len(documents), total)
        file.flush()
        os.fsync(file.fileno())
    return {
        "tasks": total,
        "questions_used": kinds.total(),
        "kinds": {kind: kinds[kind] for kind in sorted(kinds) if kind},
        "hinges": {hinge: hinges[hinge] for hinge in sorted(hinges) if hinge},
        "documents": _spread(documents),
        "tokens": _spread(tokens),
        "sha256": digest.hexdigest(),
    }


def _spread(values: Sequence[int]) -> Spread:
    return Spread(min=min(values), median=statistics.median_low(values), max=max(values), total=sum(values))
