"""Generative Agents (arXiv 2304.03442): a stream of observations, each with its importance, and reflections on them.

The policy rates every document from 1 to 10; when the ratings since the last reflection sum up to 150, it asks itself
three questions about what it read, and writes up to five insights for each, which become entries and are rated, too.
What is looked up is ranked by recency, importance and relevance, each scaled to 0..1. Source:
joonspk-research/generative_agents@6d7d7ad, `reflect.py`, `retrieve.py` (at 51072d4), `perceive.py`, `scratch.py`
(papers.md 3.13); the constants stand there. What is otherwise here:

* one document is one observation and one step of time; what was looked up counts as new, as there;
* `recency: oldest` is the code's: it sorts by time upwards and counts ranks from there, so that the oldest entry is the
  most recent. By default the newest is, as in the paper, whose weights are all 1 and whose decay is 0.995;
* a question is shown `memory.retrieve_k` entries, unless `k` says otherwise (the code: 30; so it is in reflections);
* of entries of the same time the one made first is the older (there: events before thoughts, the newest first);
* no more questions and insights are taken than were asked for (there: all); statements count from 1 (there: 0);
* every document is kept (there: not one that repeats a late one, and what holds the word "idle" is never found);
* no triple is asked for each insight: there its words serve the plans of the simulation alone, at one call more;
* a rating is the first number of its reply, moved into 1..10; one that cannot be read is 4, as there. Mended: a number
  of no statement is left out of the evidence (there: "this is blank" in the place of all insights of that reply), and
  questions that cannot be read are none (there: "Who am I").

Calls: one a document, one a question; a reflection up to 19: one for its questions, and for each of the three one and
one for each of five insights.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, NonNegativeFloat, PositiveInt, field_validator

from atommem_cli.agents import _json_reply as replies
from atommem_cli.agents import _workflow
from atommem_cli.agents._steps import document_text
from atommem_cli.agents._workflow import Workflow, documents
from atommem_cli.core.calls import Expects, Observation
from atommem_cli.core.episode import Episode, Play, Request, apply, ask, embed
from atommem_cli.core.memory import Text
from atommem_cli.core.thoughts import MARKS, Marks
from atommem_cli.core.types import MemoryEntry, MemoryOp, Meta, OpKind, Outcome
from atommem_cli.core.workload import Shape, Workload

__all__ = ["Options", "build"]

UNRATED = 4
"""An importance that cannot be read (`get_fail_safe` of `run_gpt_prompt_event_poignancy`)."""
QUESTIONS, INSIGHTS, SHOWN = 3, 5, 30
"""Of a reflection: questions, insights for each, and entries that these are written from (`n_count`)."""
LEAST, MOST = 1, 10
"""Ratings."""

Numbers = NDArray[np.floating[Any]]


class Options(_workflow.Options):
    """Keys of the recipe's `agent` section."""

    threshold: PositiveInt = 150
    """Sum of the importance of observations at which the agent reflects (`importance_trigger_max`)."""
    recency: Literal["newest", "oldest"] = "newest"
    """Which end of time counts as recent: that of the paper, or that of the code."""
    decay: float = Field(0.99, gt=0, le=1)
    """Of recency, for each rank (the default of `scratch.py`, in whose place a persona's own file may have another, as
    0.995; the paper: 0.995, for each hour)."""
    weights: tuple[NonNegativeFloat, NonNegativeFloat, NonNegativeFloat] = (0.5, 2.0, 3.0)
    """Of recency, importance and relevance (`gw` of `new_retrieve`; the paper: 1, 1, 1)."""
    k: PositiveInt | None = None
    """Entries shown for a question; null is the recipe's `memory.retrieve_k`."""

    @field_validator("weights")
    @classmethod
    def _weigh(cls, weights: tuple[float, float, float]) -> tuple[float, float, float]:
        if not any(weights):
            raise ValueError("one of the weights of recency, importance and relevance must be above 0")
        return weights


def build(options: Options) -> GenerativeAgents:
    """The agent."""
    return GenerativeAgents(options)


class Insight(NamedTuple):
    """What a reply concludes, and the numbers of the statements that it names for it."""

    text: str
    evidence: tuple[int, ...] = ()


@dataclass
class _Stream:
    """What the agent keeps beside the memory."""

    now: int = 0
    """Observations so far."""
    seen: dict[int, int] = field(default_factory=dict)
    """When an entry was made or looked up last."""
    observed: int = 0
    """Observations since the last reflection."""
    importance: int = 0
    """Their sum."""


class GenerativeAgents(Workflow):
    """Rates what it reads, reflects on it, and looks up what is recent, important and relevant."""

    name = "generative_agents"
    source = "joonspk-research/generative_agents@6d7d7ad"
    operations = (OpKind.CREATE, OpKind.READ)
    embeds = True
    prompt_fields = MappingProxyType(
        {
            "importance": frozenset({"document"}),
            "questions": frozenset({"items", "most"}),
            "insights": frozenset({"items", "most"}),
        }
    )

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self._options = options

    def workload(self, shape: Shape, reply: int) -> Workload:
        documents, questions = shape.documents, shape.questions
        few, many = (documents // -(-self._options.threshold // rating) for rating in (LEAST, MOST))
        own = 1 + QUESTIONS * (1 + INSIGHTS)
        asked = questions if documents else 0
        calls = documents + few + questions, documents + many * own + questions
        return Workload(calls, (asked, asked + many * QUESTIONS))

    def play(self, episode: Episode) -> Play:
        stream = _Stream()
        for chunk in episode.chunks:
            for document in documents(episode, chunk):
                text = document_text(document)
                fields = {"document": text}
                asked = self.call(episode, "importance", fields, Expects.RATING, chunk=chunk)
                importance = yield from self._rated(episode, asked)
                yield from self._keep(text, (("importance", str(importance)),), stream)
                stream.now, stream.observed = stream.now + 1, stream.observed + 1
                stream.importance += importance
                if stream.importance >= self._options.threshold:
                    yield from self._reflect(episode, stream)
                    stream.observed = stream.importance = 0
        for number, question in enumerate(episode.task.questions):
            found = yield from self._found(episode, question.text, self._options.k or episode.memory.k, stream)
            yield from self.read_answer(episode, number, {"memories": self.memories(episode, found)})

    def _rated(self, episode: Episode, observation: Observation) -> Generator[Request, Any, int]:
        reply = yield from ask(observation)
        found = replies.rating(replies.said(reply.text, episode.marks), LEAST, MOST)
        return UNRATED if found is None else int(found)

    def _keep(self, text: str, meta: Meta, stream: _Stream) -> Generator[Request, Any, None]:
        for result in (yield from apply([MemoryOp(OpKind.CREATE, text, meta=meta)])):
            if result.op.kind is OpKind.CREATE and result.outcome is Outcome.OK and result.entry is not None:
                stream.seen[result.entry] = stream.now

    # --- reflecting

    def _reflect(self, episode: Episode, stream: _Stream) -> Generator[Request, Any, None]:
        """Questions about the latest entries, and insights for each, which become entries."""
        latest = self._by_time(episode.memory.entries, stream)[-stream.observed :]
        statements = self.prompts.listed([entry.text for entry in latest])
        fields = {"items": statements, "most": str(QUESTIONS)}
        reply = yield from ask(self.call(episode, "questions", fields, Expects.FACTS))
        said = replies.said(reply.text, episode.marks)
        found = dict[str, tuple[MemoryEntry, ...]]()
        for question in replies.texts(replies.items(said, "questions"))[:QUESTIONS]:
            found[question] = yield from self._found(episode, question, SHOWN, stream)
        for entries in filter(None, found.values()):
            episode.memory.present([entry.id for entry in entries])
            fields = {"items": self.prompts.listed([entry.text for entry in entries]), "most": str(INSIGHTS)}
            reply = yield from ask(self.call(episode, "insights", fields, Expects.FACTS))
            for insight in insights(replies.said(reply.text, episode.marks))[:INSIGHTS]:
                evidence = " ".join(str(entries[n - 1].id) for n in insight.evidence if n <= len(entries))
                fields = {"document": insight.text}
                rating = yield from self._rated(episode, self.call(episode, "importance", fields, Expects.RATING))
                yield from self._keep(insight.text, (("importance", str(rating)), ("evidence", evidence)), stream)

    # --- looking up

    def _found(
        self, episode: Episode, query: str, k: int, stream: _Stream
    ) -> Generator[Request, Any, tuple[MemoryEntry, ...]]:
        """The entries of the highest scores, best first."""
        entries = self._by_time(episode.memory.entries, stream)
        if not entries or not (yield from self.look_up(episode, query)):
            return ()
        if not episode.chunks:  # what a ladder gives is in order
            return episode.memory.show(k)
        asked, *rows = yield from embed([Text(query, True), *(Text(entry.text, False) for entry in entries)])
        importance = [float(dict(entry.meta).get("importance", UNRATED)) for entry in entries]
        scores = self._scores(np.array(importance), np.stack(rows) @ asked)
        best = np.argsort(-scores, kind="stable")[:k].tolist()
        found = episode.memory.present([entries[at].id for at in best])
        stream.seen.update((entry.id, stream.now) for entry in found)
        return found

    def _by_time(self, entries: Sequence[MemoryEntry], stream: _Stream) -> list[MemoryEntry]:
        """Entries as they were made or looked up last; at the same time, the older one first."""
        return sorted(entries, key=lambda entry: stream.seen.get(entry.id, 0))

    def _scores(self, importance: Numbers, relevance: Numbers) -> Numbers:
        """Of entries by time, the oldest first: the weighted sum of what makes them worth showing, shape (entries,)."""
        ranks = np.arange(1, len(importance) + 1)
        recency = self._options.decay ** (ranks if self._options.recency == "oldest" else ranks[::-1])
        parts = (recency, importance, relevance)
        return sum(
            (w * scaled(part) for w, part in zip(self._options.weights, parts, strict=True)), np.zeros(len(ranks))
        )

    # --- the grammar

    def write(self, expects: Expects, ops: Sequence[MemoryOp], answer: str | None = None) -> str:
        match expects:
            case Expects.FACTS:
                return replies.dumped([op.text for op in ops])
            case Expects.RATING:
                return answer or ""
            case _:
                return super().write(expects, ops, answer)

    def parse(self, expects: Expects, reply: str, marks: Marks = MARKS) -> tuple[MemoryOp, ...]:
        if expects is Expects.FACTS:
            return tuple(MemoryOp(OpKind.CREATE, one.text) for one in insights(replies.said(reply, marks)))
        return super().parse(expects, reply, marks)


def insights(said: str) -> list[Insight]:
    """The insights of a reply, each once: texts, or objects with what they are concluded from."""
    found: dict[str, Insight] = {}
    for one in replies.items(said, "insights"):
        told = one if isinstance(one, dict) else {"insight": one}
        evidence = told.get("because_of")
        numbers = replies.choice(evidence if isinstance(evidence, list) else [evidence])
        for text in replies.texts([told.get("insight")]):
            found.setdefault(text, Insight(text, tuple(op.target for op in numbers if op.target)))
    return [*found.values()]


def scaled(values: Numbers) -> Numbers:
    """Values moved into 0..1; all the same ones are 0.5 (`normalize_dict_floats`)."""
    low, high = values.min(), values.max()
    return np.full(values.shape, 0.5) if low == high else (values - low) / (high - low)
