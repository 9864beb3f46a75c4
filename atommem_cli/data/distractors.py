"""Distractors: documents after all others that have nothing to do with a task's questions (AgeMem, arXiv 2601.01885).

The authors had a language model write them (`written`). Ours are passages of other questions, drawn by seed: the ones
that share most words with the questions among those that are proved to share nothing else (`unrelated`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from random import Random
from typing import Any

from atommem_cli.core.errors import UsageError
from atommem_cli.core.seeds import derive
from atommem_cli.core.types import Document, Task
from atommem_cli.data import sources
from atommem_cli.data.files import Plan
from atommem_cli.data.unrelated import Proof

Passages = Mapping[str, tuple[Document, ...]]
DRAWN = 16
"""Passages without a fault that are looked at for each distractor that is wanted."""
_WORD = re.compile(r"\w{4,}")


def add(plan: Plan, count: int, seed: int, name: str, written: Passages | None = None) -> Plan:
    """The plan with `count` distractors at the end of each task.

    Args:
        name: of the source, for the message.
        written: passages of each task by its id, which are taken first; see `written`.

    Raises:
        UsageError: its source has no passages of other questions to give.
    """
    if not count:
        return plan
    if plan.bank is None and (written is None or any(len(one) < count for one in written.values())):
        raise UsageError(f"--distractors {count}: {_nothing(name, written is not None)}")
    return replace(plan, make=_Adding(plan.make, plan.bank, count, seed, written or {}))


def _nothing(name: str, by_model: bool) -> str:
    """Why there is no passage to take, and what to do."""
    if sources.is_outside(name):
        why = f"the source {name} gives no passages of other questions (`SourcePlan(..., bank=...)` would)"
    else:
        why = f"they are taken from other records, and {name} has one alone: give it more, or a higher --limit"
    if by_model:
        return f"the model wrote too few of them that keep clear of the questions, and {why}"
    return f"{why}; or have a model write them, with --distractors-by RECIPE"


@dataclass(frozen=True, slots=True)
class _Adding:
    make: Callable[[Any], Task]
    bank: Callable[[Any, Random], Iterable[Document]] | None
    count: int
    seed: int
    written: Passages

    def __call__(self, job: Any) -> Task:
        task = self.make(job)
        first = self.written.get(task.id, ())
        task = replace(task, documents=(*task.documents, *first))
        wanted = self.count - len(first)
        return self._drawn(job, task, wanted) if wanted else task

    def _drawn(self, job: Any, task: Task, wanted: int) -> Task:
        rng, proof = Random(derive(self.seed, task.id, "distractors")), Proof(task)
        passages = self.bank(job, rng) if self.bank is not None else ()
        sound = list(islice((one for one in passages if not proof.fault(one)), DRAWN * wanted))
        if len(sound) < wanted:
            raise UsageError(
                f"--distractors {self.count}: among all passages of other questions {len(sound)} share nothing with "
                f"those of {task.id}: ask for no more than that, or prepare more records"
            )
        asked = {word.casefold() for question in task.questions for word in _WORD.findall(question.text)}
        ranked = sorted(range(len(sound)), key=lambda at: (-len(asked & _words(sound[at])), at))
        chosen = (replace(sound[at], distractor=True) for at in sorted(ranked[:wanted]))
        return replace(task, documents=(*task.documents, *chosen))


def _words(document: Document) -> set[str]:
    return {word.casefold() for word in _WORD.findall(f"{document.title} {document.text}")}
