"""A judge's pass over the stores of a run: one grade from 0 to 1 for the entries of each episode at its end.

    grades.jsonl   one line per episode: `quality`; `replies`, as in `verdicts.jsonl`

The judge sees the questions of the task, their gold answers, the facts that they need, and the entries (bands of the
grade as in AgeMem's evaluation, papers.md 2.3; the words are ours: scoring/prompts/memory_quality.txt). No entries are
0 without asking.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from atommem_cli.config.recipe import Recipe
from atommem_cli.core.calls import Message
from atommem_cli.core.errors import AtommemError
from atommem_cli.core.safe_text import cut
from atommem_cli.core.thoughts import Marks
from atommem_cli.core.types import OpKind, Progress
from atommem_cli.running.judge_pass import Sheet, ask_about
from atommem_cli.runs.layout import GRADE, GRADES, Grade, Line, line_of
from atommem_cli.runs.memory_states import final_entries
from atommem_cli.runs.reader import Run
from atommem_cli.scoring import grades
from atommem_cli.scoring.agemem_judged import needs
from atommem_cli.scoring.llm_judge import UnreadableVerdict

PROMPT = "memory_quality"


def prompt_digest() -> str:
    """SHA-256 of the instructions, hexadecimal."""
    return grades.digest(PROMPT)


def has_store(run: Run) -> bool:
    """Whether the agent of a run can have entries."""
    try:
        return OpKind.CREATE in run.agent.operations
    except AtommemError:  # its plug-in is gone
        return True


def grade(recipe: Recipe, run: Run, progress: Progress | None = None) -> None:
    """Grade the store of every episode that has no grade yet.

    Args:
        recipe: with a judge.

    Raises:
        AtommemError, BackendError: as `judge_pass.judge`.
    """

    def sheet(line: Line) -> StoreSheet:
        texts = list(final_entries(run.steps(line["episode"])).values())
        case = {**needs(run.task(line["task"])), "entries": texts}
        return StoreSheet(line, [None if texts else 0.0], case=case)

    ask_about(recipe, run.path / GRADES, list(run.episodes.values()), sheet, progress)


@dataclass(slots=True)
class StoreSheet(Sheet):
    """Its store."""

    case: dict[str, Any] = field(default_factory=dict)

    def name(self, i: int) -> str:
        return f"{self.line['episode']} memory"

    def messages(self, i: int) -> tuple[Message, ...]:
        return grades.messages(PROMPT, self.case)

    def read(self, reply: str, marks: Marks) -> float:
        found = grades.number(reply, "score", 1, marks)
        if found is None:
            raise UnreadableVerdict(f"no score from 0 to 1 in the judge's reply {cut(repr(reply), 200)}")
        return found

    def verdict(self) -> Line:
        (quality,) = self.scores
        return line_of(GRADE, Grade(self.line["episode"], self.line["steps"], quality or 0.0, self.how))
