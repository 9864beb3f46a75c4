"""AgeMem (arXiv 2601.01885): one policy manages a long-term store and its own context, with six tools, in three stages.

Stage 1: the chunks, one message a turn, before each of them what the store has nearest to it. Then the context is
cleared and the store kept (`clear` in the journal: nobody's operation but the agent's). Stage 2: the chunks of
distractors (`prepare --distractors`; none where there are none). Stage 3: the questions, in the same context. An answer
before stage 3 ends a stage.

A reply is calls or an answer; of both, calls run first and the answer counts. What became of calls stands in the next
message. While reading, a reply that only retrieves is asked again, at most `limits.reads` times in a row, as AtomMem's
(`again`: one that calls any tool); a reply to a question that only calls tools likewise. Update and Delete name the id
of any entry that was ever shown.

Where the paper leaves a value open, or its code differs (papers.md 2.1 to 2.5), it is an option. How many entries a
Retrieve shows where it does not say (the paper: 3) is `memory.retrieve_k`, the same for all agents of a comparison.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from types import MappingProxyType
from typing import Any, Literal

from pydantic import Field, NonNegativeInt, PositiveInt

from atommem_cli.agents import _agemem_words
from atommem_cli.agents._agemem_aim import Aim
from atommem_cli.agents._agemem_json import JsonCalls
from atommem_cli.agents._agemem_stages import Stages
from atommem_cli.agents._agemem_tags import TagCalls
from atommem_cli.config.schema import Section
from atommem_cli.core.calls import Expects
from atommem_cli.core.components import STORED, Components
from atommem_cli.core.episode import Episode, Play, Request
from atommem_cli.core.memory import Addressing
from atommem_cli.core.thoughts import MARKS, Marks
from atommem_cli.core.types import Answer, MemoryOp, OpKind, Shows

__all__ = ["Options", "build"]

SHORT_TERM = (OpKind.SUMMARIZE, OpKind.FILTER)
COMPONENTS: Components = MappingProxyType(
    {
        "add": (OpKind.CREATE,),
        "update": (OpKind.UPDATE,),
        "delete": (OpKind.DELETE,),
        "retrieve": (OpKind.READ,),
        "summary": (OpKind.SUMMARIZE,),
        "filter": (OpKind.FILTER,),
        "long_term": STORED,
        "short_term": SHORT_TERM,
    }
)


class Options(Section):
    """Keys of the recipe's `agent` section."""

    dialect: str = "paper"
    """Wording and grammar: paper (JSON), tiny (tags, for closed vocabularies), or the path of a file of one's own,
    which ends in .yaml, from the working folder. Other dialects of atommem mean paper here."""
    version: Literal["paper", "coded"] = "paper"
    """Whether Filter is called Filter_context, as in the paper, or Clear_context, as in the authors' code. What else
    the code does, the options below say; its first stage is one message, as `chunk.by: documents` makes it with a
    `chunk.tokens` that all of it fits."""
    question_known: bool = False
    """Whether the questions are told from the start, as in the paper's formal state (its text says they are not); the
    agent is then named so in tables."""
    retrieval: Literal["first", "always", "never"] = "first"
    """Before which messages the agent retrieves by itself: those of stage 1 (the paper), all and the questions (in
    place of the tools of the context: with `memory.drop: [summarize, filter]`), or none (the code)."""
    context_tokens: PositiveInt = 8192
    """Tokens of the context, from which on nothing is asked any more and the episode ends with `context_overflow` (the
    paper; the code: 0.8 of it)."""
    context_share: float = Field(1.0, gt=0, le=1, exclude_if=lambda value: value == 1)
    """Which part of `context_tokens` it is (the code: 0.8)."""
    counting: Literal["tokens", "characters"] = Field("tokens", exclude_if=lambda value: value == "tokens")
    """What the context is measured in: the policy's tokens, or characters, four to a token (the code)."""
    overflow: Literal["episode", "stage"] = Field("episode", exclude_if=lambda value: value == "episode")
    """What ends where the context is full: the episode, or the stage that is read (the code); a question that does not
    fit ends the episode."""
    again: Literal["reads", "calls"] = Field("reads", exclude_if=lambda value: value == "reads")
    """Which replies while reading are asked again, at most `limits.reads` times in a row: those that only retrieve, or
    all that call tools (the code, with 4: five rounds)."""
    sentences: PositiveInt | None = Field(None, exclude_if=lambda value: value is None)
    """Sentences of each document that the first stage shows (the code: 10); null is all. `why` takes the others for
    shown; the tokens are counted as never shown."""
    filter: Literal["embedder", "helper"] = "embedder"
    """Who says how near a message is to the criteria of a Filter: the embedder, or the model `helpers.filter` (the
    code)."""
    filter_threshold: float = Field(0.6, ge=-1, le=1)
    """From which on a message goes: of the cosine, or of what the model says."""
    summary: Literal["policy", "helper"] = "policy"
    """Who writes a summary that a Summary does not bring along, in a call of its own: the policy, or the model
    `helpers.summary` (the code)."""
    train_summary: bool = True
    """Whether the policy learns from these calls."""
    further_calls: NonNegativeInt = 8
    """Most calls of an episode for a Summary or a Filter itself; one beyond is `over_budget`."""
    calling: Literal["text", "native"] = Field("text", exclude_if=lambda value: value == "text")
    """How the model is told of its tools: text, in the instructions; native, by its chat template (`hf`) or in the
    request (`openai_server`), with JSON schemas; it calls them in its own form (JSON, as most families write it), and
    the result of each call is a message of the role `tool`. Answers keep their tags; the instructions are ours,
    whatever the dialect's."""
    results: Literal["user", "tool"] = "user"
    """Where results of calls stand: at the head of the next message, or in one of the role `tool`, for chat templates
    that have it."""


def build(options: Options) -> AgeMem:
    """The agent."""
    return AgeMem(options)


class AgeMem:
    """Six tools over a store and a context."""

    name = "agemem"
    calls_per_chunk = 1
    reads_again = True
    operations = (*STORED, *SHORT_TERM, OpKind.CLEAR)
    stages = 3
    components = COMPONENTS
    shows = Shows.CHUNKS
    addressing: Addressing = "seen"

    def __init__(self, options: Options) -> None:
        self.options = options
        native = options.calling == "native"
        self.words = _agemem_words.load(options.dialect, coded=options.version == "coded", native=native)
        self.native_tools = native
        self.embeds = options.filter == "embedder"
        asked = (("filter", options.filter), ("summary", options.summary))
        self.helpers = tuple(name for name, who in asked if who == "helper")
        self.spare_calls = options.further_calls
        json = self.words.wording.grammar == "json"
        self._calls = JsonCalls(self.words, native=native) if json else TagCalls(self.words)

    def play(self, episode: Episode) -> Play:
        yield from Stages(self.options, self.words, self.parse, self.answer, episode).play()

    def aim(self, episode: Episode, op: MemoryOp) -> Generator[Request, Any, MemoryOp]:
        """An operation with what it leaves to the agent to find out: the messages of a Filter, those and the text of a
        Summary. For operations that `what-if` puts where no policy wrote them."""
        aim, last = Aim(self.options, self.words, self.parse, episode), episode.context.entries[-1:]
        reply = last[0].id if last and last[0].message.role == "assistant" else 0
        return (yield from aim.at(op, reply)) if aim.leaves(op) else op

    def write(self, expects: Expects, ops: Sequence[MemoryOp], answer: str | None = None) -> str:
        if expects is Expects.NOTES:
            return ops[-1].text if ops else ""
        return self._calls.write(ops, answer)

    def parse(self, expects: Expects, reply: str, marks: Marks = MARKS) -> tuple[MemoryOp, ...]:
        said = self._calls.said(reply, marks)
        if expects is Expects.NOTES:
            return (MemoryOp(OpKind.SCRATCHPAD, said),) if said.strip() else ()
        return self._calls.read(said)

    def answer(self, reply: str, marks: Marks = MARKS) -> Answer:
        """The answer in a reply: in its tags, or else the whole of it."""
        said = self._calls.said(reply, marks)
        found = self._calls.answer(said)
        return Answer(said.strip() if found is None else found, said, tagged=found is not None)

    def describe(self) -> dict[str, str]:
        name = f"{self.name}, question known" if self.options.question_known else self.name
        calling = {"calling": "native"} if self.native_tools else {}
        return {"name": name, "dialect": self.words.name, "prompts": self.words.digest, **calling}
