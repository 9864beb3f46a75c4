"""The demonstrator that looks before it writes: it reads about a fact, sees its entry as the first one, and decides.

It keeps every fact, whatever is asked. What it must compare stands side by side, the query and the first entry, so that
a small model can learn it, and a k of 1 is enough. It needs chunks of one statement, and `limits.reads` of 2 for a
second hop: what the first hop has found goes to the scratchpad while the second is looked up. Its faults, where it is
hasty: it forgets to look, to store, and to correct, and what it forgets to correct stays as it is, without a second
entry. Paths of three hops are beyond it.

Where the context is the policy's own (AgeMem), it takes out what is beside the point, a passage of distractors, by the
name that the passage begins with, and the first hop stays in the conversation. Where it is hasty, its context fills up.
"""

from __future__ import annotations

from atommem_cli.core.calls import Expects
from atommem_cli.core.stream_facts import UNKNOWN
from atommem_cli.core.types import CONTEXT_OPS, Event, MemoryOp, OpKind, Question
from atommem_cli.policies._sloppy import CAREFUL, Demonstrator, Rates, about

HASTY = Rates(store=0.7, read=0.9, update=0.15, delete=0.15, filter=0.15, summarize=0.1)
THOROUGH = CAREFUL._replace(filter=1.0)


class LookingDemonstrator(Demonstrator):
    """One reply of it."""

    def _read(self) -> str:
        if edits := self._cleared():
            return self._episode.agent.write(Expects.OPERATIONS, edits)
        events = self._news(self._episode.task.questions)
        look = self._look_at(about(events[0]), 0) if events else []
        ops = look or [op for event in events for op in self._keep(event)]
        return self._episode.agent.write(Expects.OPERATIONS, ops)

    def _matters(self, event: Event, questions: tuple[Question, ...]) -> bool:
        return True

    def _keep(self, event: Event) -> list[MemoryOp]:
        held = self._value(event.subject, event.relation) is not None
        return [op for op in super()._keep(event) if op.kind is not OpKind.CREATE or not held]

    def _answer(self, path: tuple[str, ...]) -> str:
        write = self._episode.agent.write
        *links, relation = path[1:]
        subject = path[0]
        notes: list[MemoryOp] = []
        for link in links[:1]:
            fact = f"{subject} {link}"
            noted = self._noted(path)
            if not noted and (look := self._look_at(fact, 0)):
                return write(Expects.ANSWER, look)
            found = noted or self._value(subject, link)
            if not found:
                return write(Expects.ANSWER, [], UNKNOWN)
            subject = found
            if not noted:
                notes = [MemoryOp(OpKind.SCRATCHPAD, f"{fact} {subject}")]
        if look := self._look_at(f"{subject} {relation}", len(links)):
            return write(Expects.ANSWER, [*notes, *look])
        return self._concluded(path, self._value(subject, relation) or UNKNOWN)

    def _cleared(self) -> list[MemoryOp]:
        """An edit of the context, where the chunk is nothing but distractors that state no single fact."""
        chunk = self._episode.chunks[self._observation.chunk or 0]
        passages = [self._episode.task.documents[i] for i in chunk.documents]
        keeps_context = not {*self._episode.agent.operations}.isdisjoint(CONTEXT_OPS)
        if not keeps_context or not all(one.distractor and one.event is None for one in passages):
            return []
        if self._does("filter"):
            return [MemoryOp(OpKind.FILTER, passages[0].text.split()[0])]
        return [MemoryOp(OpKind.SUMMARIZE, "none")] if self._does("summarize") else []

    def _noted(self, path: tuple[str, ...]) -> str:
        """What the first hop has found, once the second is looked up."""
        if OpKind.SCRATCHPAD in self._episode.agent.operations:
            return self._episode.memory.scratchpad.partition(f"{path[0]} {path[1]} ")[2]
        second = self._observation.reads_left < self._episode.limits.reads - 1
        return (self._link(path) if second else None) or ""

    def _look_at(self, fact: str, before: int) -> list[MemoryOp]:
        """A Read, where it has read so many times about this chunk or question, unless it forgets to."""
        due = self._observation.reads_left == self._episode.limits.reads - before and self._observation.reads_left
        if not due or not self._episode.agent.reads_again or not self._does("read"):
            return []
        return [MemoryOp(OpKind.READ, fact)]
