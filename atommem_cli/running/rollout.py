"""Plays many episodes at once.

A local policy is served in lock-step rounds: first every waiting episode's memory operations, with one
embedding call and one store write for all of them, then one `generate` for every waiting prompt. Episodes
are played in waves of `policy.batch`, so that a batch is made of the same prompts whenever it is played.
A server policy has no rounds: each episode goes on as soon as its own reply is there.

Both drivers look for a recorded reply before they ask the policy: what an earlier, killed run has paid
for is played again from there.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING

from atommem_cli.core.calls import POLICY, Generation
from atommem_cli.core.clock import Clock
from atommem_cli.core.episode import Ask, Call, Embed, Episode, Policy, ServerPolicy
from atommem_cli.core.errors import BackendError, PluginError
from atommem_cli.core.memory import Text, TextTooLong
from atommem_cli.core.store import Change, Store
from atommem_cli.core.types import Trajectory
from atommem_cli.models.embedding_cache import CachedEmbedder
from atommem_cli.running import asking
from atommem_cli.running.player import Budget, Fill, Player, Recorder, Replies

if TYPE_CHECKING:
    from atommem_cli.core.store import Vector


@dataclass(slots=True)
class Rollout:
    """Everything a rollout needs but the policy and the episodes."""

    vectors: CachedEmbedder
    store: Store
    budget: Budget = field(default_factory=Budget)
    replies: Replies | None = None
    recorder: Recorder | None = None
    clock: Clock = field(default_factory=Clock)
    helpers: Mapping[str, Policy | ServerPolicy] = field(default_factory=dict)
    """Models beside the policy, by the names under which agents ask them."""

    def play(self, policy: Policy, episodes: Iterable[Episode]) -> Iterator[Trajectory]:
        """Play with a local policy; yields each wave's trajectories when the wave is over.

        Raises:
            BackendError: the store or the policy's device failed; finished episodes are not lost.
            PluginError: a plug-in failed; what had finished in its wave came first.
        """
        pending = iter(episodes)
        while wave := list(islice(pending, policy.batch)):
            if all(self._finished(episode) for episode in wave):
                continue
            players: list[Player] = []
            try:
                self._wave(policy, wave, players)
            except PluginError:
                yield from (player.trajectory() for player in players if player.request is None)
                raise
            yield from (player.trajectory() for player in players)

    def _finished(self, episode: Episode) -> bool:
        return self.replies is not None and self.replies.finished(episode.id)

    def _wave(self, policy: Policy, wave: Sequence[Episode], players: list[Player]) -> None:
        """Play a wave to its end, or to the fault of a plug-in; `players` are filled in."""
        names = [episode.id for episode in wave]
        with self.clock.of("store"):
            self.store.begin(names)
        try:
            players.extend(Player(episode, self.budget, self.recorder) for episode in wave)
            while True:
                while waiting := [p for p in players if p.request and not isinstance(p.request, Ask)]:
                    self.settle(waiting)
                waiting = [p for p in players if p.request is not None]
                if not waiting:
                    return
                models = {model: [p for p in waiting if p.to == model] for model in sorted({p.to for p in waiting})}
                for model, asked in models.items():
                    self._round(model, self._model(policy, model), asked)
        finally:
            with self.clock.of("store"):
                self.store.end(names)

    def _model(self, policy: Policy | ServerPolicy, name: str) -> Policy | ServerPolicy:
        return policy if name == POLICY else self.helpers[name]

    def _round(self, name: str, model: Policy | ServerPolicy, players: Sequence[Player]) -> None:
        calls = [player.call for player in players]
        replies = [self._recorded(p, call) for p, call in zip(players, calls, strict=True)]
        start = time.perf_counter()
        if any(reply is None for reply in replies):
            # The whole batch again, with its old members, so that the missing replies come out the same.
            with self.clock.of("model"):
                fresh = asking.replies(model, calls, asking.section_of(name))
            replies = [old or new for old, new in zip(replies, fresh, strict=True)]
        seconds = time.perf_counter() - start
        for player, call, reply in zip(players, calls, replies, strict=True):
            assert reply is not None
            player.answer(call, reply, seconds)

    def _recorded(self, player: Player, call: Call) -> Generation | None:
        if self.replies is None:
            return None
        return self.replies.recorded(player.episode.id, player.step, call.observation)

    def settle(self, players: Sequence[Player]) -> None:
        """Run the operations, embed the texts and fill the stores that these players wait for: one embedding call, one
        store write."""
        with self.clock.of("embedder"):
            vectors = self._embedded(players)
        self._apply(players, vectors)

    def _embedded(self, players: Sequence[Player]) -> dict[Text, Vector]:
        """The vectors that these players' operations need.

        Raises:
            BackendError: the embedder failed; names the episode whose text it does not take.
        """
        try:
            return self.vectors.vectors_for([text for player in players for text in player.texts])
        except TextTooLong as error:
            owner = next((p for p in players if error.text in [text.text for text in p.texts]), players[0])
            raise BackendError(f"{owner.episode.id}: a text of {error}") from None

    def _apply(self, players: Sequence[Player], vectors: Mapping[Text, Vector]) -> None:
        changes: list[Change] = []
        results = []
        for player in players:
            if isinstance(player.request, Fill):
                player.episode.memory.fill(vectors)
            results.append(player.episode.apply(player.ops, vectors))
            changes += player.episode.memory.take_pending()
        if changes:
            with self.clock.of("store"):
                self.store.write(changes)
        for player, result in zip(players, results, strict=True):
            if isinstance(player.request, Embed):
                player.embedded(vectors)
            elif isinstance(player.request, Fill):
                player.filled()
            else:
                player.applied(result)

    async def play_async(self, policy: ServerPolicy, episodes: Iterable[Episode]) -> AsyncGenerator[Trajectory, None]:
        """Play with a server policy; yields each trajectory as it finishes.

        Twice `policy.batch` episodes are open at once, so that `policy.batch` requests are under way while
        others wait for their memory.

        Raises:
            BackendError: the server, the embedder or the store serves nobody; one error however many episodes
                wait, after the trajectories that had finished.
        """
        waiting: asyncio.Queue[tuple[Player, asyncio.Future[None]]] = asyncio.Queue()
        models = {POLICY: policy, **self.helpers}
        slots = {name: asking.slots_of(model) for name, model in models.items()}
        settler = asyncio.create_task(self._settle_forever(waiting))
        pending = (episode for episode in episodes if not self._finished(episode))
        active: set[asyncio.Task[Trajectory]] = set()
        started = time.perf_counter()
        before = self.clock.embedder + self.clock.store
        try:
            while True:
                for episode in islice(pending, 2 * policy.batch - len(active)):
                    active.add(asyncio.create_task(self._one(models, episode, waiting, slots)))
                if not active:
                    return
                await asyncio.wait([*active, settler], return_when=asyncio.FIRST_COMPLETED)
                finished = {task for task in active if task.done()}
                active -= finished
                # Every exception is asked for, and raised when what finished well beside it is handed over.
                errors = [task.exception() for task in finished] + [settler.exception() if settler.done() else None]
                for played in finished:
                    if played.exception() is None:
                        yield played.result()
                for error in filter(None, errors):
                    raise error
        finally:
            for task in (*active, settler):
                task.cancel()
            await asyncio.gather(*active, settler, return_exceptions=True)
            for model in models.values():
                if isinstance(model, ServerPolicy):
                    await model.close()
            spent = time.perf_counter() - started
            self.clock.model += spent - (self.clock.embedder + self.clock.store - before)

    async def _one(
        self,
        models: Mapping[str, Policy | ServerPolicy],
        episode: Episode,
        waiting: asyncio.Queue[tuple[Player, asyncio.Future[None]]],
        slots: Mapping[str, asyncio.Semaphore],
    ) -> Trajectory:
        with self.clock.of("store"):
            self.store.begin([episode.id])
        try:
            player = Player(episode, self.budget, self.recorder)
            while player.request is not None:
                if not isinstance(player.request, Ask):
                    settled = asyncio.get_running_loop().create_future()
                    waiting.put_nowait((player, settled))
                    await settled
                    continue
                call = player.call
                reply = self._recorded(player, call)
                start = time.perf_counter()
                if reply is None:
                    async with slots[player.to]:
                        start = time.perf_counter()
                        reply = await asking.reply(models[player.to], call, asking.section_of(player.to))
                player.answer(call, reply, time.perf_counter() - start)
            return player.trajectory()
        finally:
            with self.clock.of("store"):
                self.store.end([episode.id])

    async def _settle_forever(self, waiting: asyncio.Queue[tuple[Player, asyncio.Future[None]]]) -> None:
        """Serve memory operations, all that wait at the time in one batch."""
        while True:
            batch = [await waiting.get()]
            while not waiting.empty():
                batch.append(waiting.get_nowait())
            players = [player for player, _ in batch]
            with self.clock.of("embedder"):
                vectors = await asyncio.to_thread(self._embedded, players)
            self._apply(players, vectors)
            for _, settled in batch:
                if not settled.cancelled():
                    settled.set_result(None)
