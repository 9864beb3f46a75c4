"""Small worlds for tests: tasks, episodes and parts, all real."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from atommem_cli.config import plugins
from atommem_cli.core.calls import Generation
from atommem_cli.core.chunking import Tokenizer, WordTokenizer, chunk_documents
from atommem_cli.core.episode import Agent, Call, Episode, Limits, addressing_of
from atommem_cli.core.memory import Memory
from atommem_cli.core.seeds import derive
from atommem_cli.core.store import Store
from atommem_cli.core.types import Document, OpKind, Question, Support, Task, Trajectory
from atommem_cli.models.embedding_cache import CachedEmbedder
from atommem_cli.running.rollout import Rollout


def task(name: str = "t-0", facts: Sequence[str] = ("Ada was born in Velt.", "Bo lives in Dorn.")) -> Task:
    """One question per fact; the answer is the fact's last word."""
    documents = tuple(Document("", fact) for fact in facts)
    questions = tuple(
        Question(f"{name}-q{i}", f"What ends: {fact.split()[0]}?", (fact.split()[-1].strip("."),), (Support(i, fact),))
        for i, fact in enumerate(facts)
    )
    return Task(name, "test", documents, questions)


def store(name: str = "exact", **options: object) -> Store:
    module = plugins.load("stores", name)
    built: Store = module.build(module.Options(**options))
    return built


def agent(name: str = "atommem", **options: object) -> Agent:
    module = plugins.load("agents", name)
    built: Agent = module.build(module.Options(**options))
    return built


def vectors() -> CachedEmbedder:
    module = plugins.load("embedders", "hashing")
    return CachedEmbedder(module.build(module.Options()))


def rollout(where: Store, **options: object) -> Rollout:
    return Rollout(vectors(), where, **options)  # type: ignore[arg-type]


def episode(
    about: Task,
    where: Store,
    *,
    by: Agent | None = None,
    k: int = 3,
    size: int = 8,
    sample: int = 0,
    dropped: frozenset[OpKind] = frozenset(),
    limits: Limits | None = None,
    **memory: int | None,
) -> Episode:
    chunks, cut = chunk_documents(about.documents, WordTokenizer(), size=size, overlap=0, by="documents")
    return Episode(
        about,
        chunks,
        Memory(
            f"{about.id}#{sample}",
            where,
            k=k,
            dropped=dropped,
            untold=dropped,
            addressing=addressing_of(by) if by else "shown",
            noise=about.noise,
            **memory,
        ),
        by or agent(),
        WordTokenizer(),
        limits or Limits(reply=100, answer=20, reads=3),
        sample=sample,
        seed=derive(0, about.id, sample),
        truncated_tokens=cut,
    )


@dataclass
class Says:
    """A policy that says what a function of the call returns, and keeps every call."""

    say: Callable[[Call], str | Generation]
    batch: int = 64
    window: int | None = None
    tokenizer: Tokenizer = field(default_factory=WordTokenizer)
    calls: list[Call] = field(default_factory=list)
    rounds: list[int] = field(default_factory=list)
    """Size of each batch."""

    def generate(self, calls: Sequence[Call]) -> list[Generation]:
        self.calls += calls
        self.rounds.append(len(calls))
        replies = [self.say(call) for call in calls]
        return [r if isinstance(r, Generation) else Generation(r, prompt_tokens=10, new_tokens=5) for r in replies]

    def describe(self) -> dict[str, str]:
        return {"name": "says"}


class SaysAsync(Says):
    """The same behind an event loop."""

    async def reply(self, call: Call) -> Generation:
        return self.generate([call])[0]

    async def close(self) -> None:
        self.closed = True


def script(*replies: str) -> Callable[[Call], str]:
    """Each episode gets these replies in turn; the last one for ever."""
    said: dict[str, int] = {}

    def say(call: Call) -> str:
        assert call.episode is not None
        number = said.get(call.episode.id, 0)
        said[call.episode.id] = number + 1
        return replies[min(number, len(replies) - 1)]

    return say


def play(rolling: Rollout, policy: Says, one: Episode) -> Trajectory:
    """An episode to its end, by a policy of either kind."""
    if not isinstance(policy, SaysAsync):
        (played,) = rolling.play(policy, [one])
        return played

    async def gather() -> list[Trajectory]:
        return [played async for played in rolling.play_async(policy, [one])]

    (played,) = asyncio.run(gather())
    return played


def prompt(trajectory: Trajectory, call: int) -> str:
    """What a call of an episode says last."""
    return trajectory.transitions[call].observation.messages[-1].content
