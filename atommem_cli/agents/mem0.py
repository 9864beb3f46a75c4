"""Mem0 (arXiv 2504.19413): mem0ai 1.0.11, which updates and deletes, and 2.2.1, which adds (papers.md 2.6, 3.6).

`variant: classic`, 1.0.11:

A chunk is one `add`. One call takes facts out of it; for each fact the 5 nearest entries are looked up; one call
decides over all that was found and all facts: ADD, UPDATE, DELETE or NONE, in order. Entries have the ids "0", "1", ...
in that prompt, in the order in which they were first found. For a question, entries are looked up with its text.

What goes wrong there is an option each, and as it is there by default (`mem0/memory/main.py`, `configs/prompts.py`):

* `extraction`: the prompt is about personal preferences and drops what an encyclopaedia says.
* `contradiction`: the prompt asks for DELETE where a fact contradicts an entry; an entry has one event, so the new fact
  is nowhere.
* `textless_delete`: an item without `text` is skipped, a DELETE too.
* `unknown_id`: an id that was not shown raises inside, and the operation is lost.

In the journal such operations are `malformed` or `invalid_target`. What is otherwise here: numbers and nulls among
facts are left out (there: their text); a list that is whole in a reply that is cut off is read (there: nothing is); a
query is embedded as a query, where encoders make a difference (there: as a memory). Else the same replies do the same:
tests/bench/bench_mem0.py plays both.

Calls: one or two a chunk (no second one without facts), one a question. Lookups: one a fact and one a question.

`variant: add_only`, 2.2.1: the 10 entries nearest to the chunk are shown, one call takes out of it what is new, and
what none of them says word by word is added. Search is by vectors alone, as there with a store without keyword search
and without spaCy; there nothing below a similarity of 0.1 is found (`store.least: 0.1`). Earlier messages are not shown
again, and no entities are linked. The options above mean nothing to it; `extractor` does.

Calls: one a chunk, one a question; as many lookups.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Literal

from pydantic import Field

from atommem_cli.agents import _edits, _workflow
from atommem_cli.agents import _json_reply as replies
from atommem_cli.agents._edits import Edits
from atommem_cli.agents._workflow import Workflow
from atommem_cli.core.calls import Expects
from atommem_cli.core.episode import Episode, Play, Request, apply, ask
from atommem_cli.core.thoughts import MARKS, Marks
from atommem_cli.core.types import Chunk, MemoryOp, OpKind
from atommem_cli.core.workload import Shape, Workload

__all__ = ["Options", "build"]

RELATED = 5
"""Entries that are looked up for a fact: `limit=5` in `_add_to_vector_store`."""
BESIDE = 10
"""Entries that are shown beside a chunk where nothing is updated: `top_k=10` in 2.2.1."""
EVENTS = MappingProxyType({OpKind.CREATE: "ADD", OpKind.UPDATE: "UPDATE", OpKind.DELETE: "DELETE"})


class Options(_workflow.Options):
    """Keys of the recipe's `agent` section."""

    variant: Literal["classic", "add_only"] = Field("classic", exclude_if=lambda value: value == "classic")
    """Which release it is: classic, mem0ai 1.0.11, or add_only, 2.2.1."""
    extraction: Literal["preferences", "facts"] = "preferences"
    """What is taken out of a chunk: what it says about a person who speaks (mem0ai), or all facts (mended)."""
    contradiction: Literal["delete", "update"] = "delete"
    """What the policy is told to do with an entry that a fact contradicts: delete it, so that neither is there
    (mem0ai), or update it (mended)."""
    textless_delete: Literal["lost", "applied"] = "lost"
    """What becomes of a DELETE that gives no text (mem0ai: lost)."""
    unknown_id: Literal["lost", "added"] = "lost"
    """What becomes of an UPDATE of an id that was not shown: it is lost, and so is any operation whose id is no text
    (mem0ai); or its text is added, and numbers are ids, too (mended)."""
    extractor: Literal["policy", "helper"] = "policy"
    """Who takes the facts out: the policy, or the model `helpers.extractor`."""


def build(options: Options) -> Mem0:
    """The agent."""
    return Mem0(options)


class Mem0(Workflow):
    """Takes facts out of chunks, and settles them with what it has."""

    name = "mem0"
    source = "mem0ai 1.0.11"
    prompt_fields = MappingProxyType(
        {
            "preferences": frozenset({"chunk"}),
            "facts": frozenset({"chunk"}),
            "deleting": frozenset({"memories", "items"}),
            "replacing": frozenset({"memories", "items"}),
            "additions": frozenset({"memories", "chunk"}),
        }
    )

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self._adds = options.variant == "add_only"
        self.calls_per_chunk = 1 if self._adds else 2
        self.operations = (OpKind.CREATE, OpKind.READ, *(() if self._adds else (OpKind.UPDATE, OpKind.DELETE)))
        self._extraction, self._added = options.extraction, options.unknown_id == "added"
        self._settling = "deleting" if options.contradiction == "delete" else "replacing"
        self._key = "memory" if self._adds else "facts"
        self._extractor = self.asked_of("extractor", options.extractor)
        self._edits = Edits(EVENTS, "NONE", exact=not self._added, texted=options.textless_delete == "lost")

    def workload(self, shape: Shape, reply: int) -> Workload:
        asked, alone = shape.questions, shape.chunks + shape.questions
        if self._adds:
            return Workload((alone, alone), (asked, alone))
        return Workload((shape.chunks + asked, 2 * shape.chunks + asked), (asked, shape.chunks * reply + asked))

    def play(self, episode: Episode) -> Play:
        for chunk in episode.chunks:
            if self._adds:
                yield from self._add(episode, chunk)
                continue
            facts = yield from self._extract(episode, self._extraction, {"chunk": chunk.text}, chunk)
            if facts:
                yield from self._settle(episode, facts)
        yield from self.look_up_and_answer(episode)

    def _extract(
        self, episode: Episode, call: str, fields: Mapping[str, str], chunk: Chunk
    ) -> Generator[Request, Any, list[str]]:
        """What a call takes out of a chunk."""
        reply = yield from ask(self.call(episode, call, fields, Expects.FACTS, chunk=chunk), self._extractor)
        return [op.text for op in self.parse(Expects.FACTS, reply.text, episode.marks)]

    def _add(self, episode: Episode, chunk: Chunk) -> Generator[Request, Any, None]:
        """Add what a chunk says and no entry beside it does."""
        beside = [entry.text for entry in (yield from self.search(episode, chunk.text, BESIDE))]
        fields = {"memories": self.prompts.listed(beside, first=0), "chunk": chunk.text}
        found = yield from self._extract(episode, "additions", fields, chunk)
        yield from apply([MemoryOp(OpKind.CREATE, text) for text in dict.fromkeys(found) if text not in beside])

    def _settle(self, episode: Episode, facts: Sequence[str]) -> Generator[Request, Any, None]:
        """Decide what becomes of the memory in view of these facts."""
        related: dict[int, str] = {}
        for fact in facts:
            for entry in (yield from self.search(episode, fact, RELATED)):
                related.setdefault(entry.id, entry.text)
        episode.memory.present([*related])
        fields = {"memories": self.prompts.listed([*related.values()], first=0), "items": replies.dumped(facts)}
        reply = yield from ask(self.call(episode, self._settling, fields, Expects.OPERATIONS, items=facts))
        ops = self.parse(Expects.OPERATIONS, reply.text, episode.marks)
        yield from _edits.in_turn(self._mended(op, len(related)) for op in ops)

    def _mended(self, op: MemoryOp, shown: int) -> MemoryOp:
        known = op.target is not None and 1 <= op.target <= shown
        if self._added and op.kind is OpKind.UPDATE and op.defect is None and not known:
            return MemoryOp(OpKind.CREATE, op.text)
        return op

    def describe(self) -> dict[str, str]:
        release = {"name": "mem0, add_only", "source": "mem0ai 2.2.1"} if self._adds else {}
        return {**super().describe(), **release}

    def write(self, expects: Expects, ops: Sequence[MemoryOp], answer: str | None = None) -> str:
        match expects:
            case Expects.FACTS:
                return _edits.facts_written(ops, self._key)
            case Expects.OPERATIONS:
                return self._edits.write(ops)
            case _:
                return super().write(expects, ops, answer)

    def parse(self, expects: Expects, reply: str, marks: Marks = MARKS) -> tuple[MemoryOp, ...]:
        match expects:
            case Expects.FACTS:
                return _edits.facts_read(replies.said(reply, marks), self._key)
            case Expects.OPERATIONS:
                return self._edits.read(replies.said(reply, marks))
            case _:
                return super().parse(expects, reply, marks)
