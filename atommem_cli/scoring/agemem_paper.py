"""The rewards of AgeMem's paper (arXiv 2601.01885), without a judge.

    agemem_paper = 1/3 task + 1/3 context + 1/3 memory + penalties
    context      = mean of compression, preventive and preservation
    memory       = mean of storage, maintenance and relevance

Where the authors ask a closed model, gold facts decide: the task by the source's leading scorer, storage and relevance
by `store_quality`. Only operations that took effect earn anything. What the paper leaves open is said at each part.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from statistics import fmean

from atommem_cli.core.types import OpKind, StopReason, Task, Trajectory
from atommem_cli.scoring import memory_use, metrics, store_quality
from atommem_cli.scoring.fact_matcher import key_words, words

Part = Callable[[Task, Trajectory], float]

_PENALTIES = {
    StopReason.STEP_LIMIT: -1.0,  # papers.md 2.3: rounds exceeded
    StopReason.BUDGET: -1.0,
    StopReason.CONTEXT_OVERFLOW: -0.5,  # papers.md 2.3: context overflow
}


def penalties(_: Task, trajectory: Trajectory) -> float:
    """0 for an episode that came to its end; -1 or -0.5 for one that its budget or the window cut short."""
    return _PENALTIES.get(trajectory.stop, 0.0)


def task_score(task: Task, trajectory: Trajectory) -> float:
    """AgeMem's task reward: the source's leading scorer, mean over the questions, in [0, 1]; -1 for one not answered.

    The paper asks a judge.
    """
    scorer = metrics.SCORERS[metrics.default_scorers(task.source)[0]]
    pairs = zip(trajectory.answers, task.questions, strict=True)
    return fmean(scorer(answer, question) if answer.text.strip() else -1.0 for answer, question in pairs)


def compression(task: Task, trajectory: Trajectory) -> float:
    """AgeMem's compression: 1 - context/limit in tokens, at the last call for a question, in [0, 1].

    0 where no question was asked, and for agents whose context has no limit.
    """
    asked = [one.step.observation for one in memory_use.of(task, trajectory).rounds]
    last = next((one for one in reversed(asked) if one.question is not None), None)
    if last is None or last.room is None or not last.limit:
        return 0.0
    return max(0.0, last.room / last.limit)


def preventive(task: Task, trajectory: Trajectory) -> float:
    """AgeMem's preventive action: 1 where a Summary or a Filter took effect, else 0.

    That is always before an overflow: it ends the episode.
    """
    return float(memory_use.of(task, trajectory).effective(OpKind.SUMMARIZE, OpKind.FILTER))


def preservation(task: Task, trajectory: Trajectory) -> float:
    """AgeMem's preservation: share of questions whose key words all stand in the context that is left, in [0, 1].

    Key words: what is no plain word. What is left: when the last reply to the question has been carried out.
    """
    use = memory_use.of(task, trajectory)
    return fmean(_kept(question.text, use.left(number)) for number, question in enumerate(task.questions))


def _kept(question: str, left: str) -> float:
    return float(bool(left) and key_words(question) <= words(left))


def precision(task: Task, trajectory: Trajectory) -> float:
    """AgeMem's storage as its formula says: useful entries / entries added, in [0, 1]; 0 where none was.

    Useful: it brought a gold fact that no other entry stated then.
    """
    store = memory_use.of(task, trajectory).store
    return store.useful / max(1, store.added)


def coverage(task: Task, trajectory: Trajectory) -> float:
    """Share of the gold facts that the store holds at the end, in [0, 1]; part of `agemem_storage`."""
    use = memory_use.of(task, trajectory)
    return store_quality.of(use.store.entries.values(), use.facts).coverage


def storage(task: Task, trajectory: Trajectory) -> float:
    """AgeMem's storage quality: `agemem_precision` x `agemem_coverage`, in [0, 1].

    The paper asks a judge, who knows the answer, for the former alone: one good entry would then be worth as much as
    all that are needed.
    """
    return precision(task, trajectory) * coverage(task, trajectory)


def maintenance(task: Task, trajectory: Trajectory) -> float:
    """AgeMem's maintenance: 1 where an Update or a Delete took effect, else 0."""
    return float(memory_use.of(task, trajectory).effective(OpKind.UPDATE, OpKind.DELETE))


def relevance(task: Task, trajectory: Trajectory) -> float:
    """AgeMem's relevance: quality of the entries shown for a question, by its gold facts, in [0, 1].

    Quality as in `store_quality`, mean over the questions; 0 where nothing was shown. The paper asks a judge.
    """
    use = memory_use.of(task, trajectory)
    numbers = range(len(task.questions))
    return fmean(store_quality.of(use.shown(number), use.facts_of(number)).value for number in numbers)


CONTEXT: Mapping[str, Part] = {
    "agemem_compression": compression,
    "agemem_preventive": preventive,
    "agemem_preservation": preservation,
}
MEMORY: Mapping[str, Part] = {
    "agemem_storage": storage,
    "agemem_maintenance": maintenance,
    "agemem_relevance": relevance,
}


def mean(parts: Mapping[str, Part], task: Task, trajectory: Trajectory) -> float:
    """The mean of some parts."""
    return fmean(part(task, trajectory) for part in parts.values())


def paper(task: Task, trajectory: Trajectory) -> float:
    """AgeMem's reward as its paper has it: 1/3 task + 1/3 context + 1/3 memory + penalties."""
    judged = (task_score(task, trajectory), storage(task, trajectory), relevance(task, trajectory))
    return composed(task, trajectory, *judged)


def composed(task: Task, trajectory: Trajectory, score: float, stored: float, shown: float) -> float:
    """The composite of task, storage and relevance, whoever has judged them, and of the parts that nobody judges."""
    memory = fmean((stored, maintenance(task, trajectory), shown))
    return fmean((score, mean(CONTEXT, task, trajectory), memory)) + penalties(task, trajectory)


NAME = "agemem_paper"
PARTS = ("agemem_task", *CONTEXT, "agemem_precision", "agemem_coverage", *MEMORY, "budget")
REWARDS: Mapping[str, Part] = {
    "agemem_task": task_score,
    **CONTEXT,
    "agemem_precision": precision,
    "agemem_coverage": coverage,
    **MEMORY,
    "budget": penalties,
    NAME: paper,
}
