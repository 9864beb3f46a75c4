"""The demonstrator: a reader with a sound method that it follows only some of the time.

It decides from what its prompt shows and nothing else (the chunk, the query, the shown entries, the
question), so a model that imitates it can know all it knows; the truth of the task only saves it a parser.
It stores every statement that the question may hinge on, in one form, `subject relation value`; it asks
for its entries once, early, so that it sees what it may correct; at the end it looks the second hop up. Its
faults are of the kind that costs little while reading and shows at the end: it forgets to store, and it
writes a second entry where it should have updated or deleted the first. It leaves out what its manual does.

Without its faults (`CAREFUL`) it is the best that can be learnt from it. Paths of three hops are beyond it.
"""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import NamedTuple

from atommem_cli.core.calls import Expects, Observation
from atommem_cli.core.episode import Episode
from atommem_cli.core.stream_facts import UNKNOWN, cascades
from atommem_cli.core.types import Event, MemoryOp, OpKind, Question
from atommem_cli.policies._oracle import notes_shown


class Rates(NamedTuple):
    """How often it does what it should, each time independently."""

    store: float
    """A relevant statement about a fact of which no entry is shown is created."""
    read: float
    """It reads where it sees nothing yet, and before a second hop; else it goes on with what it sees."""
    update: float
    """An entry that a statement contradicts is updated; else the statement is created beside it."""
    delete: float
    """An entry that a statement takes back is deleted; else it stays."""
    filter: float = 0.0
    """A passage that is beside the point is filtered out of a context, by whom it is about."""
    summarize: float = 0.0
    """Where it is not, the context is summed up, by a word: what counts is in the store."""


SLOPPY = Rates(store=0.8, read=0.9, update=0.15, delete=0.15)
CAREFUL = Rates(store=1.0, read=1.0, update=1.0, delete=1.0)


class Demonstrator:
    """One reply of the demonstrator."""

    def __init__(self, episode: Episode, observation: Observation, rates: Rates, dice: Random) -> None:
        self._episode = episode
        self._observation = observation
        self._rates = rates
        self._dice = dice
        self._query = episode.memory.query
        self._shown = [entry.text for entry in episode.memory.shown]

    def reply(self) -> str:
        """What it says to this call."""
        observation, write = self._observation, self._episode.agent.write
        if observation.expects is Expects.NOTES:
            return write(Expects.NOTES, [MemoryOp(OpKind.SCRATCHPAD, notes_shown(self._episode, observation))])
        if observation.expects is Expects.FACTS:
            return write(Expects.FACTS, [MemoryOp(OpKind.CREATE, as_fact(event)) for event in self._told()])
        if observation.question is None:
            return self._read()
        return self._answer(self._episode.task.questions[observation.question].path)

    def _read(self) -> str:
        questions = self._episode.task.questions
        ops = [op for event in self._news(questions) for op in self._keep(event)]
        look = self._look(" ".join(_words(question.path) for question in questions))
        return self._episode.agent.write(Expects.OPERATIONS, [*ops, *look])

    def _answer(self, path: tuple[str, ...]) -> str:
        write = self._episode.agent.write
        *before, relation = path[1:]
        subject: str | None = path[0]
        if before:
            subject = self._link(path) or self._value(path[0], before[0])
        look = self._look(_words(path))
        if not look and before and subject and not self._link(path):
            look = self._look(f"{subject} {relation}", again=True)
        if look:
            return write(Expects.ANSWER, look)
        return self._concluded(path, (subject and self._value(subject, relation)) or UNKNOWN)

    def _concluded(self, path: tuple[str, ...], answer: str) -> str:
        """The answer, behind the entries that prove it, where an agent has them repeated."""
        proof: list[MemoryOp] = []
        subject: str | None = path[0]
        for relation in path[1:] if self._observation.items else ():
            found = self._value(subject, relation) if subject else None
            proof += [MemoryOp(OpKind.READ, f"{subject} {relation} {found}")] if found else []
            subject = found
        return self._episode.agent.write(Expects.ANSWER, proof, answer)

    # --- reading

    def _told(self) -> list[Event]:
        """What the chunk says, in order."""
        index = self._observation.chunk
        chunk = self._episode.chunks[index if index is not None else -1]
        there = [self._episode.task.documents[i] for i in chunk.documents]
        return [one.event for one in there if one.event and one.text in chunk.text]

    def _news(self, questions: tuple[Question, ...]) -> list[Event]:
        """What the chunk says, the last word on each fact, as far as it may matter; or what facts to settle say."""
        if self._observation.items:
            known = {as_fact(one.event): one.event for one in self._episode.task.documents if one.event}
            return [known[item] for item in self._observation.items if item in known]
        said: dict[str, Event] = {}
        for event in self._told():
            if self._matters(event, questions):
                over = (event.relation, event.value) if cascades(event) else None
                gone = [one for one in said.values() if (one.relation, one.value) == over]
                said |= {about(one): replace(one, value=None) for one in gone} | {about(event): event}
        return list(said.values())

    def _matters(self, event: Event, questions: tuple[Question, ...]) -> bool:
        """Whether a fact may lie on the path of a question, as far as one can tell before the links are known; of a
        cascade, whether an entry that it ends is shown."""
        if cascades(event):
            return bool(self._ended(event))
        paths = [question.path for question in questions]
        return any(
            event.relation == path[1] if event.subject == path[0] else event.relation in path[2:] for path in paths
        )

    def _keep(self, event: Event) -> list[MemoryOp]:
        fact = about(event)
        memory = self._episode.memory
        if cascades(event):
            return [MemoryOp(OpKind.DELETE, target=target) for target in self._ended(event) if self._does("delete")]
        held = [memory.targets[entry.id] for entry in memory.shown if entry.text.startswith(f"{fact} ")]
        if event.value is None:
            return [MemoryOp(OpKind.DELETE, target=held[0])] if held and self._does("delete") else []
        text = f"{fact} {event.value}"
        if not held:
            return [MemoryOp(OpKind.CREATE, text)] if self._does("store") else []
        if text in self._shown:
            return []
        return [MemoryOp(OpKind.UPDATE, text, held[0]) if self._does("update") else MemoryOp(OpKind.CREATE, text)]

    def _ended(self, event: Event) -> list[int]:
        """Numbers of the entries shown that go with a value."""
        memory = self._episode.memory
        return [memory.targets[entry.id] for entry in memory.shown if entry.text.endswith(f" {about(event)}")]

    # --- looking up

    def _look(self, query: str, again: bool = False) -> list[MemoryOp]:
        """A Read, if there is need of one; to agents that do not ask again it would be the answer."""
        if not self._episode.agent.reads_again or (self._query and not again) or not self._does("read"):
            return []
        return [MemoryOp(OpKind.READ, query)]

    def _link(self, path: tuple[str, ...]) -> str | None:
        """Whom the second hop is being looked up of, by the query."""
        subject, _, relation = self._query.partition(" ")
        return subject if relation == path[-1] and subject != path[0] else None

    def _value(self, subject: str, relation: str) -> str | None:
        """By the best-ranked entry about this fact."""
        about = f"{subject} {relation} "
        return next((text.removeprefix(about) for text in self._shown if text.startswith(about)), None)

    def _does(self, what: str) -> bool:
        rate: float = getattr(self._rates, what)
        kind = "create" if what == "store" else what
        return self._dice.random() < rate and kind not in self._episode.memory.untold


def about(event: Event) -> str:
    """What tells an entry about this fact: subject and relation; of a cascade, relation and value."""
    return f"{event.relation} {event.value}" if cascades(event) else f"{event.subject} {event.relation}"


def as_fact(event: Event) -> str:
    """A statement as a fact to be settled: what it is about, and the value, or the word for nothing known."""
    return f"{about(event)} {UNKNOWN if cascades(event) or event.value is None else event.value}"


def _words(path: tuple[str, ...]) -> str:
    return " ".join(path)
