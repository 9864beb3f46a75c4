"""One model call: what is shown to the policy, and what comes back. Immutable."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple


class Finish(StrEnum):
    """How one model call ended."""

    STOP = "stop"
    LENGTH = "length"
    OTHER = "other"
    """There is a reply, and the server gives a reason for its end that is not known; `Generation.error` names it."""
    OVERFLOW = "overflow"
    """The prompt did not fit the window: there is no reply."""
    FILTERED = "filtered"
    """The provider's filter or refusal stands in place of the reply; what came of it is kept, and never parsed."""
    ERROR = "error"
    """The call failed: there is no reply."""


UNANSWERED = frozenset({Finish.OVERFLOW, Finish.FILTERED, Finish.ERROR})
"""Ends of calls that brought no reply of the model."""


class Expects(StrEnum):
    """What an observation asks of the policy."""

    OPERATIONS = "operations"
    """Memory operations on the chunk that is shown."""
    NOTES = "notes"
    """The whole new scratchpad, which replaces the old one (MemAgent); or what sums up messages of a context."""
    ANSWER = "answer"
    """The answer to the one question that is shown."""
    FACTS = "facts"
    """What the text that is shown says, or what is to be looked up for a question: texts, as Creates that are not run.
    The agent decides what becomes of them."""
    CHOICE = "choice"
    """Which of the items that are shown are meant (`Observation.items`): Reads whose targets are numbers, from 1."""
    RATING = "rating"
    """A number, for what is shown."""


MATERIAL = frozenset({Expects.FACTS, Expects.CHOICE, Expects.RATING})
"""What is asked for in place of operations: the agent decides what becomes of it."""

POLICY = "policy"
"""The model that is measured or trained, among those that an agent may ask."""


@dataclass(frozen=True, slots=True)
class Message:
    """One chat message."""

    role: str
    """"system", "user", "assistant", or what else the chat template knows."""
    content: str
    tokens: tuple[int, ...] = ()
    """Of an earlier reply, where they are known: the token ids that were sampled, the end of the turn included. A
    model in this process is shown these very ids, whatever the text would be encoded as."""


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool that is told apart from the messages: by the chat template, or in a field of a server's request."""

    name: str
    description: str
    """What it does, for the model."""
    parameters: str
    """The JSON schema of its arguments, an object, as a text."""

    @property
    def function(self) -> dict[str, Any]:
        """As chat templates and servers take it."""
        schema = json.loads(self.parameters)
        return {
            "type": "function",
            "function": {"name": self.name, "description": self.description, "parameters": schema},
        }


@dataclass(frozen=True, slots=True)
class Observation:
    """One model call as the agent wants it: the messages are all that the policy sees."""

    messages: tuple[Message, ...]
    """The prompt, oldest message first."""
    max_new_tokens: int
    """Most tokens of the reply: `episode.limits.reply`, or `episode.limits.answer` of a question."""
    expects: Expects
    """What the reply is for; scripts and rewards go by it."""
    chunk: int | None = None
    """Index of the chunk that is shown; None after the last one."""
    question: int | None = None
    """Index of the question that is asked; None while reading."""
    reads_left: int = 0
    """How many more consecutive replies may only read before the agent moves on."""
    keep_tokens: bool = False
    """The reply becomes part of later prompts: its token ids come back with it and are journaled."""
    trained: bool = True
    """Whether the policy learns from its reply."""
    room: int | None = None
    """Tokens by which the context may still grow, where the agent sets it a limit; below 0 no model is asked, and the
    episode ends with `context_overflow`, as where a prompt does not fit the window."""
    limit: int | None = None
    """Tokens of that limit."""
    tools: tuple[Tool, ...] = ()
    """Tools that the reply may call in the model's own form; see `core.tool_calls` for how the calls of a server's
    reply then stand in its text. Where neither model nor server takes tools, that is an error of one sentence."""
    items: tuple[str, ...] = ()
    """What a CHOICE is among, in the order of the numbers in the prompt: all that each stands for, which the prompt may
    show in fewer words; or the facts that OPERATIONS are to settle, where no chunk is shown; or what an ANSWER may
    repeat before it answers, as Reads. Scripts look at it; no model is shown it."""

    @property
    def texts(self) -> tuple[str, ...]:
        """All that a prompt is made of: what budgets count."""
        return (*(said.content for said in self.messages), *(json.dumps(tool.function) for tool in self.tools))


@dataclass(frozen=True, slots=True)
class Generation:
    """What came back from one model call."""

    text: str
    """The reply, thoughts included."""
    finish: Finish = Finish.STOP
    """How it ended."""
    prompt_tokens: int = 0
    """Tokens that were shown; budgets count them."""
    new_tokens: int = 0
    """Tokens that were written; likewise."""
    prompt_ids: tuple[int, ...] = ()
    """Token ids of the prompt; only where a trainer asked for them."""
    token_ids: tuple[int, ...] = ()
    """Token ids of the reply, end-of-turn token included; likewise, and where `Observation.keep_tokens` says so."""
    logprobs: tuple[float, ...] = ()
    """Natural log-probability of each reply token under the sampling distribution; only where a trainer asked."""
    error: str = ""
    """One sentence, where `finish` is in `UNANSWERED` or OTHER, or where the reply was longer than its limit."""


class GoldReply(NamedTuple):
    """A gold answer as the reply to a prompt; it is not sampled, but asked how likely it is."""

    observation: Observation
    reply: str
    start: int
    end: int
    """Where the answer itself stands in the reply, in characters."""


Likelihoods = Callable[[Sequence[GoldReply]], list[float]]
"""Mean natural log-probability of the answer's own tokens in each reply; -inf where a prompt does not fit."""
