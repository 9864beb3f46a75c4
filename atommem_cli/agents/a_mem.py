"""A-MEM (arXiv 2502.12110): a note of each document, linked with those before it, which it rewrites.

The policy writes keywords, a sentence of context and tags of each document; shown the five nearest notes, it links the
new one with some of them and rewrites their context and tags. Sources: `variant: paper` is WujiangXu/AgenticMemory
(read in its forks WoodySJR/AgenticMemory@a475606 and Coriana/AgenticMemory@3fbee8f), `variant: library` is
agiresearch/A-mem@a5b9ded (papers.md 3.5). Five neighbours and 100 evolutions are constants of both.

* Note and vector: an entry is the document; keywords, context, tags and links are its metadata. The library finds
  notes by their documents, as the store does. The paper's code finds them by context and keywords alone, and so does
  the agent here, by vectors of its own.
* Rebuilt every 100 evolutions: until then the vectors are those of the time when notes were added, whatever was
  rewritten since; after it they are of document, context, keywords and tags (the paper's code makes them so). The
  library's vectors do not change; it also shows rewritten notes as they were until then, which is mended here.
* A question: the paper's code asks for keywords and looks for these, and shows linked notes beside those found, as
  many again; here each note once. The library looks for the question, and cuts what it shows to k, so that links add
  nothing. k is the recipe's, unless `k` says otherwise (the paper's code: 10).
* By WujiangXu/A-mem@17ce6b6 the paper's code lets one linked note more through, and then one more for each note found,
  and its evolution prompt leaves out the new note's tags; here k linked notes are the most, and the tags are shown. In
  the text of a rebuilt vector commas part keywords and tags (there: spaces).
* Faults of the library as options: `neighbours: positions`, `analysis: false`. Mended: keywords that cannot be read
  are the question (there: the raw reply), and an unreadable reply changes nothing (the paper's code raises).

Calls: two a document, two a question; of the library one a question, and one for the first document.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

from pydantic import PositiveInt

from atommem_cli.agents import _json_reply as replies
from atommem_cli.agents import _workflow
from atommem_cli.agents._a_mem_notes import GENERAL, STRENGTHEN, Evolution, Note, analysis, evolution
from atommem_cli.agents._steps import document_text
from atommem_cli.agents._workflow import Workflow, documents
from atommem_cli.core.calls import Expects
from atommem_cli.core.episode import Episode, Play, Request, apply, ask, embed
from atommem_cli.core.errors import UsageError
from atommem_cli.core.memory import Text
from atommem_cli.core.thoughts import MARKS, Marks
from atommem_cli.core.types import Chunk, MemoryEntry, MemoryOp, OpKind
from atommem_cli.core.workload import Shape, Workload

if TYPE_CHECKING:
    from atommem_cli.core.store import Vector

__all__ = ["Options", "build"]

NEAREST = 5
"""Notes that are shown with a new one (`find_related_memories(note.content, k=5)`)."""
REBUILD = 100
"""Evolutions after which vectors are made anew (`evo_threshold`)."""


class Options(_workflow.Options):
    """Keys of the recipe's `agent` section."""

    variant: Literal["paper", "library"] = "paper"
    """Whose code: of the paper's experiments (found by context and keywords, with linked notes), or of the library
    (found by documents)."""
    analysis: bool = True
    """Whether notes are analysed; false is the library before it did, and its notes have neither keywords nor tags."""
    neighbours: Literal["ids", "positions"] = "ids"
    """What a rewritten neighbour is. ids: the note that was shown; positions: as the library has it, a number that
    names the first notes of the memory, whichever were shown, and that no link can be made of."""
    k: PositiveInt | None = None
    """Notes found for a question; null is the recipe's `memory.retrieve_k`."""


def build(options: Options) -> AMem:
    """The agent.

    Raises:
        UsageError: a fault of the library, in the other variant.
    """
    if options.variant == "paper" and (options.neighbours == "positions" or not options.analysis):
        key = "analysis" if not options.analysis else "neighbours"
        raise UsageError(f"agent.{key}: a fault of the library, and not of the paper's code: set agent.variant=library")
    return AMem(options)


@dataclass
class _Index:
    """Vectors of the agent's own, by entry, and how often notes have evolved."""

    vectors: dict[int, Vector] = field(default_factory=dict)
    evolved: int = 0


class AMem(Workflow):
    """Keeps a note of each document, and lets new notes rewrite old ones."""

    name = "a_mem"
    operations = (OpKind.CREATE, OpKind.UPDATE, OpKind.READ)
    addressing = "seen"
    prompt_fields = MappingProxyType(
        {
            "analysis": frozenset({"document"}),
            "evolution": frozenset({"document", "items"}),
            "keywords": frozenset({"question"}),
        }
    )

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self._paper, self._analysed, self._k = options.variant == "paper", options.analysis, options.k
        self._positions = options.neighbours == "positions"
        self.embeds = self._paper
        self.source = "WujiangXu/AgenticMemory" if self._paper else "agiresearch/A-mem@a5b9ded"

    def workload(self, shape: Shape, reply: int) -> Workload:
        looks = max(shape.documents - 1, 0)
        evolutions = shape.documents if self._paper else looks
        asked = shape.questions if shape.documents else 0
        calls = self._analysed * shape.documents + evolutions + self._paper * asked + shape.questions
        retrievals = looks + asked
        return Workload((calls, calls), (retrievals, retrievals))

    def play(self, episode: Episode) -> Play:
        index = _Index()
        for chunk in episode.chunks:
            for document in documents(episode, chunk):
                yield from self._add(episode, chunk, document_text(document), index)
        for number in range(len(episode.task.questions)):
            found = yield from self._found(episode, number, index)
            told = [MemoryEntry(one.id, Note.of(one.meta).told(one.text), one.meta) for one in found]
            yield from self.read_answer(episode, number, {"memories": self.memories(episode, told)})

    # --- reading

    def _add(self, episode: Episode, chunk: Chunk, text: str, index: _Index) -> Generator[Request, Any, None]:
        """A note of a document: analysed, linked, and its neighbours rewritten."""
        note = Note()
        if self._analysed:
            asked = self.call(episode, "analysis", {"document": text}, Expects.FACTS, chunk=chunk)
            note = analysis(replies.said((yield from ask(asked)).text, episode.marks))
        near = yield from self._near(episode, text, NEAREST, index)
        change = Evolution()
        if near or self._paper:  # the paper's code asks of the first note, too
            there = [Note.of(one.meta).told(one.text) for one in near]
            fields = {"document": note.told(text), "items": self.prompts.listed(there)}
            asked = self.call(episode, "evolution", fields, Expects.CHOICE, chunk=chunk, items=there)
            change = evolution(replies.said((yield from ask(asked)).text, episode.marks))
        links = () if self._positions else tuple(near[n - 1].id for n in change.links if n <= len(near))
        note = note._replace(links=links, tags=note.tags if change.tags is None else change.tags)
        ops = [MemoryOp(OpKind.CREATE, text, meta=note.meta)]
        named = episode.memory.entries[: len(near)] if self._positions else near
        for entry, (context, tags) in zip(named, change.neighbours, strict=False):
            was = Note.of(entry.meta)
            new = was._replace(context=was.context if context is None else context, tags=tags)
            ops.append(MemoryOp(OpKind.UPDATE, entry.text, entry.id, meta=new.meta))
        yield from apply(ops)
        index.evolved += change.evolved
        if self._paper and change.evolved and index.evolved % REBUILD == 0:
            yield from self._rebuild(episode, index)

    def _rebuild(self, episode: Episode, index: _Index) -> Generator[Request, Any, None]:
        notes = [(entry, Note.of(entry.meta)) for entry in episode.memory.entries]
        texts = [f"{entry.text} , {note.context} {note.keywords} {note.tags}" for entry, note in notes]
        if texts:
            vectors = yield from embed([Text(text, False) for text in texts])
            index.vectors = {entry.id: row for (entry, _), row in zip(notes, vectors, strict=True)}

    def _near(
        self, episode: Episode, query: str, k: int | None, index: _Index
    ) -> Generator[Request, Any, tuple[MemoryEntry, ...]]:
        """The nearest notes, best first."""
        if not self._paper:
            return (yield from self._stored(episode, query, k))
        entries = episode.memory.entries
        if not entries or not (yield from self.look_up(episode, query)):
            return ()
        news = [entry for entry in entries if entry.id not in index.vectors]
        texts = [Note.of(entry.meta) for entry in news]
        (asked, *rows) = yield from embed(
            [Text(query, True), *(Text(f"{note.context} keywords: {note.keywords}", False) for note in texts)]
        )
        index.vectors.update((entry.id, row) for entry, row in zip(news, rows, strict=True))
        near = sorted(entries, key=lambda entry: -float(index.vectors[entry.id] @ asked))
        return episode.memory.present([entry.id for entry in near[: k or episode.memory.k]])

    def _stored(self, episode: Episode, query: str, k: int | None) -> Generator[Request, Any, tuple[MemoryEntry, ...]]:
        """The nearest ones as the store has them, by their documents."""
        return (yield from self.search(episode, query, k)) if episode.memory.entries else ()

    # --- answering

    def _found(self, episode: Episode, number: int, index: _Index) -> Generator[Request, Any, tuple[MemoryEntry, ...]]:
        """The notes for a question: the nearest ones, each followed by those that it links."""
        query = episode.task.questions[number].text
        if not (self._paper and episode.chunks):  # where nothing was read, the question is asked at once (ladders)
            return (yield from self._stored(episode, query, self._k))
        if episode.memory.entries:
            asked = self.call(episode, "keywords", {"question": query}, Expects.FACTS, question=number)
            named = replies.items(replies.said((yield from ask(asked)).text, episode.marks), "keywords")
            query = ", ".join(replies.texts(named)) or query
        near = yield from self._near(episode, query, self._k, index)
        there = {entry.id for entry in episode.memory.entries}
        shown, room = dict.fromkeys(entry.id for entry in near), self._k or episode.memory.k
        order: dict[int, None] = {}
        for entry in near:
            order[entry.id] = None
            for link in Note.of(entry.meta).links:
                if room and link in there and link not in shown and link not in order:
                    order[link], room = None, room - 1
        return episode.memory.present([*order])

    # --- the grammar

    def write(self, expects: Expects, ops: Sequence[MemoryOp], answer: str | None = None) -> str:
        if expects is Expects.FACTS:
            return replies.dumped({"keywords": [op.text for op in ops], "context": GENERAL, "tags": []})
        if expects is Expects.CHOICE:
            links = [op.target for op in ops if op.target]
            return replies.dumped(
                {"should_evolve": bool(links), "actions": [STRENGTHEN], "suggested_connections": links}
            )
        return super().write(expects, ops, answer)

    def parse(self, expects: Expects, reply: str, marks: Marks = MARKS) -> tuple[MemoryOp, ...]:
        said = replies.said(reply, marks)
        if expects is Expects.FACTS:
            return tuple(MemoryOp(OpKind.CREATE, text) for text in replies.texts(replies.items(said, "keywords")))
        if expects is Expects.CHOICE:
            return tuple(MemoryOp(OpKind.READ, target=number) for number in evolution(said).links)
        return super().parse(expects, reply, marks)
