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
from typing import Any

from atommem_cli.agents import _agemem_words
from atommem_cli.agents._agemem_aim import Aim
from atommem_cli.agents._agemem_json import JsonCalls
from atommem_cli.agents._agemem_options import Options
from atommem_cli.agents._agemem_stages import Stages, measured, most_of, schemas
from atommem_cli.agents._agemem_tags import TagCalls
from atommem_cli.core.calls import Expects
from atommem_cli.core.chunking import Tokenizer
from atommem_cli.core.components import STORED, Components
from atommem_cli.core.episode import Episode, Play, Request
from atommem_cli.core.errors import UsageError
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

    def insist_room(self, tokenizer: Tokenizer, untold: frozenset[OpKind]) -> None:
        """Insist that the context holds instructions and the shortest message, with nothing in it."""
        told = (self.words.system(untold, ()), *schemas(self.words.tools(untold)))
        empty = (self.words.message("first", {"chunk": ""}), self.words.message("third", {"question": ""}))
        needed = sum(measured(text, self.options, tokenizer) for text in (*told, min(empty, key=len)))
        if needed >= (most := most_of(self.options)):
            raise UsageError(
                f"agent.context_tokens={self.options.context_tokens} holds no prompt: what every prompt of agemem says "
                f"takes {needed:.0f} of {most:.0f} tokens, before any text of a document"
            )

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
