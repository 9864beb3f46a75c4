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

`variant: add_only`, 2.2.1: the 10 entries nearest to the chunk are shown, and the beginnings of the 10 chunks before;
one call takes out what is new, and what none of the entries shown says word by word is added. For a question, the
entries nearest to it, four times as many as are shown or 60, are ranked by the sum of three signals (`memory/main.py`,
`utils/scoring.py`): cosine, which alone decides on what is below 0.1 (`threshold`); BM25, squeezed (`keyword_search`);
and what entities of the question that entries share are worth (`entities`). So it is with everything installed: the
entities come with `mem0ai[nlp]`, keyword search in Qdrant with fastembed besides, which is in `mem0ai[extras]`. Without
either (`keyword_search: none`, `entities: false`) it is the cosine alone.

What is otherwise here: no spaCy is loaded, so that words are not lemmatized before they are stemmed, and entities are
found by a rule (`_mem0_entities.py`); how rare a word is, is counted in the episode alone (there: in the collection,
of all users). The policy is told no date (there: the day of the call, as the day of the conversation, too), and no
role stands before a chunk. What its reply says of links between entries is never read there, nor asked for here.
`reading: lenient` mends the one fault: an item that is no object loses the whole reply, and the chunk is no earlier one
to the next. The options of classic mean nothing to it; `extractor` does. tests/bench/bench_mem0_add.py plays both.

Calls: one a chunk, one a question; as many lookups.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Literal

from pydantic import Field, NonNegativeInt

from atommem_cli.agents import _edits, _workflow
from atommem_cli.agents import _json_reply as replies
from atommem_cli.agents import _mem0_entities as entities
from atommem_cli.agents import _mem0_keywords as keywords
from atommem_cli.agents import _mem0_replies as added
from atommem_cli.agents._edits import Editing, Edits
from atommem_cli.agents._mem0_entities import Links
from atommem_cli.core.calls import Expects
from atommem_cli.core.episode import Episode, Play, Request, apply, ask, embed
from atommem_cli.core.errors import UsageError
from atommem_cli.core.memory import Text
from atommem_cli.core.thoughts import MARKS, Marks
from atommem_cli.core.types import Chunk, MemoryEntry, MemoryOp, OpKind
from atommem_cli.core.workload import Shape, Workload

__all__ = ["Options", "build"]

RELATED = 5
"""Entries that are looked up for a fact: `limit=5` in `_add_to_vector_store`."""
BESIDE = 10
"""Entries that are shown beside a chunk where nothing is updated: `top_k=10` in 2.2.1."""
BEGINNING = 300
"""Characters of an earlier chunk that are shown (`PAST_MESSAGE_TRUNCATION_LIMIT`)."""
WIDER, LEAST = 4, 60
"""Entries that are ranked: so many times those that are shown, and no fewer than these (`internal_limit`)."""
ADD_ONLY = ("earlier", "keyword_search", "entities", "threshold", "reading")
"""Options of that variant alone."""
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
    earlier: NonNegativeInt = Field(10, exclude_if=lambda value: value == 10)
    """add_only: chunks before this one whose beginnings are shown (`get_last_messages`)."""
    keyword_search: Literal["content", "words", "none"] = Field("content", exclude_if=lambda value: value == "content")
    """add_only: whether entries are ranked by their words, too. content: by those that spaCy would leave there (mem0ai
    with fastembed and spaCy), words: by all but stop words (with fastembed alone), none (with neither)."""
    entities: bool = Field(True, exclude_if=lambda value: value)
    """add_only: whether entries are ranked by the names that they share with the question, too (mem0ai with spaCy)."""
    threshold: float = Field(0.1, ge=-1, le=1, exclude_if=lambda value: value == 0.1)
    """add_only: least cosine of an entry and the question, whatever else speaks for it."""
    reading: Literal["strict", "lenient"] = Field("strict", exclude_if=lambda value: value == "strict")
    """add_only: how replies are read. strict: JSON alone, and an item that is no object loses all of them (mem0ai);
    lenient: whatever list of texts or objects is in them (mended)."""


def build(options: Options) -> Mem0:
    """The agent.

    Raises:
        UsageError: an option of one variant, in the other.
    """
    named = [key for key in ADD_ONLY if getattr(options, key) != Options.model_fields[key].default]
    if named and options.variant == "classic":
        raise UsageError(f"agent.{named[0]}: of mem0ai 2.2.1 alone: set agent.variant=add_only")
    return Mem0(options)


class Mem0(Editing):
    """Takes facts out of chunks, and settles them with what it has."""

    name = "mem0"
    source = "mem0ai 1.0.11"
    prompt_fields = MappingProxyType(
        {
            "preferences": frozenset({"chunk"}),
            "facts": frozenset({"chunk"}),
            "deleting": frozenset({"memories", "items"}),
            "replacing": frozenset({"memories", "items"}),
            "additions": frozenset({"earlier", "memories", "chunk"}),
        }
    )

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self._options = options
        self._adds = self.embeds = options.variant == "add_only"
        self.calls_per_chunk = 1 if self._adds else 2
        self.operations = (OpKind.CREATE, OpKind.READ, *(() if self._adds else (OpKind.UPDATE, OpKind.DELETE)))
        self._extraction, self._added = options.extraction, options.unknown_id == "added"
        self._settling = "deleting" if options.contradiction == "delete" else "replacing"
        self._extractor = self.asked_of("extractor", options.extractor)
        self.edits = Edits(EVENTS, "NONE", exact=not self._added, texted=options.textless_delete == "lost")

    def workload(self, shape: Shape, reply: int) -> Workload:
        asked, alone = shape.questions, shape.chunks + shape.questions
        if self._adds:
            return Workload((alone, alone), (asked, alone))
        return Workload((shape.chunks + asked, 2 * shape.chunks + asked), (asked, shape.chunks * reply + asked))

    def play(self, episode: Episode) -> Play:
        if self._adds:
            yield from self._add_and_answer(episode)
            return
        for chunk in episode.chunks:
            asked = self.call(episode, self._extraction, {"chunk": chunk.text}, Expects.FACTS, chunk=chunk)
            reply = yield from ask(asked, self._extractor)
            facts = [op.text for op in self.parse(Expects.FACTS, reply.text, episode.marks)]
            if facts:
                yield from self._settle(episode, facts)
        yield from self.look_up_and_answer(episode)

    # --- add_only

    def _add_and_answer(self, episode: Episode) -> Play:
        earlier: list[str] = []
        for chunk in episode.chunks:
            if (yield from self._add(episode, chunk, earlier[-self._options.earlier :])):
                text = chunk.text
                earlier.append(text if len(text) <= BEGINNING else f"{text[:BEGINNING]}...")
        links = Links()
        for number, question in enumerate(episode.task.questions):
            found = yield from self._found(episode, question.text, links)
            yield from self.read_answer(episode, number, {"memories": self.memories(episode, found)})

    def _add(self, episode: Episode, chunk: Chunk, earlier: Sequence[str]) -> Generator[Request, Any, bool]:
        """Add what a chunk says and no entry beside it does, and whether that went well."""
        beside = [entry.text for entry in (yield from self.search(episode, chunk.text, BESIDE))]
        fields = {"memories": self.prompts.listed(beside, first=0), "chunk": chunk.text}
        if self._options.earlier:
            fields["earlier"] = "\n".join(earlier)
        asked = self.call(episode, "additions", fields, Expects.FACTS, chunk=chunk)
        reply = yield from ask(asked, self._extractor)
        found = self.parse(Expects.FACTS, reply.text, episode.marks)
        broken = [op for op in found if op.defect]
        news = dict.fromkeys(op.text for op in found if op.text not in beside)
        yield from apply(broken or [MemoryOp(OpKind.CREATE, text) for text in news])
        return not broken

    def _found(self, episode: Episode, query: str, links: Links) -> Generator[Request, Any, tuple[MemoryEntry, ...]]:
        """The entries of the highest sums, best first."""
        memory = episode.memory
        if not (yield from self.look_up(episode, query)):
            return ()
        if not (episode.chunks or episode.limits.reads):  # what a ladder gives is in order
            return memory.show()
        near = memory.show(max(WIDER * memory.k, LEAST))
        asked, *rows = yield from embed([Text(query.strip(), True), *(Text(entry.text, False) for entry in near)])
        sums = {entry.id: float(row @ asked) for entry, row in zip(near, rows, strict=True)}
        close = {entry for entry, cosine in sums.items() if cosine >= self._options.threshold}
        everything = {entry.id: entry.text for entry in memory.entries}
        for gains in (
            self._by_keywords(query, everything, max(WIDER * memory.k, LEAST)),
            (yield from self._by_entities(query, everything, links)),
        ):
            sums = {entry: total + gains.get(entry, 0.0) for entry, total in sums.items()}
        # The sum is not divided by what it could be at most, as it is there: the order is the same.
        best = sorted((entry for entry in sums if entry in close), key=lambda entry: -sums[entry])
        return memory.present(best[: memory.k])

    def _by_keywords(self, query: str, entries: Mapping[int, str], most: int) -> dict[int, float]:
        how = self._options.keyword_search
        if how == "none":
            return {}
        gains = keywords.scores(query, [*entries.values()], content=how == "content", most=most)
        return dict(zip(entries, gains, strict=True))

    def _by_entities(
        self, query: str, entries: Mapping[int, str], links: Links
    ) -> Generator[Request, Any, dict[int, float]]:
        asked = entities.asked(query) if self._options.entities else []
        if not asked:
            return {}
        news = links.new(entries)
        vectors = yield from embed([*(Text(one, True) for one in asked), *(Text(one, False) for _, one in news)])
        links.link(news, [*vectors[len(asked) :]])
        return links.boosts(vectors[: len(asked)])

    # --- classic

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
        if self._adds and expects is Expects.FACTS:
            return added.written(ops)
        return super().write(expects, ops, answer)

    def parse(self, expects: Expects, reply: str, marks: Marks = MARKS) -> tuple[MemoryOp, ...]:
        if self._adds and expects is Expects.FACTS:
            read = added.strict if self._options.reading == "strict" else added.lenient
            return read(replies.said(reply, marks))
        return super().parse(expects, reply, marks)
