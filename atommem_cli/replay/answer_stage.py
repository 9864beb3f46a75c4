"""The questions of a finished episode again, from a memory in which one operation was never carried out.

The agent plays the stage as it played it, without chunks to read: it finds the memory rebuilt from the episode's
operations, by the ids of entries. All others stand as they were written, and what becomes of them is settled anew:
what one does to an entry that is not there any more is nothing, a Create goes in where there is room now, and a Read,
an Update or notes that said what was there already may be what says it.
"""

from __future__ import annotations

import copy
from collections.abc import Generator
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any, NamedTuple

from atommem_cli.core.calls import Finish, Generation, Observation
from atommem_cli.core.episode import Agent, Apply, Ask, Episode, Play, Request, embed
from atommem_cli.core.types import CONTEXT_OPS, MemoryOp, OpKind, OpResult, Outcome, Task, Trajectory, Usage
from atommem_cli.replay.wrapped import Wrapped


class Place(NamedTuple):
    """Which operation of an episode."""

    step: int
    """The model call that wrote it, from 0; -1 is before the first one."""
    number: int
    """Of those of its step, from 0."""


class Stage:
    """The answer stage of an episode."""

    def __init__(self, task: Task, trajectory: Trajectory) -> None:
        self.task = task
        self.trajectory = trajectory
        steps = trajectory.transitions
        asked = (at for at, step in enumerate(steps) if step.observation.question is not None)
        self.first = next(asked, len(steps))
        """Its first model call; the number of all calls where no question was asked."""
        done = [trajectory.opening, *(step.results for step in steps)]
        self.operations: dict[Place, OpResult] = {
            Place(at, number): result for at, results in enumerate(done, -1) for number, result in enumerate(results)
        }
        """All of the episode, refused ones too, in order."""
        before = [step.generation for step in steps[: self.first]]
        self.used = Usage(len(before), sum(one.prompt_tokens for one in before), sum(one.new_tokens for one in before))
        """What the episode had used of its budget before."""
        self.replies = {step.observation: step.generation for step in steps[self.first :]}
        """To its prompts."""

    @property
    def carried_out(self) -> dict[Place, OpResult]:
        """The operations that took effect."""
        return {place: one for place, one in self.operations.items() if one.outcome is Outcome.OK}

    def before(self, without: Place | None) -> list[OpResult]:
        """What the memory at its beginning is made of, but for one operation: also what had no effect then, if it may
        have one now."""
        taken = (one.entry or 0 for one in self.operations.values())
        new = count(1 + max(len(self.trajectory.noise), *taken, 0))
        return [
            replace(one, entry=next(new)) if one.op.kind is OpKind.CREATE and one.entry is None else one
            for place, one in self.operations.items()
            if one.outcome in _OPEN and place.step < self.first and place != without and one.op.kind not in CONTEXT_OPS
        ]

    @property
    def visible(self) -> set[Place]:
        """The operations whose text its prompts showed as that of an entry."""
        writer: dict[int | None, Place] = {}
        ops, seen = list(self.carried_out.items()), set[Place]()
        for at, step in enumerate(self.trajectory.transitions):
            while ops and ops[0][0].step < at:
                place, one = ops.pop(0)
                writer[one.entry] = place
            if at >= self.first:
                seen |= {writer[entry.id] for entry in step.shown if entry.id in writer}
        return seen


class Answering(Wrapped):
    """An agent that finds its memory as it was, but for one operation, and has nothing to read; for one play.

    It hears of that operation as if it had been carried out.
    """

    def __init__(self, inner: Agent, stage: Stage, without: Place | None) -> None:
        super().__init__(inner)
        self.embeds = True
        self._stage = stage
        self._without = without

    def play(self, episode: Episode) -> Play:
        done = self._stage.before(self._without)
        texts = episode.memory.texts([one.op for one in done])
        vectors = (yield from embed(texts)) if texts else ()
        episode.memory.restore(done, dict(zip(texts, vectors, strict=True)))
        yield Apply(())  # the driver takes the store's share with it
        there = copy.copy(episode)
        there.chunks = ()
        play = self._inner.play(there)
        step, number = self._stage.first - 1, 0
        sent: object = None
        while True:
            try:
                request = play.send(sent)
            except StopIteration:
                return
            if isinstance(request, Apply):
                sent = yield from self._applied(request.ops, step, number)
                number += len(request.ops)
                continue
            sent = yield request
            if isinstance(request, Ask):
                step, number = step + 1, 0

    def _applied(
        self, ops: tuple[MemoryOp, ...], step: int, before: int
    ) -> Generator[Request, Any, tuple[OpResult, ...]]:
        """Carry operations out, but for the one that is left out; `before`: those of the step before these."""
        place = self._without
        at = place.number - before if place and place.step == step >= self._stage.first else -1
        if not 0 <= at < len(ops):
            results: tuple[OpResult, ...] = yield Apply(ops)
            return results
        assert place is not None
        rest = (*ops[:at], *ops[at + 1 :])
        results = (yield Apply(rest)) if rest else ()
        return (*results[:at], self._stage.operations[place], *results[at:])


_OPEN = (Outcome.OK, Outcome.NOOP, Outcome.OVER_BUDGET)
"""What becomes of such an operation depends on what is there, and on what there is room for."""

END = Generation("", Finish.ERROR, error="this question cannot be asked apart from what was read before it")


@dataclass
class Recorded:
    """What stages have said already, for all their plays; by the name of a play."""

    held: bool
    """Whether replies stand whatever their prompts show; else a prompt that changed is for the policy."""
    stages: dict[str, Stage] = field(default_factory=dict)
    unchanged: set[str] = field(default_factory=set)
    """Plays from which nothing was left out: their prompts must come out as they were."""
    changed: set[str] = field(default_factory=set)
    """Plays of which a prompt is not as it was."""
    waiting: set[str] = field(default_factory=set)
    """Plays that wait for the policy."""
    asked: int = 0
    """Calls of the policy."""

    def finished(self, episode: str) -> bool:
        return False

    def recorded(self, episode: str, step: int, observation: Observation) -> Generation | None:
        self.waiting.discard(episode)
        stage = self.stages[episode]
        if observation in stage.replies:
            return stage.replies[observation]
        self.changed.add(episode)
        if episode in self.unchanged:
            return END
        if self.held:
            steps = stage.trajectory.transitions
            return steps[step].generation if step < len(steps) else END
        self.waiting.add(episode)
        self.asked += 1
        return None
