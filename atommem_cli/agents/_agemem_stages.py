"""One episode of AgeMem: its messages, its tools, its three stages."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import replace
from math import floor
from typing import Any

from atommem_cli.agents._agemem_aim import Aim, Parse
from atommem_cli.agents._agemem_arguments import TOP_K, WHERE
from atommem_cli.agents._agemem_options import Options
from atommem_cli.agents._agemem_sentences import Beginnings
from atommem_cli.agents._agemem_words import FAULT, Words
from atommem_cli.core.calls import Expects, Generation, Observation, Tool
from atommem_cli.core.chunking import Tokenizer, distracting
from atommem_cli.core.context import ContextMessage
from atommem_cli.core.effects import AUTOMATIC
from atommem_cli.core.episode import Episode, Play, Request, apply, ask
from atommem_cli.core.thoughts import Marks
from atommem_cli.core.types import Answer, Chunk, MemoryEntry, MemoryOp, OpKind, OpResult, Outcome

Doing = Generator[Request, Any, tuple[OpResult, ...]]
CHARACTERS = 4
"""To a token, as the authors' code counts them (papers.md 2.5)."""
_FOUND = (Outcome.OK, Outcome.NOOP)
"""Of a Retrieve that shows entries: a query that is the one before shows what is there now."""


class Stages:
    """One play of one task."""

    def __init__(
        self,
        options: Options,
        words: Words,
        parse: Parse,
        answer: Callable[[str, Marks], Answer],
        episode: Episode,
    ) -> None:
        self._options, self._words, self._episode = options, words, episode
        self._parse, self._answer = parse, answer
        self._context, self._memory = episode.context, episode.memory
        self._told: list[str] = []
        """What became of calls, as far as no message has it yet."""
        self._found: dict[int, None] = {}
        """Entries that the next message shows, by id."""
        self._aim = Aim(options, words, parse, episode)
        self._sizes: dict[int, float] = {}
        """Tokens of each message, by its id."""
        self._tools = words.tools(self._memory.untold)
        self._schemas = sum(map(self._measured, schemas(self._tools)))
        """Tokens of the tools, where they are told apart from the messages."""
        self._beginnings = Beginnings(episode, options.sentences) if options.sentences else None

    def play(self) -> Play:
        """All of it."""
        episode, known = self._episode, self._options.question_known
        questions = [question.text for question in episode.task.questions]
        system = self._words.system(self._memory.untold, questions if known else ())
        if system:
            self._context.add("system", system)
        late = distracting(episode.task.documents, episode.chunks)
        first = [chunk for chunk in episode.chunks if chunk.index not in late]
        yield from self._read("first", first)
        yield from self._clear()
        yield from self._read("second", episode.chunks[len(first) :])
        for number in range(len(questions)):
            yield from self._ask_question(number)

    # --- stages

    def _read(self, stage: str, chunks: Sequence[Chunk]) -> Play:
        """Chunks, one message each, until an answer ends the stage."""
        most = self._episode.limits.reads
        automatic = self._options.retrieval == "always" or (self._options.retrieval == "first" and stage == "first")
        for chunk in chunks:
            text = self._beginnings.of(chunk) if self._beginnings and stage == "first" else chunk.text
            memories = (yield from self._retrieved(text)) if automatic else {}
            self._say(stage, {"chunk": text, **memories})
            for left in range(most, -1, -1):
                if self._options.overflow == "stage" and self._room < 0:
                    return
                reply = yield from self._asked(Expects.OPERATIONS, left, chunk=chunk.index)
                results = yield from self._carried_out(reply)
                if self._answer(reply.text, self._episode.marks).tagged:
                    return
                if not left or not self._goes_on(results):
                    break
                self._say("again", _left(left - 1))

    def _goes_on(self, results: Sequence[OpResult]) -> bool:
        """Whether the policy is asked about the same message again."""
        if self._options.again == "calls":
            return bool(results)
        looked = any(r.op.kind is OpKind.READ and r.outcome in _FOUND for r in results)
        return looked and all(r.op.kind is OpKind.READ for r in results)

    def _clear(self) -> Play:
        """The context is emptied of all but instructions; the store stays."""
        ids = tuple(entry.id for entry in self._context.entries if entry.message.role != "system")
        yield from apply([MemoryOp(OpKind.CLEAR, targets=ids)] if ids else [])
        self._told.clear()
        self._found.clear()

    def _ask_question(self, number: int) -> Play:
        episode, most = self._episode, self._episode.limits.reads
        asked = {"question": episode.task.questions[number].text}
        memories = (yield from self._retrieved(asked["question"])) if self._options.retrieval == "always" else {}
        place = self._say("third", {**asked, **memories, **_left(most)})
        for left in range(most, -1, -1):
            reply = yield from self._asked(Expects.ANSWER, left, question=number)
            yield from self._carried_out(reply)
            answer = self._answer(reply.text, episode.marks)
            if answer.tagged or not self._parse(Expects.ANSWER, reply.text, episode.marks):
                episode.give(number, answer)
                return
            episode.give(number, Answer("", answer.reply))
            if left:
                there = any(entry.id == place for entry in self._context.entries)
                said = self._say("again", {**({} if there else asked), **_left(left - 1)})
                place = place if there else said

    # --- messages

    def _say(self, section: str, fields: Mapping[str, str]) -> int:
        """Put the next message into the context; its id, or that of the last one where there is nothing to say."""
        if self._options.calling == "native":
            for result in self._told:
                self._context.add("tool", result or self._words.wording.nothing)
            self._told.clear()
        results = "\n".join(filter(None, self._told))
        told = {"results": results} if results else {}
        self._told.clear()
        if told and self._options.results == "tool":
            self._context.add("tool", results)
            told = {}
        there = {entry.id for entry in self._memory.entries}
        self._memory.present([entry for entry in self._found if entry in there])
        self._found.clear()
        text = self._words.message(section, {**told, **fields})
        return self._context.add("user", text) if text else self._context.next_id - 1

    def _asked(
        self, expects: Expects, left: int, *, chunk: int | None = None, question: int | None = None
    ) -> Generator[Request, Any, Generation]:
        """The policy's reply to the whole context."""
        limits = self._episode.limits
        most = limits.answer if expects is Expects.ANSWER else limits.reply
        reply = yield from ask(
            Observation(
                self._context.messages,
                most,
                expects,
                chunk=chunk,
                question=question,
                reads_left=left,
                keep_tokens=True,
                room=self._room,
                limit=floor(self._most),
                tools=self._tools,
            )
        )
        return reply

    @property
    def _most(self) -> float:
        """Tokens of the context."""
        return most_of(self._options)

    @property
    def _room(self) -> int:
        """Tokens by which the context may still grow."""
        return floor(self._most - self._schemas - sum(map(self._size, self._context.entries)))

    def _size(self, entry: ContextMessage) -> float:
        if entry.id not in self._sizes:
            self._sizes[entry.id] = self._measured(entry.message.content)
        return self._sizes[entry.id]

    def _measured(self, text: str) -> float:
        return measured(text, self._options, self._episode.tokenizer)

    # --- tools

    def _retrieved(self, query: str) -> Generator[Request, Any, dict[str, str]]:
        """What the agent retrieves by itself, as the part of a message."""
        if OpKind.READ in self._memory.dropped:
            return {}
        results = yield from apply([MemoryOp(OpKind.READ, query, meta=AUTOMATIC)])
        found = self._shown() if any(r.op.kind is OpKind.READ and r.outcome in _FOUND for r in results) else ()
        return {"memories": self._words.memories(found)} if found else {}

    def _shown(self, op: MemoryOp | None = None) -> tuple[MemoryEntry, ...]:
        """The entries that the last query finds, as a Retrieve wants them."""
        meta = dict(op.meta) if op else {}
        most = min(int(meta.get(TOP_K, self._memory.k)), max(1, len(self._memory.entries)))
        where = {key.removeprefix(WHERE): value for key, value in meta.items() if key.startswith(WHERE)}
        found = self._memory.show(max(1, len(self._memory.entries)) if where else most)
        chosen = [entry for entry in found if where.items() <= dict(entry.meta).items()][:most]
        if where:
            self._memory.present([entry.id for entry in chosen])
        self._found |= dict.fromkeys(entry.id for entry in chosen)
        return tuple(chosen)

    def _carried_out(self, reply: Generation) -> Doing:
        """The operations of a reply, in order; what became of them is told in the next message."""
        mine = self._context.hear(reply)
        results: tuple[OpResult, ...] = ()
        waiting: list[MemoryOp] = []
        seen: set[MemoryOp] = set()
        for op in self._parse(Expects.OPERATIONS, reply.text, self._episode.marks):
            aimed = _once(op) if op in seen else op
            seen.add(op)
            if self._aim.leaves(aimed):
                results += yield from self._applied(waiting)
                waiting = []
                aimed = yield from self._aim.at(op, mine)
            waiting.append(aimed)
            if op.kind is OpKind.READ:
                results += yield from self._applied(waiting)
                waiting = []
        return results + (yield from self._applied(waiting))

    def _applied(self, ops: Sequence[MemoryOp]) -> Doing:
        results = yield from apply(ops)
        for result in results:
            looked = result.op.kind is OpKind.READ and result.op.defect is None and result.outcome in _FOUND
            self._told.append(self._words.result(result, self._shown(result.op) if looked else None))
        return results


def measured(text: str, options: Options, tokenizer: Tokenizer) -> float:
    """Tokens of a text, or what stands for them."""
    return len(text) / CHARACTERS if options.counting == "characters" else len(tokenizer.spans(text))


def most_of(options: Options) -> float:
    """Tokens of the context."""
    return options.context_share * options.context_tokens


def schemas(tools: tuple[Tool, ...]) -> tuple[str, ...]:
    """The texts of tools that are told apart from the messages."""
    return Observation((), 0, Expects.NOTES, tools=tools).texts


def _once(op: MemoryOp) -> MemoryOp:
    """A call that the same reply has made already."""
    return op if op.defect else replace(op, defect=Outcome.NOOP, meta=(*op.meta, (FAULT, "the same call twice")))


def _left(replies: int) -> dict[str, str]:
    """How many further replies may hold calls, as the part of a message; nothing where none may."""
    return {"reads_left": str(replies)} if replies else {}
