"""Memory-R1 (arXiv 2508.19828): a manager with one operation for each fact, and an answerer that selects first.

One call takes facts out of a chunk; for each fact, the nearest entries are looked up, and one call decides: ADD,
UPDATE, DELETE or NOOP. For a question 60 entries are looked up; one call repeats those that are needed, then answers.
Manager and answerer are calls of the policy, which `sft` and `grpo` train; the facts may be taken out by another model.
Source: papers.md 3.2; the authors' code (yansikuan/memory-r1) was not at hand. What the paper leaves open is ours: as
many entries for a fact as `memory.retrieve_k` says, and what a second operation of one reply means: nothing. Both
agents are one model here, and learn at once; there, one after the other.

Calls: one a chunk and one a fact, one a question. Lookups: one a fact and one a question.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any, Literal

from pydantic import PositiveInt

from atommem_cli.agents import _json_reply as replies
from atommem_cli.agents import _workflow
from atommem_cli.agents._edits import Editing, Edits
from atommem_cli.agents._workflow import Workflow
from atommem_cli.core.calls import Expects, Message, Observation
from atommem_cli.core.episode import Episode, Play, Request, apply, ask
from atommem_cli.core.thoughts import MARKS, Marks
from atommem_cli.core.types import MemoryEntry, MemoryOp, OpKind
from atommem_cli.core.workload import Shape, Workload

__all__ = ["Options", "build"]

EVENTS = MappingProxyType({OpKind.CREATE: "ADD", OpKind.UPDATE: "UPDATE", OpKind.DELETE: "DELETE"})


class Options(_workflow.Options):
    """Keys of the recipe's `agent` section."""

    retrieve: PositiveInt = 60
    """Entries that are looked up for a question (the paper: 60, 30 for each of two speakers)."""
    extractor: Literal["policy", "helper"] = "policy"
    """Who takes the facts out: the policy, or the model `helpers.extractor`."""


def build(options: Options) -> MemoryR1:
    """The agent."""
    return MemoryR1(options)


class MemoryR1(Editing):
    """Decides fact by fact, and selects before it answers."""

    name = "memory_r1"
    source = "arXiv 2508.19828"
    operations = (OpKind.CREATE, OpKind.READ, OpKind.UPDATE, OpKind.DELETE)
    prompt_fields = MappingProxyType(
        {"facts": frozenset({"chunk"}), "manager": frozenset({"memories", "items"}), "answer": frozenset[str]()}
    )

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self._retrieve = options.retrieve
        self._extractor = self.asked_of("extractor", options.extractor)
        self.edits = Edits(EVENTS, "NOOP", first=1)

    def workload(self, shape: Shape, reply: int) -> Workload:
        asked, most = shape.questions, shape.chunks * reply
        return Workload((shape.chunks + asked, shape.chunks + most + asked), (asked, most + asked))

    def play(self, episode: Episode) -> Play:
        for chunk in episode.chunks:
            asked = self.call(episode, "facts", {"chunk": chunk.text}, Expects.FACTS, chunk=chunk)
            reply = yield from ask(asked, self._extractor)
            for fact in self.parse(Expects.FACTS, reply.text, episode.marks):
                yield from self._manage(episode, fact.text)
        for number, question in enumerate(episode.task.questions):
            found = yield from self.search(episode, question.text, self._retrieve)
            reply = yield from ask(self._selecting(episode, number, found))
            episode.give(number, self.dialect.answer(reply.text, episode.marks))

    def _manage(self, episode: Episode, fact: str) -> Generator[Request, Any, None]:
        found = yield from self.search(episode, fact)
        fields = {"memories": self.prompts.listed([entry.text for entry in found]), "items": replies.dumped(fact)}
        if self.prompts.in_dialect:
            fields = {"memories": self.dialect.memories(found), "items": " ".join(fact.splitlines())}
        reply = yield from ask(self.call(episode, "manager", fields, Expects.OPERATIONS, items=[fact]))
        ops = self.parse(Expects.OPERATIONS, reply.text, episode.marks)
        yield from apply([op for op in ops if op.kind in EVENTS][:1])

    def _selecting(self, episode: Episode, question: int, found: Sequence[MemoryEntry]) -> Observation:
        """The reader prompt of the dialect, behind the request to select."""
        asked = self.answering(episode, question, {"memories": self.dialect.memories(found)})
        told = self.prompts.messages("answer", {})[-1].content
        *before, last = asked.messages
        content = f"{told}\n\n{last.content}" if told else last.content
        messages = (*before, Message(last.role, content))
        return replace(asked, messages=messages, items=tuple(entry.text for entry in found))

    def write(self, expects: Expects, ops: Sequence[MemoryOp], answer: str | None = None) -> str:
        if self.prompts.in_dialect:
            return Workflow.write(self, expects, ops, answer)
        if expects is Expects.ANSWER:
            selected = [op.text for op in ops if op.kind is OpKind.READ]
            return "\n".join([*selected, super().write(expects, [], answer)])
        return super().write(expects, ops, answer)

    def parse(self, expects: Expects, reply: str, marks: Marks = MARKS) -> tuple[MemoryOp, ...]:
        if self.prompts.in_dialect:
            found = Workflow.parse(self, expects, reply, marks)
            if expects is Expects.FACTS:
                return tuple(op for op in found if op.kind is OpKind.CREATE and op.defect is None and op.text)
            return found
        return () if expects is Expects.ANSWER else super().parse(expects, reply, marks)
