"""One episode, and the contracts of agents and policies.

An agent is a generator over one episode: it yields what it wants (`Ask` a model, `Apply` operations, `Embed` texts),
receives what came back, and hands in its answers with `episode.give`. It never blocks and never sees another episode,
so the driver in `running/rollout.py` can play hundreds at once.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from atommem_cli.core.calls import POLICY, Expects, Generation, Observation
from atommem_cli.core.chunking import Tokenizer
from atommem_cli.core.components import Components
from atommem_cli.core.context import Context
from atommem_cli.core.memory import Addressing, Memory, Text
from atommem_cli.core.thoughts import MARKS, Marks
from atommem_cli.core.types import CONTEXT_OPS, Answer, Chunk, MemoryOp, OpKind, OpResult, Shows, Task, Usage

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from atommem_cli.core.store import Vector


@dataclass(frozen=True, slots=True)
class Ask:
    """Request: one model call. Sends back a `Generation`."""

    observation: Observation
    to: str = POLICY
    """The policy, or a name of the recipe's `helpers` that the agent declares; either's use counts in the budget."""


@dataclass(frozen=True, slots=True)
class Apply:
    """Request: run memory operations.

    Sends back a tuple of `OpResult`, one per operation in order; fewer or more where `atommem what-if` takes some
    away or puts some there: as if the policy had written them so.
    """

    ops: tuple[MemoryOp, ...]


@dataclass(frozen=True, slots=True)
class Embed:
    """Request: vectors of texts, for the agent's own use. Sends back an array of shape (len(texts), D), unit length.

    Settled in one batch with the operations of all waiting episodes.
    """

    texts: tuple[Text, ...]


Request = Ask | Apply | Embed
Play = Generator[Request, Any, None]


@dataclass(frozen=True, slots=True)
class Limits:
    """Lengths of one model call, in tokens of the policy; the same for all agents of a comparison."""

    reply: int
    """Most new tokens of a reply while reading."""
    answer: int
    """Most new tokens of a reply to a question."""
    reads: int
    """Most consecutive replies that only read, before the agent moves on (AtomMem's code: 3)."""
    window: int | None = None
    """Tokens of prompt and reply together that the policy can take; None where it is not known."""


class Episode:
    """One single-use play of a task: the task, its chunks, its memory, its answers."""

    def __init__(
        self,
        task: Task,
        chunks: tuple[Chunk, ...],
        memory: Memory,
        agent: Agent,
        tokenizer: Tokenizer,
        limits: Limits,
        *,
        sample: int = 0,
        seed: int = 0,
        truncated_tokens: int = 0,
        marks: Marks = MARKS,
    ) -> None:
        self.id = memory.episode
        """`TASK#SAMPLE`."""
        self.task = task
        """What is read, and the questions; the answers are in it, too, so prompts take their texts alone."""
        self.chunks = chunks
        """The stream in pieces, in order."""
        self.memory = memory
        """A `Memory`: there to be read; `apply` changes it."""
        self.context = Context(memory.dropped)
        """A `Context`, for agents whose prompts grow; empty where none is kept."""
        self.agent = agent
        self.tokenizer = tokenizer
        """Counts the policy's tokens: `len(tokenizer.spans(text))`."""
        self.limits = limits
        """Tokens of a reply (`reply`), of one to a question (`answer`); replies in a row that only read (`reads`)."""
        self.sample = sample
        """Which repeat of the task, from 0."""
        self.seed = seed
        """Derived from the recipe's seed, the task and the sample; see `seeds.derive`."""
        self.truncated_tokens = truncated_tokens
        """Of the task, never shown; an agent that cuts something itself adds to it."""
        self.marks = marks
        """Of the policy's thoughts, which are no part of what it says; see `thoughts.split`."""
        self.answers = [Answer("")] * len(task.questions)
        """Those handed in so far, by question."""
        self.used = Usage()
        """Of its budget, before this play of it began."""

    def give(self, question: int, answer: Answer) -> None:
        """Hand in the answer to question `question` (index); the last one counts."""
        self.answers[question] = answer

    def apply(self, ops: Sequence[MemoryOp], vectors: Mapping[Text, Vector]) -> tuple[OpResult, ...]:
        """Run the operations of one reply on memory and context, in order of appearance.

        Args:
            vectors: of `memory.texts(ops)`.
        """
        edits = iter(self.context.apply([op for op in ops if op.kind in CONTEXT_OPS]))
        results = iter(self.memory.apply([op for op in ops if op.kind not in CONTEXT_OPS], vectors))
        return tuple(next(edits if op.kind in CONTEXT_OPS else results) for op in ops)


class Agent(Protocol):
    """A way to read a stream and answer questions about it.

    One that shows a chunk again for replies that did more than read says how often it may, over a whole episode, as
    `spare_calls`; plans count them. One whose observations have `tools` says so as `native_tools`, so that a model
    without them is refused before it loads.
    """

    @property
    def calls_per_chunk(self) -> int:
        """How often it asks about every chunk, helpers too, if no reply is asked again; 0: about questions alone."""

    @property
    def reads_again(self) -> bool:
        """Whether a reply that only reads, or edits its context, is asked again, at most `Limits.reads` times in a
        row."""

    @property
    def operations(self) -> tuple[OpKind, ...]:
        """The operations that it may run, its own and those that it takes from replies."""

    @property
    def shows(self) -> Shows:
        """What its prompts show of the documents; read with `shows_of`."""

    @property
    def addressing(self) -> Addressing:
        """What the target of an Update or a Delete means; see there."""

    @property
    def embeds(self) -> bool:
        """Whether it yields `Embed`; a replay then needs the run's embedder."""

    @property
    def helpers(self) -> tuple[str, ...]:
        """The models beside the policy that it asks, as the recipe's `helpers` must name them."""

    @property
    def components(self) -> Components:
        """What an ablation can take from it: names, each with the operations that go; read with `components.of`."""

    def play(self, episode: Episode) -> Play:
        """Play the episode to its end."""

    def write(self, expects: Expects, ops: Sequence[MemoryOp], answer: str | None = None) -> str:
        """What a policy would have to reply to mean these operations or this answer.

        Scripted policies speak through it.
        """

    def parse(self, expects: Expects, reply: str) -> tuple[MemoryOp, ...]:
        """The operations that a reply means, defective ones too: of `write`, the inverse. Never raises."""

    def describe(self) -> dict[str, str]:
        """What a run records about it: name, digest of its prompts."""


def shows_of(agent: Agent) -> Shows:
    """What an agent declares as `shows`; CHUNKS, as the journal says it, for one that does not."""
    return Shows(getattr(agent, "shows", Shows.CHUNKS))


def addressing_of(agent: Agent) -> Addressing:
    """What it declares as `addressing`; numbers of the view for one that does not."""
    declared: Addressing = getattr(agent, "addressing", "shown")
    return declared


def embeds_of(agent: Agent) -> bool:
    """What it declares as `embeds`; False for one that does not."""
    declared: bool = getattr(agent, "embeds", False)
    return declared


def helpers_of(agent: Agent) -> tuple[str, ...]:
    """What it declares as `helpers`; nobody for one that does not."""
    declared: tuple[str, ...] = getattr(agent, "helpers", ())
    return declared


@dataclass(frozen=True, slots=True)
class Call:
    """One model call of one episode."""

    episode: Episode | None
    """None for a call outside any episode (the judge's)."""
    observation: Observation
    seed: int
    """Seeds the sampling of this call; depends on the recipe's seed, task, sample and step alone."""


class Policy(Protocol):
    """A policy that runs in this process and answers a whole batch at once."""

    @property
    def tokenizer(self) -> Tokenizer:
        """What counts its tokens."""

    @property
    def window(self) -> int | None:
        """Tokens of prompt and reply together; None is no limit."""

    @property
    def batch(self) -> int:
        """Episodes to play at once."""

    def generate(self, calls: Sequence[Call]) -> list[Generation]:
        """One reply per call, in order. A reply depends on its own call alone as far as floating point
        allows. A prompt that does not fit comes back with Finish.OVERFLOW; nothing a prompt or a model
        contains raises."""

    def describe(self) -> dict[str, str]:
        """What a run records about it: name, model, digest of weights, options that matter."""


@runtime_checkable
class ServerPolicy(Protocol):
    """A policy behind a network: each episode goes on as soon as its own reply arrives."""

    @property
    def tokenizer(self) -> Tokenizer:
        """What counts its tokens."""

    @property
    def window(self) -> int | None:
        """Tokens of prompt and reply together; None is not known."""

    @property
    def batch(self) -> int:
        """Requests under way at once."""

    async def reply(self, call: Call) -> Generation:
        """One reply. Retries what is worth retrying; then Finish.ERROR with one sentence.

        Raises:
            BackendError: the server can serve nobody (down, wrong key): the run stops and can be continued.
        """

    async def close(self) -> None:
        """Close connections; called at the end of the event loop that used them."""

    def describe(self) -> dict[str, str]:
        """What a run records about it; never a key."""


def ask(observation: Observation, to: str = POLICY) -> Generator[Request, Any, Generation]:
    """`reply = yield from ask(observation)`"""
    generation: Generation = yield Ask(observation, to)
    return generation


def embed(texts: Sequence[Text]) -> Generator[Request, Any, NDArray[np.float32]]:
    """`vectors = yield from embed(texts)`, of shape (len(texts), D)."""
    vectors: NDArray[np.float32] = yield Embed(tuple(texts))
    return vectors


def apply(ops: Sequence[MemoryOp]) -> Generator[Request, Any, tuple[OpResult, ...]]:
    """`results = yield from apply(ops)`; nothing to apply costs nothing."""
    if not ops:
        return ()
    results: tuple[OpResult, ...] = yield Apply(tuple(ops))
    return results
