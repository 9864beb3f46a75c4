"""The rewards of AgeMem for which its authors ask a judge, by a judge: the model `helpers.judge` of the recipe.

The instructions are in `prompts/`, in words of our own; what each value is about stands at its judge-free counterpart.
A reply without a readable verdict pays 0; where no reply of a batch has one, the training stops.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache, partial
from statistics import fmean
from typing import Any, NamedTuple

from atommem_cli.core.calls import UNANSWERED, Expects, Observation
from atommem_cli.core.errors import AtommemError
from atommem_cli.core.safe_text import cut
from atommem_cli.core.types import OpKind, Outcome, Task, Trajectory
from atommem_cli.scoring import agemem_coded, agemem_paper, grades, memory_use
from atommem_cli.scoring.reward import Ask, BatchReward, Pair

HELPER = "judge"
"""The model that is asked, among the recipe's `helpers`."""
TOKENS = 512
"""New tokens of a verdict; some judges think first."""
PROMPTS = ("agemem_task", "agemem_storage", "agemem_relevance")
"""Files of instructions."""


class Case(NamedTuple):
    """One thing that is asked about."""

    prompt: str
    shown: Mapping[str, Any]
    key: str
    """Of the number in the verdict."""
    most: float
    """It counts of so many."""


Cases = Callable[[Task, Trajectory], list[Case | float]]
"""What an episode's value is the mean of: values that need no asking, and cases."""


class Judge:
    """A model that is asked about many cases at once, and about none twice."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._said: dict[tuple[Observation, str], float | None] = {}
        """Of the last batches: a composite and its parts ask the same."""

    def values(self, cases: Sequence[Case]) -> list[float]:
        """One number in [0, 1] each.

        Raises:
            AtommemError: not one of the replies to new cases has a verdict.
        """
        asked = [Observation(grades.messages(one.prompt, one.shown), TOKENS, Expects.ANSWER) for one in cases]
        new = {(observation, one.key): one for observation, one in zip(asked, cases, strict=True)}
        new = {key: one for key, one in new.items() if key not in self._said}
        if new:
            if len(self._said) > _REMEMBERED:
                self._said.clear()
                return self.values(cases)
            self._hear(new)
        return [
            (self._said[observation, one.key] or 0.0) / one.most for observation, one in zip(asked, cases, strict=True)
        ]

    def _hear(self, new: Mapping[tuple[Observation, str], Case]) -> None:
        replies = self._ask(HELPER, [observation for observation, _ in new])
        for (key, one), reply in zip(new.items(), replies, strict=True):
            readable = reply.finish not in UNANSWERED
            self._said[key] = grades.number(reply.text, one.key, one.most) if readable else None
        if all(self._said[key] is None for key in new):
            what = replies[0].error or f"the first reply is {cut(repr(replies[0].text), 200)}"
            raise AtommemError(f"helpers.{HELPER} gave no readable verdict on any of {len(new)} cases: {what}")


_REMEMBERED = 8192
"""Verdicts; more are of batches long past."""


@lru_cache(maxsize=2)  # a training has one
def _judge(ask: Ask) -> Judge:
    return Judge(ask)


def _means(cases: Cases, ask: Ask) -> BatchReward:
    """The reward that is the mean of an episode's cases; 0 without any."""

    def judged(pairs: Sequence[Pair]) -> list[float]:
        wanted = [cases(task, trajectory) for task, trajectory in pairs]
        said = iter(_judge(ask).values([one for each in wanted for one in each if isinstance(one, Case)]))
        return [fmean(next(said) if isinstance(one, Case) else one for one in each) if each else 0.0 for each in wanted]

    return judged


# --- what is asked


def needs(task: Task) -> dict[str, Any]:
    """What a judge of a store is shown of a task: its questions, their gold answers, and the facts that they need."""
    asked = [{"question": question.text, "gold_answers": list(question.answers)} for question in task.questions]
    facts = dict.fromkeys(support.text for question in task.questions for support in question.supporting)
    return {"questions": asked, "needed_facts": list(facts)}


def _task(task: Task, trajectory: Trajectory) -> list[Case | float]:
    return [
        Case(
            "agemem_task",
            {"question": question.text, "gold_answers": list(question.answers), "answer": answer.text},
            "score",
            1,
        )
        if answer.text.strip()
        else -1.0
        for answer, question in zip(trajectory.answers, task.questions, strict=True)
    ]


def _added(task: Task, trajectory: Trajectory) -> list[Case | float]:
    results = memory_use.of(task, trajectory).results
    texts = [r.op.text for r in results if r.op.kind is OpKind.CREATE and r.outcome is Outcome.OK]
    return _stored(task, texts)


def _coded_added(task: Task, trajectory: Trajectory) -> list[Case | float]:
    return _stored(task, agemem_coded.final(task, trajectory).added()[: agemem_coded.LOOKED_AT])


def _stored(task: Task, texts: Sequence[str]) -> list[Case | float]:
    return [Case("agemem_storage", {**needs(task), "entries": list(texts)}, "good", len(texts))] if texts else []


def _shown(task: Task, trajectory: Trajectory) -> list[Case | float]:
    use = memory_use.of(task, trajectory)
    return [_retrieved(task, number, use.shown(number)) for number in range(len(task.questions))]


def _coded_shown(task: Task, trajectory: Trajectory) -> list[Case | float]:
    rounds = agemem_coded.final(task, trajectory).rounds
    texts = [entry.text for one in rounds for entry in one.step.shown]
    return [_retrieved(task, number, texts) for number in range(len(task.questions))]


def _retrieved(task: Task, number: int, texts: Sequence[str]) -> Case | float:
    question = task.questions[number]
    shown = {"question": question.text, "gold_answers": list(question.answers), "entries": list(texts)}
    return Case("agemem_relevance", shown, "score", 1) if texts else 0.0


# --- composites


def _composite(
    whole: Callable[[Task, Trajectory, float, float, float], float], memory: Sequence[Cases], ask: Ask
) -> BatchReward:
    """A composite of the judged task, and of storage and relevance as these cases say them."""
    parts = [_means(cases, ask) for cases in (_task, *memory)]

    def composed(pairs: Sequence[Pair]) -> list[float]:
        said = zip(*(part(pairs) for part in parts), strict=True)
        return [whole(task, trajectory, *values) for (task, trajectory), values in zip(pairs, said, strict=True)]

    return composed


REWARDS: Mapping[str, Callable[[Ask], BatchReward]] = {
    "agemem_task_judged": partial(_means, _task),
    "agemem_storage_judged": partial(_means, _added),
    "agemem_relevance_judged": partial(_means, _shown),
    "agemem_coded_storage_judged": partial(_means, _coded_added),
    "agemem_coded_relevance_judged": partial(_means, _coded_shown),
    "agemem_paper_judged": partial(_composite, agemem_paper.composed, (_added, _shown)),
    "agemem_coded_judged": partial(_composite, agemem_coded.composed, (_coded_added, _coded_shown)),
}
ABOUT = {
    "agemem_task_judged": "AgeMem's task reward by a judge, mean over questions, in [0, 1]; -1 for one not answered.",
    "agemem_storage_judged": "AgeMem's storage quality by a judge: good entries / entries added, in [0, 1].",
    "agemem_relevance_judged": "AgeMem's relevance by a judge, of the entries shown for each question, in [0, 1].",
    "agemem_coded_storage_judged": "AgeMem's storage as coded, by a judge, who sees ten Adds of the final context.",
    "agemem_coded_relevance_judged": "AgeMem's relevance as coded, by a judge, of all entries in the final context.",
    "agemem_paper_judged": "As `agemem_paper`, with task, storage and relevance by a judge.",
    "agemem_coded_judged": "As `agemem_coded`, with task, storage and relevance by a judge.",
}
PARTS = {
    "agemem_paper_judged": (
        "agemem_task_judged",
        *agemem_paper.CONTEXT,
        "agemem_storage_judged",
        "agemem_maintenance",
        "agemem_relevance_judged",
        "budget",
    ),
    "agemem_coded_judged": (
        "agemem_task_judged",
        "agemem_coded_tool",
        *agemem_coded.CONTEXT,
        "agemem_coded_storage_judged",
        "agemem_coded_maintenance",
        "agemem_coded_relevance_judged",
        "budget",
    ),
}
