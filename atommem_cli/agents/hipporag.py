"""HippoRAG 2 (arXiv 2502.14802): documents as they are, found by a walk over a graph of what they say.

The policy names the entities of each document and takes triples out of it; for a question the five nearest triples are
shown, it keeps those that help, and a personalised PageRank from their phrases ranks the documents. Without a triple
the store's own search decides. Source: OSU-NLP-Group/HippoRAG@040f3c7 and its `BaseConfig` (papers.md 3.7); the
constants stand with their names there in `_hipporag_graph`. What is otherwise here:

* the policy names triples by their numbers (there: it writes them again, and the nearest text by difflib is taken);
* phrases keep letters of every alphabet; `latin_phrases` is the code's rule, under which "Łódź" is "d";
* `memory.retrieve_k` documents are shown (`qa_top_k` is 5), and the reader prompt is the dialect's, not theirs;
* the same cosine of all triples is 1, as in release 2.0.0a4 (earlier: no number); ties go to the earlier one;
* one vector of the question meets triples and passages (there: one each, by an instruction of its own);
* a triple with anything but texts and numbers is dropped (there: kept as Python writes it, or its whole reply is lost);
* two documents of the same text are two passages (there: one);
* a phrase of the least similar triple alone may start with weight 0 (there: an assertion fails).

Calls: two a document, two a question (one where there are no triples). Nothing is updated or deleted.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import PositiveInt

from atommem_cli.agents import _hipporag_graph as graphs
from atommem_cli.agents import _json_reply as replies
from atommem_cli.agents import _workflow
from atommem_cli.agents._hipporag_graph import Graph, Triple
from atommem_cli.agents._steps import document_text
from atommem_cli.agents._workflow import Workflow, documents
from atommem_cli.core.calls import Expects
from atommem_cli.core.episode import Episode, Play, Request, apply, ask, embed
from atommem_cli.core.memory import Text
from atommem_cli.core.thoughts import MARKS, Marks
from atommem_cli.core.types import MemoryEntry, MemoryOp, OpKind, Outcome
from atommem_cli.core.workload import Shape, Workload

__all__ = ["Options", "build"]


class Options(_workflow.Options):
    """Keys of the recipe's `agent` section."""

    facts: PositiveInt = 5
    """Triples that are shown for a question, and phrases that the walk starts from (`linking_top_k`)."""
    latin_phrases: bool = False
    """Whether phrases keep the letters from a to z and digits alone, as in the code."""


def build(options: Options) -> HippoRag:
    """The agent."""
    return HippoRag(options)


class HippoRag(Workflow):
    """Stores documents, links what they say, and walks from a question to them."""

    name = "hipporag"
    source = "OSU-NLP-Group/HippoRAG@040f3c7"
    operations = (OpKind.CREATE, OpKind.READ)
    embeds = True
    prompt_fields = MappingProxyType(
        {
            "entities": frozenset({"document"}),
            "triples": frozenset({"document", "entities"}),
            "filter": frozenset({"question", "items"}),
        }
    )

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self._facts, self._latin = options.facts, options.latin_phrases

    def workload(self, shape: Shape, reply: int) -> Workload:
        indexing = 2 * shape.documents
        low, high = indexing + shape.questions, indexing + 2 * shape.questions
        return Workload((low, high if shape.documents else low), (shape.questions, shape.questions))

    def play(self, episode: Episode) -> Play:
        passages: dict[int, list[Triple]] = {}
        for chunk in episode.chunks:
            for document in documents(episode, chunk):
                text = document_text(document)
                triples = yield from self._extracted(episode, chunk.index, text)
                for result in (yield from apply([MemoryOp(OpKind.CREATE, text)])):
                    if result.outcome is Outcome.OK and result.entry is not None:
                        passages[result.entry] = triples
        index = yield from self._indexed(episode, passages)
        for number in range(len(episode.task.questions)):
            found = yield from self._found(episode, number, index)
            yield from self.read_answer(episode, number, {"memories": self.dialect.memories(found)})

    def _extracted(self, episode: Episode, chunk: int, text: str) -> Generator[Request, Any, list[Triple]]:
        """What a document says, as triples of phrases: each once as it is spelled, so "Bo" and "bo" count twice."""
        here = episode.chunks[chunk]
        fields = {"document": text}
        reply = yield from ask(self.call(episode, "entities", fields, Expects.FACTS, chunk=here))
        named = replies.texts(replies.items(replies.said(reply.text, episode.marks), ENTITIES))
        fields["entities"] = replies.dumped([*dict.fromkeys(named)])
        reply = yield from ask(self.call(episode, "triples", fields, Expects.FACTS, chunk=here))
        found = self._triples(replies.said(reply.text, episode.marks))
        return [(self._phrase(s), self._phrase(r), self._phrase(o)) for s, r, o in dict.fromkeys(found)]

    def _phrase(self, text: str) -> str:
        return graphs.phrase(text, latin=self._latin)

    def _indexed(
        self, episode: Episode, passages: Mapping[int, list[Triple]]
    ) -> Generator[Request, Any, _Index | None]:
        """The graph over the documents that the store holds, with the vectors of its triples; None without triples."""
        entries = [entry for entry in episode.memory.entries if entry.id in passages]
        said = [passages[entry.id] for entry in entries]
        facts = [*dict.fromkeys(triple for triples in said for triple in triples)]
        if not facts:
            return None
        phrases = [*dict.fromkeys(text for subject, _, thing in facts for text in (subject, thing))]
        texts = [
            *map(str, facts),
            *phrases,
            *(entry.text for entry in entries),
        ]  # a triple as Python writes it, as there
        vectors = yield from embed([Text(text, False) for text in texts])
        split = len(facts), len(facts) + len(phrases)
        graph = graphs.build(said, phrases, vectors[split[0] : split[1]])
        return _Index(entries, said, facts, graph, vectors[: split[0]], vectors[split[1] :])

    def _found(
        self, episode: Episode, number: int, index: _Index | None
    ) -> Generator[Request, Any, Sequence[MemoryEntry]]:
        """The documents for a question, best first."""
        question = episode.task.questions[number].text
        nearest = yield from self.search(episode, question)
        if index is None or not nearest:
            return nearest
        (query,) = yield from embed([Text(question, True)])
        scores = graphs.spread(index.fact_vectors @ query)
        shown = np.argsort(-scores, kind="stable")[: self._facts].tolist()
        listed = self.prompts.listed([", ".join(index.facts[at]) for at in shown])
        observation = self.call(
            episode,
            "filter",
            {"question": question, "items": listed},
            Expects.CHOICE,
            question=number,
            items=[index.told(index.facts[at]) for at in shown],
        )
        reply = yield from ask(observation)
        named = [op.target for op in self.parse(Expects.CHOICE, reply.text, episode.marks) if op.target]
        kept = [shown[one - 1] for one in named if one <= len(shown)]
        if not kept:
            return nearest
        similar = graphs.spread(index.passage_vectors @ query)
        begin = graphs.start(index.graph, [(index.facts[at], scores[at]) for at in kept], similar, self._facts)
        if not begin.any():
            return nearest
        ranks = graphs.walk(index.graph, begin)
        best = np.argsort(-ranks, kind="stable")[: episode.memory.k]
        return episode.memory.present([index.entries[at].id for at in best])

    def _triples(self, said: str) -> list[Triple]:
        """Lists of three texts or numbers, as the code keeps them."""
        whole = (one for one in replies.items(said, TRIPLES) if isinstance(one, list) and len(one) == 3)
        return [
            (str(s), str(r), str(o)) for s, r, o in whole if all(isinstance(x, str | int | float) for x in (s, r, o))
        ]

    def write(self, expects: Expects, ops: Sequence[MemoryOp], answer: str | None = None) -> str:
        if expects is Expects.CHOICE:
            return replies.dumped({"facts": [op.target for op in ops if op.target]})
        if expects is not Expects.FACTS:
            return super().write(expects, ops, answer)
        triples = [_triple(op.text) for op in ops if op.text.strip()]
        named = [*dict.fromkeys(text for subject, _, thing in triples for text in (subject, thing))]
        return replies.dumped({ENTITIES: named, TRIPLES: triples})

    def parse(self, expects: Expects, reply: str, marks: Marks = MARKS) -> tuple[MemoryOp, ...]:
        if expects is Expects.CHOICE:
            return replies.choice(replies.items(replies.said(reply, marks), "facts"))
        if expects is not Expects.FACTS:
            return super().parse(expects, reply, marks)
        return tuple(
            MemoryOp(OpKind.CREATE, " ".join(one).strip()) for one in self._triples(replies.said(reply, marks))
        )


ENTITIES, TRIPLES = "named_entities", "triples"


class _Index:
    """What an episode's documents say, ready to be searched."""

    def __init__(
        self,
        entries: Sequence[MemoryEntry],
        said: Sequence[Sequence[Triple]],
        facts: Sequence[Triple],
        graph: Graph,
        fact_vectors: NDArray[np.float32],
        passage_vectors: NDArray[np.float32],
    ) -> None:
        self.entries, self.facts, self.graph = entries, facts, graph
        self.fact_vectors, self.passage_vectors = fact_vectors, passage_vectors
        self._said = [frozenset(triples) for triples in said]

    def told(self, fact: Triple) -> str:
        """The documents that say it."""
        return "\n".join(entry.text for entry, said in zip(self.entries, self._said, strict=True) if fact in said)


def _triple(text: str) -> list[str]:
    """A sentence as a script takes it apart: the names with which it begins and ends, and what stands between them."""
    words = text.split()
    first = next((at for at, word in enumerate(words) if not word[:1].isupper()), len(words))
    last = len(words) - next((at for at, word in enumerate(reversed(words)) if not word[:1].isupper()), len(words))
    first = min(max(first, 1), max(len(words) - 2, 1))
    last = min(max(last, first + 1), max(len(words) - 1, first))
    return [" ".join(words[:first]), " ".join(words[first:last]), " ".join(words[last:])]
