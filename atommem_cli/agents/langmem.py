"""LangMem's background manager (langmem 0.0.30, `knowledge/extraction.py`; papers.md 3.8).

For each chunk up to 5 entries are looked up, and one call inserts, updates and deletes beside them (`max_steps` 1). For
a question, entries are looked up with its text.

What is otherwise here: an update gives the whole new text (there: a JSON patch, by trustcall); what several queries
find is taken in turn, the nearest of each query first (there: by score); no schema but a text, no further phases; of
operations on one entry an Update after a Delete is lost (there: the last one counts); one on an entry that was not
shown is lost (there: asked again, and an error where that fails; where nothing was shown, the call itself is kept as
an entry). Else the same operations do the same: tests/bench/bench_langmem.py plays both.

Calls: one a chunk, with queries of a model two; one a question. Lookups: one a chunk, or one a query; one a question.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from itertools import chain, zip_longest
from types import MappingProxyType
from typing import Any, Literal

from atommem_cli.agents import _edits, _workflow
from atommem_cli.agents._edits import Editing, Edits
from atommem_cli.core.calls import Expects
from atommem_cli.core.episode import Episode, Play, Request, ask
from atommem_cli.core.types import Chunk, MemoryEntry, OpKind
from atommem_cli.core.workload import Shape, Workload

__all__ = ["Options", "build"]

RELATED = 5
"""Entries beside a chunk: `query_limit` of `create_memory_store_manager`."""
EVENTS = {OpKind.CREATE: "INSERT", OpKind.UPDATE: "UPDATE", OpKind.DELETE: "DELETE"}


class Options(_workflow.Options):
    """Keys of the recipe's `agent` section."""

    query: Literal["window", "policy", "helper"] = "window"
    """What entries are looked up with: the chunk itself (LangMem without a query model: windows of `query_limit // 4`
    messages, which is the last one), or queries that the policy or the model `helpers.query` writes."""
    deletes: bool = True
    """Whether entries may be deleted (LangMem: on by `MemoryStoreManager`, off by `create_memory_store_manager` and by
    the plain manager)."""


def build(options: Options) -> LangMem:
    """The agent."""
    return LangMem(options)


class LangMem(Editing):
    """Edits the entries that are near to a chunk."""

    name = "langmem"
    source = "langmem 0.0.30"
    facts_key = "queries"
    prompt_fields = MappingProxyType(
        {"queries": frozenset({"chunk"}), "manager": frozenset({"memories", "chunk", "deletes"})}
    )

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        kinds = (OpKind.CREATE, OpKind.READ, OpKind.UPDATE, OpKind.DELETE)
        self.operations = kinds if options.deletes else kinds[:-1]
        self.calls_per_chunk = 1 if options.query == "window" else 2
        self._query_by = self.asked_of("query", options.query)
        events = {kind: event for kind, event in EVENTS.items() if kind in self.operations}
        self.edits = Edits(events, "NONE", first=1)
        self._told = {"deletes": EVENTS[OpKind.DELETE]} if options.deletes else {}

    def workload(self, shape: Shape, reply: int) -> Workload:
        calls = shape.chunks * self.calls_per_chunk + shape.questions
        queries = shape.chunks * (1 if self.calls_per_chunk == 1 else reply)
        return Workload((calls, calls), (shape.questions, queries + shape.questions))

    def play(self, episode: Episode) -> Play:
        for chunk in episode.chunks:
            found = yield from self._related(episode, chunk)
            episode.memory.present([entry.id for entry in found])
            memories = self.prompts.listed([entry.text for entry in found])
            fields = {"memories": memories, "chunk": chunk.text, **self._told}
            reply = yield from ask(self.call(episode, "manager", fields, Expects.OPERATIONS, chunk=chunk))
            yield from _edits.in_turn(self.parse(Expects.OPERATIONS, reply.text, episode.marks))
        yield from self.look_up_and_answer(episode)

    def _related(self, episode: Episode, chunk: Chunk) -> Generator[Request, Any, list[MemoryEntry]]:
        """The entries beside a chunk."""
        queries: Sequence[str] = [chunk.text]
        if self.calls_per_chunk > 1:
            asked = self.call(episode, "queries", {"chunk": chunk.text}, Expects.FACTS, chunk=chunk)
            reply = yield from ask(asked, self._query_by)
            queries = [op.text for op in self.parse(Expects.FACTS, reply.text, episode.marks)]
        found: list[tuple[MemoryEntry, ...]] = []
        for query in queries:
            found += [(yield from self.search(episode, query, RELATED))]
        in_turn = chain.from_iterable(zip_longest(*found))
        return list({entry.id: entry for entry in in_turn if entry is not None}.values())[:RELATED]
