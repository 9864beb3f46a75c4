"""Our side of a comparison with a peer: small worlds, each an episode, played with replies that are said beforehand."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from atommem_cli.core.calls import Generation, Observation
from atommem_cli.core.chunking import WordTokenizer, chunk_documents
from atommem_cli.core.episode import Agent, Call, Episode, Limits
from atommem_cli.core.memory import Memory
from atommem_cli.core.store import Store
from atommem_cli.core.types import Document, Question, Task, Trajectory
from atommem_cli.models.embedding_cache import CachedEmbedder
from atommem_cli.running.player import Budget
from atommem_cli.running.rollout import Rollout
from atommem_cli.running.stubs import StubPolicy
from atommem_cli.stores import exact

Reply = Callable[[int, Episode, Observation], str]
"""What is said to a call of an episode, which has the number of its world."""


def play(
    agent: Agent,
    worlds: Sequence[tuple[Sequence[str], Sequence[str]]],
    reply: Reply,
    embedder: CachedEmbedder,
    *,
    k: int = 3,
) -> list[tuple[Episode, Trajectory]]:
    """Every world once, all at once.

    Args:
        worlds: texts, each a document and a chunk, and questions.
        k: entries that a Read shows.
    """
    store = exact.build(exact.Options())
    made = [_episode(str(number), *world, agent, store, k) for number, world in enumerate(worlds)]

    def say(call: Call) -> Generation:
        assert call.episode is not None
        return Generation(reply(int(call.episode.task.id), call.episode, call.observation))

    policy = StubPolicy(WordTokenizer(), on_calls=lambda calls: [say(call) for call in calls], batch=64)
    found = {one.episode: one for one in Rollout(embedder, store, Budget(calls=1000)).play(policy, made)}
    return [(one, found[one.id]) for one in made]


def _episode(name: str, texts: Sequence[str], asked: Sequence[str], agent: Agent, store: Store, k: int) -> Episode:
    documents = tuple(Document("", text) for text in texts)
    questions = tuple(Question(f"{name}-{at}", text, ("x",)) for at, text in enumerate(asked))
    cut, _ = chunk_documents(documents, WordTokenizer(), size=1, overlap=0, by="documents")
    memory = Memory(f"{name}#0", store, k=k)
    return Episode(Task(name, "bench", documents, questions), cut, memory, agent, WordTokenizer(), Limits(1000, 100, 1))


def bent(dice: random.Random, reply: str) -> str:
    """A reply as models give it: a third of them in a fence, with words around it, cut off or something else."""
    match dice.randrange(12):
        case 0:
            return f"```json\n{reply}\n```"
        case 1:
            return f"Here it is:\n{reply}\nI hope that this helps."
        case 2:
            return reply[: dice.randrange(len(reply))]
        case 3:
            return dice.choice(("", "I see nothing.", "{}", "[]", "null"))
        case _:
            return reply
