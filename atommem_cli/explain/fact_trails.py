"""The way of each gold supporting fact through one episode: shown, written, lost, retrieved.

A prompt that got no reply (it did not fit, or the call failed) showed nothing. What a step's operations do
comes after what its prompt showed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from atommem_cli.core.calls import UNANSWERED
from atommem_cli.core.episode import shows_of
from atommem_cli.core.types import Chunk, Event, Question, Shows, Support, Task
from atommem_cli.explain.coverage import Coverage, material
from atommem_cli.explain.fact_matcher import Passage
from atommem_cli.explain.stream_reader import Statements, key_of, statements
from atommem_cli.runs.layout import Line
from atommem_cli.runs.memory_states import Moment, moments
from atommem_cli.runs.reader import Run

NOTES = 0
"""Stands for the scratchpad among the ids of entries, which count from 1."""


class Reading(NamedTuple):
    """What a text says about one fact."""

    states: bool
    contradicts: bool
    """It states another value (`stream`; elsewhere never)."""


@dataclass(slots=True)
class Trail:
    """One fact of one question. Steps are those of `steps.jsonl`."""

    question: int
    support: Support
    documents: tuple[int, ...]
    """Whichever of them shows it; `stream` says some things twice."""
    gone: bool
    """`stream`: the fact is that nothing is known any more. The memory holds it, once it was shown, if it states
    it or if it states no value; a prompt shows it likewise."""
    read: Callable[[str], Reading]
    shown: int | None = None
    written: int | None = None
    """First step after which the memory held it."""
    retrieved: int | None = None
    """First call for the question whose prompt showed it."""
    changes: list[tuple[int, bool]] = field(default_factory=list)
    """(step, whether the memory holds it from then on), in order."""
    answered: tuple[bool, int | None, tuple[int, ...]] | None = None
    """Whether it was held when the question was last asked, the step at which it was lost, the holders."""
    contradicted: bool = False
    """Whether the last call for the question showed another value, too."""
    _states: set[int] = field(default_factory=set)
    _contradicts: set[int] = field(default_factory=set)

    @property
    def held(self) -> bool:
        """Whether the memory holds it now."""
        return bool(self.changes) and self.changes[-1][1]

    def put(self, holder: int, text: str) -> None:
        """An entry, or the scratchpad, has this text now."""
        reading = self.read(text) if text else Reading(False, False)
        (self._states.add if reading.states else self._states.discard)(holder)
        (self._contradicts.add if reading.contradicts else self._contradicts.discard)(holder)

    def settle(self, step: int) -> None:
        """The memory is as it is after (a part of) this step."""
        now = bool(self._states) or (self.gone and self.shown is not None and not self._contradicts)
        if now != self.held:
            self.changes.append((step, now))
            if now and self.written is None:
                self.written = step

    def ask(self, step: int, texts: Iterable[str] | None) -> None:
        """The question is asked with these texts before the policy's eyes; None: with no reply."""
        if texts is not None:
            readings = [self.read(text) for text in texts if text]
            self.contradicted = any(r.contradicts for r in readings)
            clean = self.gone and self.shown is not None and not self.contradicted
            if self.retrieved is None and (clean or any(r.states for r in readings)):
                self.retrieved = step
        self.close()

    def close(self) -> None:
        """Note how things stand for the answer."""
        lost = self.changes[-1][0] if self.changes and not self.held else None
        self.answered = self.held, lost, tuple(sorted(self._states - {NOTES}))


def trails(task: Task) -> list[Trail]:
    """Every supporting fact of every question that `has_gold`, in order, not yet followed."""
    whole = {f"{document.title}\n{document.text}" for document in task.documents}
    asked = [(number, question) for number, question in enumerate(task.questions) if has_gold(task, question)]
    return [trail for number, question in asked for trail in _of_question(task, number, question, whole)]


def has_gold(task: Task, question: Question) -> bool:
    """Whether it is known which facts a question needs: `stream` knows all of them, even where that is none.

    Elsewhere there must be one at least, and each must stand in its document: a chain that lacks links, or has some
    that nobody could have read, says nothing about where it broke.
    """
    if question.path:
        return True
    return bool(question.supporting) and all(
        (text := " ".join(support.text.split())) and text in " ".join(task.documents[support.document].text.split())
        for support in question.supporting
    )


def follow(task: Task, chunks: Sequence[Chunk], steps: Sequence[Line], shows: Shows = Shows.CHUNKS) -> list[Trail]:
    """Every supporting fact of every question through one episode. Arguments as those of `miss_causes.explain`."""
    found = trails(task)
    by_question: dict[int, list[Trail]] = defaultdict(list)
    for trail in found:
        by_question[trail.question].append(trail)
    happened: dict[int, list[Moment]] = defaultdict(list)
    for moment in moments(steps):
        happened[moment.step].append(moment)
    view = Coverage(task, chunks)
    if steps and steps[0]["step"] < 0:
        for trail in found:
            trail.shown = steps[0]["step"] if view.lists(trail.documents) else None
    notes = ""
    for line in steps:
        _prompt(line, notes, view, found, by_question)
        for moment in happened[line["step"]]:
            notes = moment.scratchpad
            _write(found, moment)
        for trail in found:
            trail.settle(line["step"])
    if shows is Shows.WHOLE:
        _at_once(view, found, steps)
    for trail in found:
        if trail.answered is None:
            trail.close()
    return found


class Traced(NamedTuple):
    """One episode, followed: causes and hygiene are both told from this."""

    task: Task
    chunks: Sequence[Chunk]
    steps: Sequence[Line]
    trails: Sequence[Trail]
    shows: Shows


def trace(run: Run, line: Line) -> Traced:
    """Follow one episode, with everything taken from the run.

    Raises:
        SourceError, RunMismatch: the tasks are not those that were played; as `Run`.
    """
    task = run.task(line["task"])
    return followed(task, material(run, task, line), run.steps(line["episode"]), shows_of(run.agent))


def followed(task: Task, chunks: Sequence[Chunk], steps: Sequence[Line], shows: Shows = Shows.CHUNKS) -> Traced:
    """`follow`, with what it was made from."""
    return Traced(task, chunks, steps, follow(task, chunks, steps, shows), shows)


def _prompt(
    line: Line, notes: str, view: Coverage, found: Sequence[Trail], by_question: Mapping[int, Sequence[Trail]]
) -> None:
    """What the prompt of a step showed."""
    seen = line.get("finish") not in UNANSWERED
    if seen and line.get("chunk") is not None:
        new = view.show(line["chunk"])
        for trail in found:
            if trail.shown is None and not new.isdisjoint(trail.documents) and _complete(view, trail):
                trail.shown = line["step"]
    if line.get("question") is not None:
        texts = [notes, *(text for _, text in line["shown"])]
        for trail in by_question.get(line["question"], ()):
            trail.ask(line["step"], texts if seen else None)


def _write(found: Sequence[Trail], moment: Moment) -> None:
    for edit in moment.edits:
        if edit.part in ("entries", "scratchpad"):
            for trail in found:
                trail.put(edit.id or NOTES, edit.text)
                trail.settle(moment.step)


def _at_once(view: Coverage, found: Sequence[Trail], steps: Sequence[Line]) -> None:
    """The prompt of every question showed the chunks themselves."""
    asked = {line.get("question"): line for line in steps}
    view.show_all()
    for trail in [trail for trail in found if _complete(view, trail)]:
        line = asked.get(trail.question)
        if line is not None and line["finish"] not in UNANSWERED:
            trail.shown = trail.retrieved = line["step"]
        trail.answered = True, None, ()


def _complete(view: Coverage, trail: Trail) -> bool:
    return any(view.covers(document, trail.support.text) for document in trail.documents)


# --- which facts, and how a text is read --------------------------------------------------------------


def _of_question(task: Task, number: int, question: Question, whole: Collection[str]) -> Iterator[Trail]:
    titles = [task.documents[support.document].title for support in question.supporting]
    for support, title in zip(question.supporting, titles, strict=True):
        event = task.documents[support.document].event
        if event is None:
            passage = Passage(support, title, question, [t for t in dict.fromkeys(titles) if t != title])
            yield Trail(number, support, (support.document,), False, _carrying(passage, whole))
        else:
            rest = range(support.document, len(task.documents))
            same = tuple(i for i in rest if task.documents[i].event == event)
            yield Trail(number, support, same, event.value is None, _stating(statements(task.documents), event))


def _carrying(passage: Passage, whole: Collection[str]) -> Callable[[str], Reading]:
    """Entries that are documents (`rag`) carry what they hold word for word; there is nothing to guess."""

    def read(text: str) -> Reading:
        return Reading(passage.quoted(text) if text in whole else passage.carried(text), False)

    return read


def _stating(world: Statements, event: Event) -> Callable[[str], Reading]:
    key = key_of(event)
    wanted = (*key, event.value.lower() if event.value else None)

    def read(text: str) -> Reading:
        said = world.of(text)
        others = any(s[:2] == key and s[2] not in (None, wanted[2]) for s in said)
        return Reading(wanted in said, others)

    return read
