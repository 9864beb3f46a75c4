"""How well the stores of a run were kept, and what that took: memory quality, and calls of tools per episode.

Memory quality is that of an episode's entries at its end, in [0, 1]: coverage x precision by gold facts (see
`store_quality`), of tasks with a gold fact that is there to be kept: where nothing is known, or everything has ended
(`stream`), there is nothing to grade. joint = sqrt(answer x quality), where the answer is the
episode's mean by the leading scorer (AgeMem's evaluation, papers.md 2.5), at least 0. All are means over episodes,
failed ones too, with 95 % intervals clustered by task. Operations are all that the journal has, those before the first
call too; what the agent of a policy with tools (AgeMem) retrieves or clears by itself is none.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from math import sqrt
from statistics import fmean
from typing import Any, NamedTuple

from atommem_cli.core.errors import AtommemError
from atommem_cli.core.types import OpKind, Outcome, Task
from atommem_cli.runs import judges
from atommem_cli.runs.labels import judge_label
from atommem_cli.runs.layout import Line
from atommem_cli.runs.memory_states import final_entries, ran_by_itself
from atommem_cli.runs.reader import Run
from atommem_cli.scoring import gold_facts, llm_judge, store_quality
from atommem_cli.scoring.agreement import Agreement, agreement
from atommem_cli.scoring.intervals import Interval, mean_interval
from atommem_cli.scoring.store_quality import Quality

_STORED = (OpKind.CREATE, OpKind.UPDATE, OpKind.DELETE)


@dataclass(frozen=True, slots=True)
class StoreGrades:
    """Of one run."""

    episodes: int
    quality: Interval | None
    """Memory quality; None for an agent without a store, and where no task has gold facts or tasks are gone."""
    coverage: float | None
    precision: float | None
    """Means over the same episodes."""
    joint: Interval | None
    judged: Interval | None
    """The same episodes by a judge (`atommem judge --memory`); None where it has not graded all of them."""
    judge: str
    """Who that was; else empty."""
    agreement: Agreement | None
    """Of the judge with the quality by gold facts, episode by episode."""
    called: Mapping[str, float]
    """Calls per episode by operation, in the order of `OpKind`; those that the agent may run."""
    effective: Mapping[str, float]
    """Of these, those that took effect."""
    calls: float
    """Model calls per episode, mean."""
    tokens: float
    """Prompt and new tokens per episode, mean."""
    by_task: Mapping[str, Sequence[float]]
    """Memory quality of each task's episodes."""

    def values(self) -> dict[str, Any]:
        """As JSON values, without those by task."""
        found = asdict(self)
        del found["by_task"]
        return found


def grades(run: Run) -> StoreGrades:
    """Read a whole run.

    Raises:
        SourceError: a file of it is damaged.
    """
    count = Count(run)
    for name, line in run.episodes.items():
        count.add(line, run.steps(name))
    return count.result()


class _Kept(NamedTuple):
    episode: str
    task: str
    answer: float
    quality: Quality


class Count:
    """Sums over the episodes of a run."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._declared = _declared(run)
        self._tasks = _there(run)
        self._called: Counter[OpKind] = Counter()
        self._effective: Counter[OpKind] = Counter()
        self._kept: list[_Kept] = []
        self._usage: list[tuple[int, int]] = []

    def add(self, line: Line, steps: Sequence[Line]) -> None:
        """One episode, with its journal."""
        used = line["usage"]
        self._usage.append((used["calls"], used["prompt_tokens"] + used["new_tokens"]))
        for op in (op for step in steps for op in step["ops"]):
            if not ran_by_itself(op):
                kind = OpKind(op["kind"])
                self._called[kind] += 1
                self._effective[kind] += op["outcome"] == Outcome.OK
        if self._tasks and (quality := _quality(self._run.task(line["task"]), steps)):
            self._kept.append(_Kept(line["episode"], line["task"], self._answer(line), quality))

    def _answer(self, line: Line) -> float:
        leading = self._run.leading
        judged = self._run.verdicts if leading == llm_judge.NAME else {}
        return max(0.0, fmean(judged.get(line["episode"], line["scores"].get(leading, [0.0]))))

    def result(self) -> StoreGrades:
        """The means."""
        kinds = [kind for kind in OpKind if kind in self._declared or self._called[kind]]
        kept, n = [] if set(kinds).isdisjoint(_STORED) else self._kept, max(1, len(self._usage))
        given = judges.grades(self._run.path, self._run.episodes.values())
        graded = kept if all(one.episode in given for one in kept) else []
        theirs = [given[one.episode] for one in graded]
        judge = judges.grader(self._run.path) if graded else None
        qualities = _by_task([(one.task, one.quality.value) for one in kept])
        return StoreGrades(
            by_task=qualities,
            episodes=len(self._usage),
            judged=_interval([(one.task, value) for one, value in zip(graded, theirs, strict=True)]),
            judge=judge_label(judge) if judge else "",
            agreement=agreement([one.quality.value for one in graded], theirs) if graded else None,
            quality=mean_interval(list(qualities.values())) if kept else None,
            coverage=fmean(one.quality.coverage for one in kept) if kept else None,
            precision=fmean(one.quality.precision for one in kept) if kept else None,
            joint=_interval([(one.task, sqrt(one.answer * one.quality.value)) for one in kept]),
            called={kind: self._called[kind] / n for kind in kinds},
            effective={kind: self._effective[kind] / n for kind in kinds},
            calls=sum(calls for calls, _ in self._usage) / n,
            tokens=sum(tokens for _, tokens in self._usage) / n,
        )


def _declared(run: Run) -> frozenset[OpKind]:
    """What the agent may run; nothing where its plug-in is not there any more."""
    try:
        return frozenset(run.agent.operations) - {OpKind.CLEAR}
    except AtommemError:
        return frozenset()


def _there(run: Run) -> bool:
    """Whether the tasks that were played are there."""
    try:
        run.check()
    except AtommemError:
        return False
    return True


def _quality(task: Task, steps: Sequence[Line]) -> Quality | None:
    """None where there is nothing to keep."""
    facts = gold_facts.of(task)
    return None if all(fact.gone for fact in facts) else store_quality.of(final_entries(steps).values(), facts)


def _interval(values: Sequence[tuple[str, float]]) -> Interval | None:
    return mean_interval(list(_by_task(values).values())) if values else None


def _by_task(values: Sequence[tuple[str, float]]) -> dict[str, list[float]]:
    tasks: dict[str, list[float]] = defaultdict(list)
    for task, value in values:
        tasks[task].append(value)
    return dict(tasks)
