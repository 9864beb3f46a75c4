"""One episode in play: the agent's generator, its budget, and its steps as they close."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NoReturn, Protocol

from atommem_cli.config.blame import blaming
from atommem_cli.core import seeds
from atommem_cli.core.calls import POLICY, Finish, Generation, Message, Observation
from atommem_cli.core.episode import Apply, Ask, Call, Embed, Episode, Request, embeds_of, helpers_of
from atommem_cli.core.errors import UsageError
from atommem_cli.core.memory import Text
from atommem_cli.core.types import MemoryEntry, MemoryOp, OpResult, Outcome, StopReason, Trajectory, Transition

if TYPE_CHECKING:
    from atommem_cli.core.store import Vector


OVERGROWN = Generation("", Finish.OVERFLOW, error="the context has grown beyond the agent's own limit")
"""In place of the reply to a prompt that is longer than its agent allows."""


@dataclass(frozen=True, slots=True)
class Budget:
    """What one episode may use; None is no limit. Entries and reads are `Memory`'s."""

    calls: int | None = None
    prompt_tokens: int | None = None
    new_tokens: int | None = None


class Replies(Protocol):
    """Where replies come from before the policy is asked: what an earlier run got."""

    def finished(self, episode: str) -> bool:
        """Whether an earlier run has finished this episode."""

    def recorded(self, episode: str, step: int, observation: Observation) -> Generation | None:
        """The reply that an earlier run got at this step to this very prompt, or None."""


class Recorder(Protocol):
    """Where steps go as they finish."""

    def opening(self, episode: str, noise: Sequence[MemoryEntry], results: Sequence[OpResult]) -> None:
        """What lay in the store before, and operations that an agent ran before its first call."""

    def step(self, episode: str, step: int, transition: Transition) -> None:
        """One finished step."""


@dataclass(frozen=True, slots=True)
class Fill:
    """What an episode waits for before its agent begins: that its store is filled with noise."""

    texts: tuple[Text, ...]


@dataclass(slots=True)
class _Step:
    """A step that is under way: asked, answered, its operations still coming in."""

    observation: Observation
    generation: Generation
    shown: tuple[MemoryEntry, ...]
    retrieved: tuple[tuple[int, ...], ...]
    to: str
    context: tuple[tuple[int, Message], ...]
    results: list[OpResult] = field(default_factory=list)
    seconds: float = 0.0


class Player:
    """One episode in play: runs the agent's generator and enforces the budget."""

    def __init__(self, episode: Episode, budget: Budget, recorder: Recorder | None) -> None:
        self.episode = episode
        self.request: Request | Fill | None = None
        """What the agent waits for, or its memory before that begins; None once the episode is over."""
        self._budget = budget
        self._recorder = recorder
        with blaming(f"the episode {episode.id}"):
            self._play = episode.agent.play(episode)
        self._left_out = episode.truncated_tokens  # before the agent says what it cut itself
        self._open: _Step | None = None
        self._opening: list[OpResult] = []
        self._opened = False
        self._transitions: list[Transition] = []
        self._usage = episode.used
        self._stop = StopReason.ANSWERED
        self._error = ""
        if episode.memory.noise:
            self.request = Fill(tuple(Text(entry.text, False) for entry in episode.memory.noise))
        else:
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
    def to(self) -> str:
        """Which model the agent waits for."""
        assert isinstance(self.request, Ask)
        return self.request.to

    @property
    def ops(self) -> tuple[MemoryOp, ...]:
        """The operations that the agent waits for; empty when it waits for something else."""
        return self.request.ops if isinstance(self.request, Apply) else ()

    @property
    def texts(self) -> Sequence[Text]:
        """What must be embedded before the agent can go on."""
        asked = self.request
        return asked.texts if isinstance(asked, Embed | Fill) else self.episode.memory.texts(self.ops)

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
        memory, context = self.episode.memory, self.episode.context
        self._open = _Step(
            call.observation,
            generation,
            memory.shown,
            memory.take_retrieved(),
            self.to,
            tuple((new.id, new.message) for new in context.take_shown(call.observation.messages)),
            seconds=seconds,
        )
        match generation.finish:
            case Finish.ERROR:
                self._end(StopReason.ERROR, generation.error)
            case Finish.OVERFLOW:
                self._end(StopReason.CONTEXT_OVERFLOW, generation.error or "the prompt did not fit the window")
            case Finish.FILTERED:
                self._end(StopReason.FILTERED, generation.error)
            case _:
                self._advance(generation)

    def filled(self) -> None:
        """The memory has what is to lie in it: the agent begins."""
        self._advance(None)

    def applied(self, results: tuple[OpResult, ...]) -> None:
        """Hand the agent what became of its operations."""
        known = self.episode.agent.operations
        undeclared = [one.op.kind for one in results if one.outcome is Outcome.OK and one.op.kind not in known]
        if undeclared:
            self._refuse(
                f"runs the operation {undeclared[0]}",
                "add it to `operations`, or leave such operations out of what it applies",
            )
        (self._open.results if self._open else self._opening).extend(results)
        self._advance(results)

    def embedded(self, vectors: Mapping[Text, Vector]) -> None:
        """Hand the agent the vectors that it asked for, shape (texts, D)."""
        import numpy as np

        assert isinstance(self.request, Embed)
        if not embeds_of(self.episode.agent):
            self._refuse("asks for vectors", "it must declare `embeds = True`, as replays need it")
        self._advance(np.stack([vectors[text] for text in self.request.texts]))

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
            chunks=episode.chunks,
            left_out=self._left_out,
            truncated_tokens=episode.truncated_tokens,
            error=self._error,
            digest=memory.digest,
            opening=tuple(self._opening),
            noise=memory.noise,
            context=episode.context.digest if episode.context.used else "",
        )

    def _advance(self, value: object) -> None:
        with blaming(f"the episode {self.episode.id}"):
            try:
                self.request = self._play.send(value)
            except StopIteration:
                self._end(StopReason.ANSWERED)
                return
        if isinstance(self.request, Ask):
            self._insist_known(self.request.to)
            self._close_step()
            exhausted = self._exhausted(self.request.observation)
            if exhausted is not None:
                self._end(exhausted)
            elif self.request.observation.room is not None and self.request.observation.room < 0:
                self.answer(self.call, OVERGROWN, 0.0)

    def _insist_known(self, model: str) -> None:
        if model != POLICY and model not in helpers_of(self.episode.agent):
            self._refuse(f"asks the model {model}", f"it must declare it, as `helpers = ({model!r},)`")

    def _refuse(self, done: str, mend: str) -> NoReturn:
        """
        Raises:
            UsageError: the agent does what it does not declare.
        """
        raise UsageError(f"the agent {self.episode.agent.describe()['name']} {done}: {mend}")

    def _exhausted(self, observation: Observation) -> StopReason | None:
        budget, usage = self._budget, self._usage
        if budget.calls is not None and usage.calls >= budget.calls:
            return StopReason.STEP_LIMIT
        if budget.new_tokens is not None and usage.new_tokens >= budget.new_tokens:
            return StopReason.BUDGET
        if budget.prompt_tokens is not None:
            spans = self.episode.tokenizer.spans
            prompt = sum(map(len, map(spans, observation.texts)))
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
        noise = self.episode.memory.noise
        if (self._opening or noise) and not self._opened and self._recorder:
            self._recorder.opening(self.episode.id, noise, self._opening)
            self._opened = True
        done = self._open
        if done is None:
            return
        transition = Transition(
            observation=done.observation,
            generation=done.generation,
            results=tuple(done.results),
            shown=done.shown,
            entries=self.episode.memory.written,
            seconds=done.seconds,
            retrieved=done.retrieved,
            to=done.to,
            context=done.context,
        )
        if self._recorder:
            self._recorder.step(self.episode.id, len(self._transitions), transition)
        self._transitions.append(transition)
        self._open = None
