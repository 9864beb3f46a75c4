"""The way of each gold supporting fact through one episode: shown, written, lost, retrieved.

A prompt that got no reply (it did not fit, or the call failed) showed nothing. What a step's operations do
comes after what its prompt showed. Of an agent that keeps a conversation, that is in the prompt of every step.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from atommem_cli.core.calls import UNANSWERED
from atommem_cli.core.episode import shows_of
from atommem_cli.core.types import CONTEXT_OPS, Chunk, OpKind, Shows, Task
from atommem_cli.explain.conversation import Conversation
from atommem_cli.explain.coverage import Coverage, material
from atommem_cli.explain.trail import NOTES, Standing, Trail
from atommem_cli.runs.layout import Line
from atommem_cli.runs.memory_states import Moment, Step, states
from atommem_cli.runs.reader import Run
from atommem_cli.scoring import gold_facts


def trails(task: Task) -> list[Trail]:
    """Every supporting fact of every question with known gold facts, in order, not yet followed."""
    return [Trail(*fact) for fact in gold_facts.of(task)]


def follow(task: Task, chunks: Sequence[Chunk], steps: Sequence[Line], shows: Shows = Shows.CHUNKS) -> list[Trail]:
    """Every supporting fact of every question through one episode. Arguments as those of `miss_causes.explain`."""
    found = trails(task)
    by_question: dict[int, list[Trail]] = defaultdict(list)
    for trail in found:
        by_question[trail.question].append(trail)
    view, talk = Coverage(task, chunks), None
    _open(view, found, steps, read_first(steps, chunks))
    notes = ""
    for step in states(steps):
        if step.heard and talk is None:
            talk = Conversation(task, chunks, found)
        for edit in step.noise:
            for trail in found:
                trail.find(edit.id or NOTES, edit.text)
        _prompt(step, notes, view, talk, found, by_question)
        for moment in step.moments:
            notes = moment.scratchpad
            _write(found, moment, talk)
        for trail in found:
            trail.settle(step.line["step"])
    if shows is Shows.WHOLE:
        _at_once(view, found, steps)
    for trail in found:
        if trail.answered is None:
            trail.close()
    return found


def read_first(steps: Sequence[Line], chunks: Sequence[Chunk]) -> Sequence[Chunk]:
    """The chunks of which an agent stored something before its first call: all of them where no call is about one, as
    of `rag`, else those before the first that a call is about. None where it stored nothing; it may look things up."""
    if not steps or steps[0]["step"] >= 0 or all(op["kind"] != OpKind.CREATE for op in steps[0]["ops"]):
        return ()
    asked = next((line["chunk"] for line in steps if line.get("chunk") is not None), None)
    return chunks if asked is None else [chunk for chunk in chunks if chunk.index < asked]


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


def _open(view: Coverage, found: Sequence[Trail], steps: Sequence[Line], read: Sequence[Chunk]) -> None:
    """What was read before the first call."""
    for chunk in read:
        view.show(chunk.index)
        for trail in found:
            if not set(chunk.documents).isdisjoint(trail.documents):
                trail.shown = steps[0]["step"]


def _prompt(
    step: Step,
    notes: str,
    view: Coverage,
    talk: Conversation | None,
    found: Sequence[Trail],
    by_question: Mapping[int, Sequence[Trail]],
) -> None:
    """What the prompt of a step showed."""
    line = step.line
    seen = line.get("finish") not in UNANSWERED
    if seen and line.get("chunk") is not None:
        new = view.show(line["chunk"])
        for trail in found:
            if trail.shown is None and not new.isdisjoint(trail.documents) and _complete(view, trail):
                trail.shown = line["step"]
    if seen and talk is not None:
        for said in step.heard:
            talk.hear(said.id, said.text, line.get("chunk"))
        for trail in found:
            trail.hear(line["step"])
    if line.get("question") is not None:
        texts = [notes, *(text for _, text in line["shown"])]
        for trail in by_question.get(line["question"], ()):
            trail.ask(line["step"], texts if seen else None)


def _write(found: Sequence[Trail], moment: Moment, talk: Conversation | None) -> None:
    """What an operation made of memory and conversation."""
    for edit in moment.edits:
        if edit.part in ("entries", "scratchpad"):
            for trail in found:
                trail.put(edit.id or NOTES, edit.text)
                trail.settle(moment.step, moment.kind)
        elif edit.part == "context" and edit.id is not None and talk is not None:
            (talk.take_out(edit.id) if edit.verb == "remove" else talk.put(edit.id, edit.text))
    if talk is not None and moment.kind in CONTEXT_OPS:
        for trail in found:
            trail.hear(moment.step, moment.kind)


def _at_once(view: Coverage, found: Sequence[Trail], steps: Sequence[Line]) -> None:
    """The prompt of every question showed the chunks themselves."""
    asked = {line.get("question"): line for line in steps}
    view.show_all()
    for trail in [trail for trail in found if _complete(view, trail)]:
        line = asked.get(trail.question)
        if line is not None and line["finish"] not in UNANSWERED:
            trail.shown = trail.retrieved = line["step"]
        trail.answered = Standing(known=True, ever=True, last=None)


def _complete(view: Coverage, trail: Trail) -> bool:
    return any(view.covers(document, trail.support.text) for document in trail.documents)
