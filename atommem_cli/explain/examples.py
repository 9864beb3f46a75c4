"""One question for each cause of a run, to be looked at: the first that was missed for it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from atommem_cli.core.safe_text import one_line
from atommem_cli.core.types import Task
from atommem_cli.explain.causes import Cause
from atommem_cli.explain.miss_causes import Explanation, Fact
from atommem_cli.runs.layout import Line
from atommem_cli.runs.tables import Table

_LONGEST = 80
"""Characters of a text in a table."""


@dataclass(frozen=True, slots=True)
class Example:
    """A question that was missed."""

    episode: str
    question: str
    gold: str
    answer: str
    fact: str
    """The first gold fact that broke the chain there; empty where none did."""
    way: str
    """What became of that fact, by steps."""


def add(found: dict[Cause, Example], task: Task, line: Line, explanations: Iterable[Explanation]) -> None:
    """Take from one episode what there is no example of yet."""
    for one in explanations:
        if one.cause is None or one.cause in found:
            continue
        question, answer = task.questions[one.question], line["answers"][one.question]["text"]
        broken = next((fact for fact in one.facts if fact.cause is one.cause), None)
        gold = " | ".join(question.answers)
        told = (broken.text, _way(broken)) if broken else ("", "")
        found[one.cause] = Example(line["episode"], question.text, gold, answer, *told)


def _way(fact: Fact) -> str:
    steps = {
        "shown": fact.shown,
        "in the context": fact.heard,
        "taken out": fact.taken,
        "written": fact.written,
        "lost": fact.lost,
        "retrieved": fact.retrieved,
    }
    return ", ".join(f"{what} {_when(step)}" for what, step in steps.items() if step is not None) or "never shown"


def _when(step: int) -> str:
    """Agents that store what they were to read make no call for it."""
    return f"at step {step}" if step >= 0 else "before the first call"


def table(found: Mapping[Cause, Example], title: str) -> Table:
    """A row for each cause, in order; empty where nothing was missed."""
    rows = [
        (cause.value, one.episode, *map(_cut, (one.question, one.gold, one.answer or "(none)", one.fact)), one.way)
        for cause, one in sorted(found.items(), key=lambda pair: [*Cause].index(pair[0]))
    ]
    headers = ("cause", "episode", "question", "gold", "answer", "gold fact", "what became of it")
    return Table(title, headers, tuple(rows))


def _cut(text: str) -> str:
    flat = one_line(text)
    return flat if len(flat) <= _LONGEST else f"{flat[: _LONGEST - 2]} …"
