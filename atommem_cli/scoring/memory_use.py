"""What an episode did with its store and its context, as far as rewards of AgeMem ask about it."""

from __future__ import annotations

import functools
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from atommem_cli.core.calls import POLICY, Expects
from atommem_cli.core.types import CONTEXT_OPS, OpKind, OpResult, Outcome, Task, Trajectory, Transition
from atommem_cli.scoring import gold_facts, store_quality
from atommem_cli.scoring.gold_facts import Fact
from atommem_cli.scoring.store_quality import Store


class Round(NamedTuple):
    """One reply of the policy to its conversation, and what became of it, calls for summaries included."""

    step: Transition
    results: tuple[OpResult, ...]


@dataclass(frozen=True, slots=True, eq=False)
class MemoryUse:
    """Of one episode; no answer is in it."""

    facts: Sequence[Fact]
    """Gold facts of the task's questions."""
    store: Store
    rounds: Sequence[Round]
    results: Sequence[OpResult]
    """All operations, the opening's too."""

    def effective(self, *kinds: OpKind) -> bool:
        """Whether an operation of one of these kinds took effect."""
        return any(result.op.kind in kinds and result.outcome is Outcome.OK for result in self.results)

    def asking(self, question: int) -> list[Round]:
        """The rounds in which a question is asked."""
        return [one for one in self.rounds if one.step.observation.question == question]

    def shown(self, question: int) -> list[str]:
        """Entries that prompts for a question showed, each once, in the order in which they came."""
        entries = (entry for one in self.asking(question) for entry in one.step.shown)
        return list({entry.id: entry.text for entry in entries}.values())

    def facts_of(self, question: int) -> list[Fact]:
        """Gold facts of one question."""
        return [fact for fact in self.facts if fact.question == question]

    def left(self, question: int) -> str:
        """The conversation that is left when a question has been answered; empty where it was never asked."""
        asked = self.asking(question)
        return "\n".join(self._left(asked[-1])) if asked else ""

    def _left(self, last: Round) -> Iterator[str]:
        said = {number: message.content for one in self.rounds for number, message in one.step.context}
        gone: defaultdict[str, int] = defaultdict(int)
        for result in last.results:
            if result.op.kind in CONTEXT_OPS and result.outcome is Outcome.OK:
                for target in result.op.targets:
                    gone[said.get(target, "")] += 1
                yield result.op.text if result.op.kind is OpKind.SUMMARIZE else ""
        for message in last.step.observation.messages:
            if gone[message.content]:
                gone[message.content] -= 1
            else:
                yield message.content


def of(task: Task, trajectory: Trajectory) -> MemoryUse:
    """What an episode did; asked for again, the same."""
    return _of(_Pair(task, trajectory))


class _Pair:
    """A task and one of its trajectories, by who they are: to compare what they hold takes longer than to read it."""

    def __init__(self, task: Task, trajectory: Trajectory) -> None:
        self.task, self.trajectory = task, trajectory

    def __hash__(self) -> int:
        return id(self.trajectory)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Pair) and self.trajectory is other.trajectory


@functools.lru_cache(maxsize=256)  # the rewards of a batch, one after the other
def _of(pair: _Pair) -> MemoryUse:
    facts = _facts(pair.task)
    results = [*pair.trajectory.opening, *(result for step in pair.trajectory.transitions for result in step.results)]
    return MemoryUse(facts, store_quality.store(results, facts), list(_rounds(pair.trajectory)), results)


@functools.lru_cache(maxsize=4)  # a group of rollouts
def _facts(task: Task) -> Sequence[Fact]:
    return gold_facts.of(task)


def _rounds(trajectory: Trajectory) -> Iterator[Round]:
    step, results = None, list[OpResult]()
    for one in trajectory.transitions:
        if one.to == POLICY and one.observation.expects is not Expects.NOTES:
            if step is not None:
                yield Round(step, tuple(results))
            step, results = one, []
        results += one.results
    if step is not None:
        yield Round(step, tuple(results))
