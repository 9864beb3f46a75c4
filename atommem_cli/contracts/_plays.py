"""Plays of an agent for its contract: small tasks, policies that reply as told, and everything written down."""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, cast

from atommem_cli.contracts import _said
from atommem_cli.contracts.promises import ContractBroken, insist, raised
from atommem_cli.core import seeds
from atommem_cli.core.calls import POLICY, Expects, Generation, Observation
from atommem_cli.core.chunking import WordTokenizer, chunk_documents
from atommem_cli.core.episode import Agent, Apply, Ask, Call, Embed, Episode, Limits, Play, Policy, Request
from atommem_cli.core.memory import Memory
from atommem_cli.core.safe_text import shown
from atommem_cli.core.types import (
    CONTEXT_OPS,
    Answer,
    Document,
    MemoryOp,
    OpKind,
    OpResult,
    Question,
    Support,
    Task,
    Trajectory,
)
from atommem_cli.embedders import hashing
from atommem_cli.models.embedding_cache import CachedEmbedder
from atommem_cli.policies import scripted
from atommem_cli.running.player import Budget
from atommem_cli.running.rollout import Rollout
from atommem_cli.running.stubs import StubPolicy
from atommem_cli.stores import exact
from atommem_cli.tasks import stream

LIMITS = Limits(reply=200, answer=50, reads=2)
MOST = 2_000
"""Requests of one episode, far more than any of these tasks takes: an agent that never ends is stopped there."""


def tasks() -> list[Task]:
    """Two worlds of `stream`, and titled documents with gold facts; two questions each, of three to five chunks."""
    options = stream.Options(docs=6, people=2, relations=3, questions=2)
    facts = ("Ada was born in Velt.", "Bo plays the lute.", "The mayor of Dorn is Cy.")
    documents = tuple(Document(f"Page {i}", f"{fact} Nobody knows why.") for i, fact in enumerate(facts))
    questions = (
        Question("titled-0", "Where was Ada born?", ("Velt",), (Support(0, facts[0]),)),
        Question("titled-1", "Who is the mayor of Dorn?", ("Cy",), (Support(2, facts[2]),)),
    )

    worlds = [stream.generate(options, 0, "validation", index) for index in range(2)]
    return [*worlds, Task("contract-titled", "contract", documents, questions)]


def policy(say: Callable[[Call], str]) -> Policy:
    """A policy that replies what a function of the call gives."""
    count = WordTokenizer().spans

    def reply(call: Call) -> Generation:
        text = say(call)
        prompt = sum(map(len, map(count, call.observation.texts)))
        return Generation(text, prompt_tokens=prompt, new_tokens=len(count(text)))

    return StubPolicy(WordTokenizer(), on_calls=lambda calls: [reply(call) for call in calls], batch=64)


def by_script(name: str) -> Policy:
    """A scripted policy: oracle, mute, random, chaotic, ..."""
    return scripted.build(scripted.Options.model_validate({"script": name}))


@dataclass
class Played:
    """One episode of the agent."""

    trajectory: Trajectory
    episode: WatchedEpisode
    requests: list[Request]

    @property
    def asks(self) -> list[Observation]:
        """What the agent asked, its helpers too."""
        return [request.observation for request in self.requests if isinstance(request, Ask)]

    @property
    def ops(self) -> list[MemoryOp]:
        """The operations that it wanted to run."""
        return [op for request in self.requests if isinstance(request, Apply) for op in request.ops]

    @property
    def results(self) -> list[OpResult]:
        """What became of them."""
        steps = self.trajectory.transitions
        return [*self.trajectory.opening, *(result for step in steps for result in step.results)]

    @property
    def essence(self) -> object:
        """What is the same where the same happens."""
        trajectory = self.trajectory
        return self.requests, self.results, trajectory.answers, trajectory.stop, trajectory.digest


class WatchedEpisode(Episode):
    """An episode that knows which questions were answered."""

    given: set[int]

    def give(self, question: int, answer: Answer) -> None:
        """Hand in an answer."""
        insist(
            isinstance(answer, Answer) and isinstance(answer.text, str),
            f"episode.give is handed {shown(answer)}: an `Answer` of a text is wanted",
        )
        insist(
            0 <= question < len(self.task.questions),
            f"episode.give is handed question {question} of {len(self.task.questions)}: they count from 0",
        )
        self.given.add(question)
        super().give(question, answer)


Tamper = Callable[[tuple[MemoryOp, ...]], Sequence[MemoryOp]]
"""What becomes of the operations of a request before they run, as `what-if` does it."""


@dataclass
class Watched:
    """An agent whose every request is written down and looked at."""

    agent: Agent
    tamper: Tamper = tuple
    requests: dict[str, list[Request]] = field(default_factory=dict)
    operations: ClassVar = tuple(OpKind)
    """What it runs beyond what it declares is for a promise of its own to say."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self.agent, name)

    def play(self, episode: Episode) -> Play:
        """The agent's own play."""
        requests = self.requests[episode.id] = []
        generator = self.agent.play(episode)
        insist(
            isinstance(generator, Generator),
            f"play gives {shown(generator)}: it is a generator, so ask with `yield from ask(...)`",
        )
        value: object = None
        try:
            while True:
                before, replied = episode.memory.digest, value
                try:
                    request = generator.send(value)
                except StopIteration:
                    return
                except ContractBroken:
                    raise
                except Exception as error:
                    after = f" after the reply {shown(replied.text)}" if isinstance(replied, Generation) else ""
                    sentence = f"play raises {raised(error)}{after}: what a policy writes is data, and ends no episode"
                    raise ContractBroken(sentence) from error
                insist(
                    episode.memory.digest == before,
                    "play changes the memory by itself: yield the operations, as `yield from apply([...])`",
                )
                self._insist_declared(request)
                requests.append(request)
                insist(len(requests) < MOST, f"play does not end: it goes on after {MOST:,} requests")
                value = yield from self._settled(request)
        finally:
            generator.close()

    def _insist_declared(self, request: Request) -> None:
        declared = (POLICY, *getattr(self.agent, "helpers", ()))
        insist(
            not isinstance(request, Ask) or request.to in declared,
            f"play asks a model called {shown(getattr(request, 'to', ''))}: declare it in helpers",
        )
        insist(
            not isinstance(request, Embed) or getattr(self.agent, "embeds", False),
            "play asks for vectors: declare embeds = True, a replay then takes the run's embedder",
        )
        insist(
            isinstance(request, Ask | Apply | Embed),
            f"play yields {shown(request)}: a request is wanted, as `yield from ask(...)` makes one",
        )

    def _settled(self, request: Request) -> Generator[Request, Any, object]:
        if not isinstance(request, Apply):
            return (yield request)
        insist_operations(request.ops, "play applies")
        ops = tuple(self.tamper(request.ops))
        return (yield Apply(ops)) if ops else ()


def play(
    agent: Agent,
    on: Sequence[Task],
    by: Policy,
    *,
    dropped: Collection[OpKind] = (),
    tamper: Tamper = tuple,
) -> list[Played]:
    """Play tasks together, each in an episode of its own.

    Args:
        dropped: operations that are refused, and left out of prompts.

    Raises:
        ContractBroken: the agent raises, does not end, or does what no agent may.
    """
    watched = Watched(agent, tamper)
    store = exact.build(exact.Options())
    gone = frozenset(dropped)
    memories = [
        Memory(f"{task.id}#0", store, k=3, dropped=gone, untold=gone, addressing=getattr(agent, "addressing", "shown"))
        for task in on
    ]
    episodes = [_episode(task, watched, memory) for task, memory in zip(on, memories, strict=True)]
    vectors, helpers = (
        CachedEmbedder(hashing.build(hashing.Options())),
        dict.fromkeys(getattr(agent, "helpers", ()), by),
    )
    rollout = Rollout(vectors, store, Budget(calls=MOST), helpers=helpers)
    by_name = {one.episode: one for one in rollout.play(by, episodes)}
    return [Played(by_name[one.id], one, watched.requests[one.id]) for one in episodes]


def _episode(task: Task, agent: Watched, memory: Memory) -> WatchedEpisode:
    chunks, cut = chunk_documents(task.documents, WordTokenizer(), size=16, overlap=0, by="documents")
    seed = seeds.derive(0, task.id)

    by = cast("Agent", agent)  # it has what the agent has
    episode = WatchedEpisode(task, chunks, memory, by, WordTokenizer(), LIMITS, seed=seed, truncated_tokens=cut)

    episode.given = set()
    return episode


def writing(agent: Agent, answer: str = "velt") -> Callable[[Call], str]:
    """Replies that do what each call is for, and never read: one operation, one note, one answer."""
    known = _said.speech(agent, Expects.OPERATIONS).spoken
    kind = next((kind for kind in known if kind is not OpKind.READ), OpKind.CREATE)

    def say(call: Call) -> str:
        text = f"note {call.seed % 1000}"
        match call.observation.expects:
            case Expects.ANSWER:
                return agent.write(Expects.ANSWER, [], answer)
            case Expects.NOTES:
                return agent.write(Expects.NOTES, [MemoryOp(OpKind.SCRATCHPAD, text)])
            case Expects.OPERATIONS:
                return agent.write(Expects.OPERATIONS, [_op(kind, text)])
            case Expects.FACTS:
                return agent.write(Expects.FACTS, [MemoryOp(OpKind.CREATE, text)])
            case Expects.CHOICE:
                return agent.write(Expects.CHOICE, [MemoryOp(OpKind.READ, target=1)])
            case Expects.RATING:
                return agent.write(Expects.RATING, [], "5")
            case _:
                return text

    return say


def reading(agent: Agent) -> Callable[[Call], str]:
    """Replies that read and do nothing else, each with a query of its own."""

    def say(call: Call) -> str:
        expects = call.observation.expects
        if expects not in (Expects.OPERATIONS, Expects.ANSWER):
            return writing(agent)(call)
        return agent.write(expects, [MemoryOp(OpKind.READ, f"query {call.seed}")])

    return say


def _op(kind: OpKind, text: str) -> MemoryOp:
    addressed = kind in (OpKind.UPDATE, OpKind.DELETE)
    bare = kind in (OpKind.DELETE, OpKind.FILTER)
    return MemoryOp(kind, "" if bare else text, 1 if addressed else None, targets=(1,) if kind in CONTEXT_OPS else ())


def insist_operations(ops: object, who: str) -> None:
    """Insist on a tuple of operations whose fields are what they should be."""
    insist(isinstance(ops, tuple), f"{who} {shown(ops)}: a tuple of MemoryOp is wanted")
    assert isinstance(ops, tuple)
    for op in ops:
        insist(isinstance(op, MemoryOp), f"{who} {shown(op)}: a MemoryOp is wanted")
        whole = isinstance(op.kind, OpKind) and isinstance(op.text, str)
        numbered = op.target is None or (isinstance(op.target, int) and not isinstance(op.target, bool))
        numbered = numbered and isinstance(op.targets, tuple) and all(isinstance(one, int) for one in op.targets)
        insist(
            whole and numbered,
            f"{who} {shown(op)}: `kind` is an OpKind, `text` a text, `target` a whole number or None, `targets` a "
            "tuple of them; what cannot be read is an operation with a `defect`",
        )
