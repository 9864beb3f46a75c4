"""Plays many episodes at once.

A local policy is served in lock-step rounds: first every waiting episode's memory operations, with one
embedding call and one store write for all of them, then one `generate` for every waiting prompt. Episodes
are played in waves of `policy.batch`, so that a batch is made of the same prompts whenever it is played.
A server policy has no rounds: each episode goes on as soon as its own reply is there.

Both drivers ask the journal for a reply before they ask the policy: what an earlier, killed run has paid
for is played again from there.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import TYPE_CHECKING, Protocol

from atommem_cli import seeds
from atommem_cli.episode import Apply, Ask, Call, Episode, Policy, ServerPolicy
from atommem_cli.memory import Change, Store, Text
from atommem_cli.types import (
    Finish,
    Generation,
    MemoryEntry,
    MemoryOp,
    Observation,
    OpResult,
    StopReason,
    Trajectory,
    Transition,
    Usage,
)
from atommem_cli.vectors import CachedEmbedder

if TYPE_CHECKING:
    from atommem_cli.memory import Vector


@dataclass(frozen=True, slots=True)
class Budget:
    """What one episode may use; None is no limit. Entries and reads are `Memory`'s."""

    calls: int | None = None
    prompt_tokens: int | None = None
    new_tokens: int | None = None


class Journal(Protocol):
    """Where steps go as they finish, and where an earlier run's replies come from."""

    def finished(self, episode: str) -> bool:
        """Whether an earlier run has finished this episode."""

    def recorded(self, episode: str, step: int, observation: Observation) -> Generation | None:
        """The reply that an earlier run got at this step to this very prompt, or None."""

    def opening(self, episode: str, results: Sequence[OpResult]) -> None:
        """Operations that an agent ran before its first call."""

    def step(self, episode: str, step: int, transition: Transition) -> None:
        """One finished step."""


@dataclass(slots=True)
class Clock:
    """Wall seconds of a rollout by part; what is left of the whole is the harness itself."""

    model: float = 0.0
    embedder: float = 0.0
    store: float = 0.0

    @contextlib.contextmanager
    def of(self, part: str) -> Iterator[None]:
        """Adds the time spent inside to one part."""
        start = time.perf_counter()
        try:
            yield
        finally:
            setattr(self, part, getattr(self, part) + time.perf_counter() - start)


@dataclass(slots=True)
class _Step:
    """A step that is under way: asked, answered, its operations still coming in."""

    observation: Observation
    generation: Generation
    shown: tuple[MemoryEntry, ...]
    results: list[OpResult] = field(default_factory=list)
    seconds: float = 0.0


class Player:
    """One episode in play: runs the agent's generator and enforces the budget."""

    def __init__(self, episode: Episode, budget: Budget, journal: Journal | None) -> None:
        self.episode = episode
        self.request: Ask | Apply | None = None
        """What the agent waits for; None once the episode is over."""
        self._budget = budget
        self._journal = journal
        self._play = episode.agent.play(episode)
        self._open: _Step | None = None
        self._opening: list[OpResult] = []
        self._transitions: list[Transition] = []
        self._usage = Usage()
        self._stop = StopReason.ANSWERED
        self._error = ""
        self._advance(None)

    @property
    def call(self) -> Call:
        """The model call that the agent waits for."""
        assert isinstance(self.request, Ask)
        observation = self.request.observation
        left = self._budget.new_tokens
        if left is not None:
            left = max(1, left - self._usage.new_tokens)
            observation = replace(observation, max_new_tokens=min(observation.max_new_tokens, left))
        return Call(self.episode, observation, seeds.derive(self.episode.seed, self._usage.calls))

    @property
    def ops(self) -> tuple[MemoryOp, ...]:
        """The operations that the agent waits for; empty when it waits for something else."""
        return self.request.ops if isinstance(self.request, Apply) else ()

    @property
    def step(self) -> int:
        """Index of the model call that the agent waits for."""
        return self._usage.calls

    def answer(self, call: Call, generation: Generation, seconds: float) -> None:
        """Hand the agent its reply."""
        usage = self._usage
        self._usage = replace(
            usage,
            calls=usage.calls + 1,
            prompt_tokens=usage.prompt_tokens + generation.prompt_tokens,
            new_tokens=usage.new_tokens + generation.new_tokens,
        )
        self._open = _Step(call.observation, generation, self.episode.memory.shown, seconds=seconds)
        match generation.finish:
            case Finish.ERROR:
                self._end(StopReason.ERROR, generation.error)
            case Finish.OVERFLOW:
                self._end(StopReason.CONTEXT_OVERFLOW, generation.error or "the prompt did not fit the window")
            case _:
                self._advance(generation)

    def applied(self, results: tuple[OpResult, ...]) -> None:
        """Hand the agent what became of its operations."""
        (self._open.results if self._open else self._opening).extend(results)
        self._advance(results)

    def trajectory(self) -> Trajectory:
        """The finished episode."""
        episode = self.episode
        memory = episode.memory
        return Trajectory(
            episode=episode.id,
            task=episode.task.id,
            sample=episode.sample,
            answers=tuple(episode.answers),
            stop=self._stop,
            transitions=tuple(self._transitions),
            usage=replace(self._usage, entries=memory.peak, reads=memory.reads),
            chunks=len(episode.chunks),
            truncated_tokens=episode.truncated_tokens,
            error=self._error,
            digest=memory.digest,
        )

    def _advance(self, value: Generation | tuple[OpResult, ...] | None) -> None:
        try:
            self.request = self._play.send(value)
        except StopIteration:
            self._end(StopReason.ANSWERED)
            return
        if isinstance(self.request, Ask):
            self._close_step()
            exhausted = self._exhausted(self.request.observation)
            if exhausted is not None:
                self._end(exhausted)

    def _exhausted(self, observation: Observation) -> StopReason | None:
        budget, usage = self._budget, self._usage
        if budget.calls is not None and usage.calls >= budget.calls:
            return StopReason.STEP_LIMIT
        if budget.new_tokens is not None and usage.new_tokens >= budget.new_tokens:
            return StopReason.BUDGET
        if budget.prompt_tokens is not None:
            spans = self.episode.tokenizer.spans
            prompt = sum(len(spans(message.content)) for message in observation.messages)
            if usage.prompt_tokens + prompt > budget.prompt_tokens:
                return StopReason.BUDGET
        return None

    def _end(self, stop: StopReason, error: str = "") -> None:
        self._close_step()
        self._play.close()
        self.request = None
        self._stop, self._error = stop, error

    def _close_step(self) -> None:
        """The step is over: nothing more can happen in it."""
        if self._opening and not self._transitions and self._journal:
            self._journal.opening(self.episode.id, self._opening)
            self._opening = []
        done = self._open
        if done is None:
            return
        transition = Transition(
            observation=done.observation,
            generation=done.generation,
            results=tuple(done.results),
            shown=done.shown,
            entries=len(self.episode.memory.entries),
            seconds=done.seconds,
        )
        if self._journal:
            self._journal.step(self.episode.id, len(self._transitions), transition)
        self._transitions.append(transition)
        self._open = None


@dataclass(slots=True)
class Rollout:
    """Everything a rollout needs but the policy and the episodes."""

    vectors: CachedEmbedder
    store: Store
    budget: Budget = Budget()
    journal: Journal | None = None
    clock: Clock = field(default_factory=Clock)

    def play(self, policy: Policy, episodes: Iterable[Episode]) -> Iterator[Trajectory]:
        """Play with a local policy; yields each wave's trajectories when the wave is over.

        Raises:
            BackendError: the store or the policy's device failed; finished episodes are not lost.
        """
        pending = iter(episodes)
        while wave := list(islice(pending, policy.batch)):
            if not all(self._finished(episode) for episode in wave):
                yield from self._wave(policy, wave)

    def _finished(self, episode: Episode) -> bool:
        return self.journal is not None and self.journal.finished(episode.id)

    def _wave(self, policy: Policy, wave: Sequence[Episode]) -> list[Trajectory]:
        names = [episode.id for episode in wave]
        with self.clock.of("store"):
            self.store.begin(names)
        try:
            players = [Player(episode, self.budget, self.journal) for episode in wave]
            while True:
                while applying := [p for p in players if isinstance(p.request, Apply)]:
                    self.settle(applying)
                asking = [p for p in players if p.request is not None]
                if not asking:
                    return [player.trajectory() for player in players]
                self._round(policy, asking)
        finally:
            with self.clock.of("store"):
                self.store.end(names)

    def _round(self, policy: Policy, asking: Sequence[Player]) -> None:
        calls = [player.call for player in asking]
        replies = [self._recorded(p, call) for p, call in zip(asking, calls, strict=True)]
        start = time.perf_counter()
        if any(reply is None for reply in replies):
            # The whole batch again, with its old members, so that the missing replies come out the same.
            with self.clock.of("model"):
                fresh = policy.generate(calls)
            replies = [old or new for old, new in zip(replies, fresh, strict=True)]
        seconds = time.perf_counter() - start
        for player, call, reply in zip(asking, calls, replies, strict=True):
            assert reply is not None
            player.answer(call, reply, seconds)

    def _recorded(self, player: Player, call: Call) -> Generation | None:
        if self.journal is None:
            return None
        return self.journal.recorded(player.episode.id, player.step, call.observation)

    def settle(self, players: Sequence[Player]) -> None:
        """Run the operations that these players wait for: one embedding call, one store write."""
        with self.clock.of("embedder"):
            vectors = self.vectors.vectors_for(_texts(players))
        self._apply(players, vectors)

    def _apply(self, players: Sequence[Player], vectors: Mapping[Text, Vector]) -> None:
        changes: list[Change] = []
        results = []
        for player in players:
            memory = player.episode.memory
            results.append(memory.apply(player.ops, vectors))
            changes += memory.pending
            memory.pending = []
        if changes:
            with self.clock.of("store"):
                self.store.write(changes)
        for player, result in zip(players, results, strict=True):
            player.applied(result)

    async def play_async(self, policy: ServerPolicy, episodes: Iterable[Episode]) -> AsyncGenerator[Trajectory, None]:
        """Play with a server policy; yields each trajectory as it finishes.

        Twice `policy.batch` episodes are open at once, so that `policy.batch` requests are under way while
        others wait for their memory.
        """
        waiting: asyncio.Queue[tuple[Player, asyncio.Future[None]]] = asyncio.Queue()
        slots = asyncio.Semaphore(policy.batch)
        settler = asyncio.create_task(self._settle_forever(waiting))
        pending = (episode for episode in episodes if not self._finished(episode))
        active: set[asyncio.Task[Trajectory]] = set()
        started = time.perf_counter()
        before = self.clock.embedder + self.clock.store
        try:
            while True:
                for episode in islice(pending, 2 * policy.batch - len(active)):
                    active.add(asyncio.create_task(self._one(policy, episode, waiting, slots)))
                if not active:
                    return
                await asyncio.wait([*active, settler], return_when=asyncio.FIRST_COMPLETED)
                if settler.done():
                    settler.result()  # it ends only by an error
                finished = {task for task in active if task.done()}
                active -= finished
                for played in finished:
                    yield played.result()
        finally:
            for task in (*active, settler):
                task.cancel()
            await asyncio.gather(*active, settler, return_exceptions=True)
            await policy.close()
            spent = time.perf_counter() - started
            self.clock.model += spent - (self.clock.embedder + self.clock.store - before)

    async def _one(
        self,
        policy: ServerPolicy,
        episode: Episode,
        waiting: asyncio.Queue[tuple[Player, asyncio.Future[None]]],
        slots: asyncio.Semaphore,
    ) -> Trajectory:
        self.store.begin([episode.id])
        try:
            player = Player(episode, self.budget, self.journal)
            while player.request is not None:
                if isinstance(player.request, Apply):
                    settled = asyncio.get_running_loop().create_future()
                    waiting.put_nowait((player, settled))
                    await settled
                    continue
                call = player.call
                reply = self._recorded(player, call)
                start = time.perf_counter()
                if reply is None:
                    async with slots:
                        start = time.perf_counter()
                        reply = await policy.reply(call)
                player.answer(call, reply, time.perf_counter() - start)
            return player.trajectory()
        finally:
            self.store.end([episode.id])

    async def _settle_forever(self, waiting: asyncio.Queue[tuple[Player, asyncio.Future[None]]]) -> None:
        """Serve memory operations, all that wait at the time in one batch."""
        while True:
            batch = [await waiting.get()]
            while not waiting.empty():
                batch.append(waiting.get_nowait())
            players = [player for player, _ in batch]
            with self.clock.of("embedder"):
                vectors = await asyncio.to_thread(self.vectors.vectors_for, _texts(players))
            self._apply(players, vectors)
            for _, settled in batch:
                if not settled.cancelled():
                    settled.set_result(None)


def _texts(players: Sequence[Player]) -> list[Text]:
    return [text for player in players for text in player.episode.memory.texts(player.ops)]
