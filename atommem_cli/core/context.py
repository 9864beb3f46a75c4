"""The conversation of one episode, for agents whose prompts grow: messages with ids, and the only place where they are
edited.

What an agent says and hears is added as it comes. What a policy does to its own context is an operation with an
outcome, as everything that it does to its memory: FILTER removes messages, SUMMARIZE puts one in their place (AgeMem,
arXiv 2601.01885, its tools Filter and Summary). Which messages an operation means stands in `MemoryOp.targets`, so that
a journal can be carried out again without a model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from atommem_cli.core.calls import Generation, Message
from atommem_cli.core.effects import EFFECTS, Done
from atommem_cli.core.set_hash import SetHash
from atommem_cli.core.types import MemoryOp, OpKind, OpResult, Outcome

SUMMARY_ROLE = "user"
"""Whose message a summary is."""


@dataclass(frozen=True, slots=True)
class ContextMessage:
    """One message of a context."""

    id: int
    """Counts from 1 within the episode; never reused."""
    message: Message


class Context:
    """One episode's conversation, oldest message first."""

    def __init__(self, dropped: frozenset[OpKind] = frozenset()) -> None:
        """
        Args:
            dropped: kinds of operation that are refused with FORBIDDEN.
        """
        self.dropped = dropped
        self._messages: list[ContextMessage] = []
        self._new: list[ContextMessage] = []
        self._made = 0
        self._set = SetHash()

    @property
    def entries(self) -> tuple[ContextMessage, ...]:
        """All messages with their ids."""
        return tuple(self._messages)

    @property
    def next_id(self) -> int:
        """The id of the message that comes next: prompts may show ids."""
        return self._made + 1

    @property
    def messages(self) -> tuple[Message, ...]:
        """What a prompt shows."""
        return tuple(entry.message for entry in self._messages)

    @property
    def digest(self) -> str:
        """16 hexadecimal digits over ids, roles and contents: a set hash, as `memory.Memory.digest`."""
        return f"{self._set.value:064x}"[:16]

    @property
    def used(self) -> bool:
        """Whether there ever was a message."""
        return self._made > 0

    def add(self, role: str, content: str) -> int:
        """Put a message at the end; its id."""
        return self._append(Message(role, content))

    def hear(self, reply: Generation) -> int:
        """Put a reply of the policy at the end, as the very tokens that were sampled where they are known; its id."""
        return self._append(Message("assistant", reply.text, reply.token_ids))

    def take_shown(self, prompt: Sequence[Message]) -> tuple[ContextMessage, ...]:
        """The messages that a prompt shows for the first time, by what they say; the others wait for a later one."""
        if not self._new:
            return ()
        there = {(message.role, message.content) for message in prompt}
        new = [entry for entry in self._new if entry in self._messages]
        shown = tuple(entry for entry in new if (entry.message.role, entry.message.content) in there)
        self._new = [entry for entry in new if entry not in shown]
        return shown

    def apply(self, ops: Sequence[MemoryOp]) -> tuple[OpResult, ...]:
        """Run the edits of one reply, in order of appearance; refused ones are results, too."""
        before_reply = set(self._editable())
        results = []
        for op in ops:
            before = self.digest
            outcome, entry = self._run(op, before_reply)
            results.append(OpResult(op, outcome, entry, before, self.digest))
        return tuple(results)

    def _run(self, op: MemoryOp, before_reply: set[int]) -> tuple[Outcome, int | None]:
        if op.kind in self.dropped:
            return Outcome.FORBIDDEN, None
        if op.defect is not None:
            return op.defect, None
        here = self._editable()
        gone = [target for target in op.targets if target not in here]
        if gone:
            stale = all(target in before_reply for target in gone)
            return (Outcome.STALE_TARGET if stale else Outcome.INVALID_TARGET), None
        text = op.text.strip()
        if not op.targets or (op.kind is OpKind.SUMMARIZE and not text):
            return Outcome.NOOP, None
        made = self._made + 1 if op.kind is OpKind.SUMMARIZE else None
        first = min(here[target] for target in op.targets)
        for edit in EFFECTS[op.kind](Done(text, made, tuple(dict.fromkeys(op.targets)))):
            if edit.verb == "remove":
                self._remove(edit.id)
            else:
                self._put(first, Message(SUMMARY_ROLE, edit.text))
        return Outcome.OK, made

    def _editable(self) -> dict[int, int]:
        """Where the messages are that an operation may name, by id: all but instructions."""
        return {entry.id: at for at, entry in enumerate(self._messages) if entry.message.role != "system"}

    def _append(self, message: Message) -> int:
        entry = self._put(len(self._messages), message)
        self._new.append(entry)
        return entry.id

    def _put(self, at: int, message: Message) -> ContextMessage:
        self._made += 1
        entry = ContextMessage(self._made, message)
        self._messages.insert(at, entry)
        self._set.add(_member(entry))
        return entry

    def _remove(self, target: int | None) -> None:
        entry = next(entry for entry in self._messages if entry.id == target)
        self._messages.remove(entry)
        self._set.remove(_member(entry))


def _member(entry: ContextMessage) -> str:
    return f"{entry.id}:{entry.message.role}:{entry.message.content}"
