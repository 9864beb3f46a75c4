"""Which messages a Filter or a Summary means, and what a summary says: by vectors, or in model calls of their own."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from atommem_cli.agents._agemem_arguments import SPAN
from atommem_cli.agents._agemem_options import Options
from atommem_cli.agents._agemem_rounds import editable, spanned
from atommem_cli.agents._agemem_words import FAULT, Words
from atommem_cli.core.calls import POLICY, Expects, Message, Observation
from atommem_cli.core.context import ContextMessage
from atommem_cli.core.episode import Episode, Request, ask, embed
from atommem_cli.core.memory import Text
from atommem_cli.core.thoughts import Marks
from atommem_cli.core.types import MemoryOp, OpKind, Outcome

Parse = Callable[[Expects, str, Marks], tuple[MemoryOp, ...]]
_OBJECT = re.compile(r"\{[^{}]*\}")


class Aim:
    """Of one episode."""

    def __init__(self, options: Options, words: Words, parse: Parse, episode: Episode) -> None:
        self._options, self._words, self._parse, self._episode = options, words, parse, episode
        self._further = options.further_calls
        """Calls that tools may still make."""

    def leaves(self, op: MemoryOp) -> bool:
        """Whether an operation leaves it to the agent which messages it means."""
        aims = op.kind in (OpKind.SUMMARIZE, OpKind.FILTER) and op.kind not in self._episode.memory.dropped
        return aims and op.defect is None and not op.targets

    def at(self, op: MemoryOp, reply: int) -> Generator[Request, Any, MemoryOp]:
        """Such an operation with its messages, and a Summary with its text.

        Args:
            reply: the id of the message that calls for it, which it does not mean.
        """
        return (yield from (self._filter(op, reply) if op.kind is OpKind.FILTER else self._sum_up(op, reply)))

    def _filter(self, op: MemoryOp, reply: int) -> Generator[Request, Any, MemoryOp]:
        """A Filter with the messages that are near to its criteria."""
        entries = [entry for entry in editable(self._episode.context.entries, reply) if entry.message.content.strip()]
        if not op.text.strip() or not entries:
            return op
        if self._options.filter == "helper":
            if not self._further:
                return replace(op, defect=Outcome.OVER_BUDGET)
            near = yield from self._judged(op.text, entries)
        else:
            texts = [Text(op.text, True), *(Text(entry.message.content, False) for entry in entries)]
            vectors = yield from embed(texts)
            cosines = (vectors[1:] @ vectors[0]).tolist()
            near = dict(zip((entry.id for entry in entries), cosines, strict=True))
        gone = tuple(entry.id for entry in entries if near.get(entry.id, 0.0) >= self._options.filter_threshold)
        return replace(op, targets=gone)

    def _judged(self, criteria: str, entries: Sequence[ContextMessage]) -> Generator[Request, Any, Mapping[int, float]]:
        """How near each message is to the criteria, as a model says; nothing about those that it leaves out."""
        told = {"criteria": criteria, "messages": self._words.conversation(entries, numbered=True)}
        self._further -= 1
        prompt = Message("user", self._words.message("filter", told))
        reply = yield from ask(Observation((prompt,), self._episode.limits.reply, Expects.NOTES), to="filter")
        for found in _OBJECT.findall(reply.text)[-1:]:
            try:
                said = json.loads(found)
            except ValueError:
                return {}
            return {int(key): float(value) for key, value in said.items() if key.isdecimal() and _is_share(value)}
        return {}

    def _sum_up(self, op: MemoryOp, reply: int) -> Generator[Request, Any, MemoryOp]:
        """A Summary with its messages and its text; it asks for the text where the call does not bring one along."""
        entries = editable(self._episode.context.entries, reply)
        targets = spanned(dict(op.meta).get(SPAN, "all"), entries)
        if targets is None:
            return replace(op, defect=Outcome.MALFORMED, meta=(*op.meta, (FAULT, "there is no such span")))
        aimed = replace(op, targets=targets)
        if op.text.strip() or not targets:
            return aimed
        if not self._further:
            return replace(aimed, defect=Outcome.OVER_BUDGET)
        self._further -= 1
        messages = self._words.conversation([entry for entry in entries if entry.id in targets])
        prompt = Message("user", self._words.message("summary", {"messages": messages}))
        own = self._options.summary == "policy"
        trained = own and self._options.train_summary
        observation = Observation((prompt,), self._episode.limits.reply, Expects.NOTES, trained=trained)
        written = yield from ask(observation, to=POLICY if own else "summary")
        notes = self._parse(Expects.NOTES, written.text, self._episode.marks)
        return replace(aimed, text=notes[-1].text if notes else "")


def _is_share(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1
