"""The rungs of a ladder: how a question is asked again of another memory than the run's own.

A rung is an episode without chunks: the run's own agent finds the memory that the rung gives it and is asked one
question at once, with its own answer prompt and its own way to read a reply. It may not read any more: what is
shown is what the rung says. (In the run itself it may have read while it answered, up to `limits.reads` times.)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from atommem_cli.core.calls import Expects
from atommem_cli.core.episode import Ask, Episode
from atommem_cli.core.errors import UsageError
from atommem_cli.core.memory import Memory
from atommem_cli.core.types import Document, MemoryEntry, MemoryOp, OpKind, Question, Support, Task
from atommem_cli.explain.fact_trails import trails
from atommem_cli.running.player import Budget, Player
from atommem_cli.running.rollout import Rollout
from atommem_cli.running.stubs import StubStore, blind
from atommem_cli.runs.layout import Line
from atommem_cli.runs.memory_states import states


class Rung(StrEnum):
    """What the policy has before it when it answers; from the bottom to the top."""

    CLOSED_BOOK = "closed book"
    """The question alone, in the prompt of the agent `closed_book`: what was not learned from the stream."""
    NO_MEMORY = "no memory"
    """The agent's own prompt with everything in it empty."""
    OWN_MEMORY = "own memory"
    """What the run scored; not asked again."""
    ORACLE_RETRIEVAL = "oracle retrieval"
    """The run's own scratchpad, and of its own entries those that carry gold facts (see `retrieved`)."""
    GOLD_FACTS = "gold facts"
    """The gold supporting facts as entries, all of them and nothing else."""


FROM_GOLD = (Rung.ORACLE_RETRIEVAL, Rung.GOLD_FACTS)
"""Made of gold facts: a question of which they are not known (`fact_trails.has_gold`) is not on these."""


@dataclass(frozen=True, slots=True)
class MemoryView:
    """What a prompt shows of a memory."""

    scratchpad: str = ""
    query: str = ""
    entries: tuple[MemoryEntry, ...] = ()


@dataclass(frozen=True, slots=True)
class Held:
    """A memory as a run had it."""

    scratchpad: str = ""
    query: str = ""
    entries: Mapping[int, str] = field(default_factory=dict)


def held(steps: Sequence[Line], question: int) -> Held:
    """The memory just before an episode's first call about a question; of one never asked, that at the end."""
    asked = [line["step"] for line in steps if line.get("question") == question]
    memory = Held()
    for step in states(steps):
        if asked and step.line["step"] >= asked[0]:
            break
        memory = replace(memory, entries=step.entries)
        for moment in step.moments[-1:]:
            memory = replace(memory, scratchpad=moment.scratchpad, query=moment.query)
    return memory


def view(rung: Rung, task: Task, number: int, memory: Held, k: int, sees: frozenset[str]) -> MemoryView:
    """What a rung shows.

    The query of ORACLE_RETRIEVAL stays the run's own, that of GOLD_FACTS is the question: the latter owes nothing
    to the run. Nothing is shown without a query, so one that is empty is the question there, too.
    """
    question = task.questions[number]
    match rung:
        case Rung.ORACLE_RETRIEVAL:
            return MemoryView(
                memory.scratchpad, memory.query or question.text, retrieved(task, number, memory.entries, k)
            )
        case Rung.GOLD_FACTS:
            texts = list(dict.fromkeys(_titled(task, support) for support in question.supporting))
            if "entries" not in sees:
                return MemoryView(scratchpad="\n".join(texts))
            return MemoryView(
                query=question.text, entries=tuple(MemoryEntry(i, t) for i, t in enumerate(texts, start=1))
            )
        case _:
            return MemoryView()


def _titled(task: Task, support: Support) -> str:
    """A supporting sentence with its document's title, which often says whom its pronouns mean."""
    title = task.documents[support.document].title
    return f"{title}: {support.text}" if title else support.text


def retrieved(task: Task, number: int, entries: Mapping[int, str], k: int) -> tuple[MemoryEntry, ...]:
    """At most k entries that carry gold facts of a question (see `fact_trails`): what a retriever finds that knows
    them.

    Each next one carries the most facts that are not shown yet, then the most facts, then is the oldest. It is not
    filled up: entries that carry none are not shown. So an entry that is outdated and should have been corrected
    or deleted does no harm here; its price stands in the step from OWN_MEMORY.
    """
    facts = [trail for trail in trails(task) if trail.question == number]
    covers = {i: {n for n, fact in enumerate(facts) if fact.read(text).states} for i, text in entries.items()}
    left = {i for i, covered in covers.items() if covered}
    chosen: list[int] = []
    missing = set(range(len(facts)))
    while left and len(chosen) < k:
        best = min(left, key=lambda i: (-len(covers[i] & missing), -len(covers[i]), i))
        chosen.append(best)
        left.remove(best)
        missing -= covers[best]
    return tuple(MemoryEntry(i, entries[i]) for i in chosen)


# --- as episodes


class Given(StubStore):
    """A store that finds whatever an episode's memory was given, in that order."""

    def __init__(self, entries: int = 0) -> None:
        self._entries = entries

    def nearest(self, episode: str, query: object, k: int) -> list[int]:
        return list(range(1, min(k, self._entries) + 1))


def give(name: str, shown: MemoryView, dropped: frozenset[OpKind], untold: frozenset[OpKind]) -> Memory:
    """A memory that shows this."""
    memory = Memory(name, Given(len(shown.entries)), k=max(1, len(shown.entries)), untold=untold)
    ops = [MemoryOp(OpKind.SCRATCHPAD, shown.scratchpad), MemoryOp(OpKind.READ, shown.query)]
    ops += [MemoryOp(OpKind.CREATE, entry.text) for entry in shown.entries]
    memory.apply(ops, blind().vectors_for(memory.texts(ops)))
    memory.dropped, memory.pending = dropped, []
    return memory


_MARKS = {name: f"mark{number}" for number, name in enumerate(("documents", "scratchpad", "entries"), start=7411)}


def seen(episode: Episode, rollout: Rollout) -> frozenset[str]:
    """Which of documents, scratchpad and entries an agent's answer prompt shows: it is tried, on `probe`.

    Raises:
        UsageError: it does not ask its question when there is nothing to read.
    """
    player = Player(episode, Budget(), None)
    while player.request and not isinstance(player.request, Ask):
        rollout.settle([player])
    if not isinstance(player.request, Ask) or player.request.observation.expects is not Expects.ANSWER:
        raise UsageError(
            f"the agent {episode.agent.describe()['name']} does not ask its question at once when there is nothing "
            "to read: its runs have no ladder"
        )
    prompt = "\n".join(message.content for message in player.request.observation.messages)
    return frozenset(name for name, mark in _MARKS.items() if mark in prompt)


def probe() -> tuple[Task, MemoryView]:
    """A task and a memory that `seen` finds again in a prompt."""
    task = Task("probe", "probe", (Document("", _MARKS["documents"]),), (Question("probe", "probe?", ("",)),))
    return task, MemoryView(_MARKS["scratchpad"], "probe?", (MemoryEntry(1, _MARKS["entries"]),))


def left_out(sees: frozenset[str], gold: bool) -> dict[Rung, str]:
    """The rungs that make no sense for an agent whose answer prompt shows this, and why.

    Args:
        gold: whether the gold facts of any question are known.
    """
    if "documents" in sees:
        return dict.fromkeys((Rung.NO_MEMORY, *FROM_GOLD), "its prompt shows the documents themselves")
    if not sees:
        return dict.fromkeys((Rung.NO_MEMORY, *FROM_GOLD), "its prompt shows no memory")
    unknown = {} if gold else dict.fromkeys(FROM_GOLD, "of no question it is known which facts it needs")
    entries = {} if "entries" in sees else {Rung.ORACLE_RETRIEVAL: "its prompt shows no entries of a store"}
    return unknown | entries
