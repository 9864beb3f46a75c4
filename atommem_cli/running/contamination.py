"""The closed-book filter: leaves out questions that a policy answers without any document.

As MemAgent built its data (papers.md 3.1): two samples without context, and a question goes if either is
right by boxed EM or contains the gold answer; ours takes the official EM in place of boxed EM. Off by
default, because it ties the data to one model; the manifest records which.
"""

from __future__ import annotations

from collections.abc import Sequence

from atommem_cli.config import recipe as recipes
from atommem_cli.config.recipe import Recipe
from atommem_cli.core.errors import BackendError
from atommem_cli.core.types import Question, StopReason, Task
from atommem_cli.running.build import Parts, assemble
from atommem_cli.scoring import metrics

SAMPLES = 2
"""Samples per question (papers.md 3.1)."""


class ClosedBookFilter:
    """Keeps the questions that the recipe's policy cannot answer from its own knowledge.

    Implements `data.files.Filter`.
    """

    def __init__(self, recipe: Recipe) -> None:
        changes = ["agent.name=closed_book", f"eval.repeats={SAMPLES}", "store={name: exact}"]
        self._recipe = recipe.changed(changes)
        self._parts: Parts | None = None
        self.withheld: set[str] = set()
        """Ids of questions that stay because the provider withheld a reply to them and no other one knew the answer."""

    def __call__(self, questions: Sequence[Question]) -> list[bool]:
        """True where no sample knows the answer; what the provider withholds is no answer. What nothing tells is not
        asked, and stays: that it is unknown is no knowledge.

        Raises:
            BackendError: a model call failed: a question that was not asked is neither known nor unknown.
        """
        self._parts = parts = self._parts or assemble(self._recipe)
        # One task per question, by the question's own name: its samples do not depend on its neighbours.
        tasks = [
            Task(question.id, "closed_book", (), (question,)) for question in questions if not question.unanswerable
        ]
        golds = {question.id: question.answers for question in questions}
        known: set[str] = set()
        withheld: set[str] = set()
        for played in parts.play(parts.episodes(tasks)):
            if played.stop is StopReason.FILTERED:
                withheld.add(played.task)
                continue
            if played.stop is not StopReason.ANSWERED:
                raise BackendError(f"closed-book filter: question {played.task}: {played.error or played.stop}")
            (answer,) = played.answers
            if metrics.em(answer, golds[played.task]) or metrics.substring(answer, golds[played.task]):
                known.add(played.task)
        self.withheld |= withheld - known
        return [question.id not in known for question in questions]

    @property
    def remark(self) -> str:
        """One sentence about the questions that were `withheld`; empty where none were."""
        if not self.withheld:
            return ""
        questions = f"{len(self.withheld):,} question{'s' * (len(self.withheld) > 1)}"
        return (
            f"closed-book filter: the provider withheld replies to {questions} ({min(self.withheld)}, for one), which "
            "counts as not knowing the answer: kept"
        )

    def describe(self) -> dict[str, str]:
        recipe = self._recipe
        return {
            "filter": "closed book",
            "samples": str(SAMPLES),
            "policy": str(recipe.policy),
            "seed": str(recipe.seed),
        }


def closed_book(recipe: str) -> ClosedBookFilter:
    """The filter with a recipe's policy, sampling settings included."""
    return ClosedBookFilter(recipes.load(recipe))
