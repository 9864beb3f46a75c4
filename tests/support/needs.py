"""What each operation of an episode on `stream` was needed for, by the generator's own account: no prompt, no model."""

from __future__ import annotations

from collections.abc import Iterable
from statistics import fmean

from atommem_cli.core import stream_facts
from atommem_cli.core.effects import EFFECTS, Done, State
from atommem_cli.core.types import OpResult, Question, Task, Trajectory
from atommem_cli.replay.answer_stage import Place, Stage
from atommem_cli.scoring.stream_reader import statements


def needs(task: Task, trajectory: Trajectory) -> dict[Place, float]:
    """How much more of the answers the store tells with each operation than without it, in [-1, 1]."""
    carried_out = Stage(task, trajectory).carried_out
    whole = told(task, carried_out.values())
    return {
        place: whole - told(task, [one for other, one in carried_out.items() if other != place])
        for place in carried_out
    }


def told(task: Task, done: Iterable[OpResult]) -> float:
    """The share of the questions whose answer the entries tell, by chance where they contradict each other."""
    state = State()
    for one in done:
        for edit in EFFECTS[one.op.kind](Done(one.op.text.strip(), one.entry)):
            if edit.part == "entries" and (edit.verb == "add" or edit.id in state.entries):
                state.edit(edit)
    world, values = statements(task.documents), dict[tuple[str, str], set[str]]()
    for text in state.entries.values():
        for subject, relation, value in world.of(text):
            values.setdefault((subject, relation), set()).add(value or stream_facts.UNKNOWN)
    return fmean(_answered(values, question) for question in task.questions)


def _answered(values: dict[tuple[str, str], set[str]], question: Question) -> float:
    """The chance of the gold answer to somebody who follows the path and guesses between contradictions."""
    first, *relations = (word.lower() for word in question.path)
    at = {first: 1.0}
    for relation in relations:
        after: dict[str, float] = {}
        for subject, chance in at.items():
            found = values.get((subject, relation)) or {stream_facts.UNKNOWN}
            for value in found:
                after[value] = after.get(value, 0.0) + chance / len(found)
        at = after
    return at.get(question.answers[0].lower(), 0.0)
