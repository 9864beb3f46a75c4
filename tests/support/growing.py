"""An agent whose prompt grows: a conversation that its policy edits itself, with tools as JSON.

A plug-in as any other (`--agent tests/support/growing.py`), without the base `Speaker`: it says all that an agent has
to say. Chunks come one message each, replies are arrays of calls, what became of them stands in the next message.
Entries and messages are named by their ids.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Generator, Sequence
from types import MappingProxyType
from typing import Any

from atommem_cli import (
    Answer,
    Episode,
    Expects,
    MemoryOp,
    Observation,
    OpKind,
    OpResult,
    Outcome,
    Request,
    Section,
    Shows,
    apply,
    ask,
    split_thoughts,
)

MANUAL = """You read a stream chunk by chunk and answer questions about it afterwards. Reply with a JSON array of calls:
{"tool": "create", "text": ...} keeps a fact; {"tool": "update", "entry": 3, "text": ...} and
{"tool": "delete", "entry": 3} change one; {"tool": "read", "text": ...} finds facts; {"tool": "filter", "messages":
[2, 3]} takes messages out of this conversation; {"tool": "summarize", "messages": [2, 3], "text": ...} puts a text in
their place. A question is answered with {"answer": ...} instead."""

KINDS = (OpKind.CREATE, OpKind.READ, OpKind.UPDATE, OpKind.DELETE, OpKind.SUMMARIZE, OpKind.FILTER)


class Options(Section):
    """It has no keys."""


class Growing:
    name = "growing"
    calls_per_chunk = 1
    reads_again = False
    spare_calls = 0
    operations = KINDS
    components = MappingProxyType({kind.value: (kind,) for kind in KINDS})
    shows = Shows.CHUNKS
    addressing = "seen"
    embeds = False
    helpers = ()

    def play(self, episode: Episode) -> Generator[Request, Any, None]:
        context, asked = episode.context, "\n".join(question.text for question in episode.task.questions)
        context.add("system", f"{MANUAL}\nThe questions will be:\n{asked}")
        happened = ""
        for chunk in episode.chunks:
            context.add("user", f"{happened}message {context.next_id}, chunk {chunk.index}:\n{chunk.text}")
            reply = yield from ask(self.observation(episode, Expects.OPERATIONS, chunk=chunk.index))
            context.hear(reply)
            results = yield from apply(self.parse(Expects.OPERATIONS, reply.text, episode.marks))
            happened = self.told(episode, results)
        for number, question in enumerate(episode.task.questions):
            results = yield from apply([MemoryOp(OpKind.READ, question.text)])
            shown = f"{happened}message {context.next_id}, {self.told(episode, results)}"
            context.add("user", f"{shown}Question: {question.text}")
            reply = yield from ask(self.observation(episode, Expects.ANSWER, question=number))
            context.hear(reply)
            happened = ""
            said = split_thoughts(reply.text, episode.marks).said
            answer = self.loaded(said)
            tagged = isinstance(answer, dict) and "answer" in answer
            episode.give(number, Answer(str(answer["answer"]) if tagged else said.strip(), said, tagged))

    def observation(self, episode: Episode, expects: Expects, **where: int) -> Observation:
        most = episode.limits.answer if expects is Expects.ANSWER else episode.limits.reply
        return Observation(episode.context.messages, most, expects, keep_tokens=True, **where)

    def told(self, episode: Episode, results: Sequence[OpResult]) -> str:
        """What became of the calls, and what the memory shows now."""
        shown = episode.memory.show()
        lines = [f"{r.op.kind}: {r.outcome}" + (f" (id {r.entry})" if r.entry else "") for r in results]
        if any(r.op.kind is OpKind.READ and r.outcome in (Outcome.OK, Outcome.NOOP) for r in results):
            lines += [f"entry {entry.id}: {entry.text}" for entry in shown]
        return "".join(f"{line}\n" for line in lines)

    @staticmethod
    def loaded(text: str) -> Any:
        """The JSON in a reply; None where there is none."""
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            return None

    def parse(self, expects: Expects, reply: str, *marks: Any) -> tuple[MemoryOp, ...]:
        said = split_thoughts(reply, *marks).said
        calls = self.loaded(said)
        if not isinstance(calls, list):
            defective = expects is Expects.OPERATIONS and said.strip() and not isinstance(calls, dict)
            return (MemoryOp(OpKind.CREATE, said, defect=Outcome.MALFORMED),) if defective else ()
        return tuple(map(self.operation, calls))

    @staticmethod
    def operation(call: Any) -> MemoryOp:
        kinds = {kind.value: kind for kind in KINDS}
        fields = call if isinstance(call, dict) else {}
        kind = kinds.get(fields.get("tool")) if isinstance(fields.get("tool"), str) else None
        text, entry, messages = fields.get("text", ""), fields.get("entry"), fields.get("messages", [])
        meta = fields.get("meta", {})
        sound = (
            kind is not None
            and isinstance(text, str)
            and (entry is None or type(entry) is int)
            and isinstance(messages, list)
            and all(type(message) is int for message in messages)
            and isinstance(meta, dict)
            and all(isinstance(value, str) for value in meta.values())
        )
        if not sound:
            return MemoryOp(kind or OpKind.CREATE, json.dumps(call), defect=Outcome.MALFORMED)
        return MemoryOp(kind, text, entry, targets=tuple(messages), meta=tuple(meta.items()))

    def write(self, expects: Expects, ops: Sequence[MemoryOp], answer: str | None = None) -> str:
        if answer is not None:
            return json.dumps({"answer": answer})
        calls = []
        for op in ops:
            call: dict[str, Any] = {"tool": op.kind.value}
            call |= {"text": op.text} if op.text else {}
            call |= {"entry": op.target} if op.target is not None else {}
            call |= {"messages": list(op.targets)} if op.targets else {}
            call |= {"meta": dict(op.meta)} if op.meta else {}
            calls.append(call)
        return json.dumps(calls)

    def describe(self) -> dict[str, str]:
        return {"name": self.name, "prompts": hashlib.sha256(MANUAL.encode()).hexdigest()[:16]}


def build(options: Options) -> Growing:
    return Growing()
