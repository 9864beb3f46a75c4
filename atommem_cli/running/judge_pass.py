"""The judge's pass over a run: after the episodes, one verdict per answer, appended as soon as an episode has all.

    verdicts.jsonl   one line per episode: `correct`, one 0 or 1 per question; `replies`, where there is something to
                     say of how the judge's came: thought, cut or empty, once for each

A reply without a readable verdict is asked for again; if it stays so, the run fails with the sample's
name. It never becomes a score.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from atommem_cli.config import recipe as recipes
from atommem_cli.config.recipe import Recipe
from atommem_cli.core import seeds
from atommem_cli.core.calls import UNANSWERED, Expects, Finish, Generation, Observation
from atommem_cli.core.episode import Call, Policy, ServerPolicy
from atommem_cli.core.errors import AtommemError, BackendError
from atommem_cli.core.files import Lines
from atommem_cli.core.thoughts import Marks, marks_of
from atommem_cli.core.types import Progress, Question
from atommem_cli.running import asking
from atommem_cli.runs.layout import VERDICT, VERDICTS, Line, Verdict, line_of
from atommem_cli.runs.replies import marked
from atommem_cli.scoring.llm_judge import UnreadableVerdict, judge_messages, parse_verdict

TRIES = 3
"""Askings per answer."""
TOKENS = 512
"""New tokens of a verdict; some judges think first."""


def judge(
    recipe: Recipe,
    folder: Path,
    episodes: Sequence[Line],
    questions: Callable[[str], Sequence[Question]],
    progress: Progress | None = None,
) -> None:
    """Judge every episode that has no verdict yet; nothing is built where all have one.

    Args:
        folder: the run's.
        episodes: the last line of each.
        questions: those of a task, by its name.
        progress: called with episodes judged, all of them, and nothing.

    Raises:
        AtommemError: the judge gave no readable verdict on a sample; names it, when all others are judged.
        BackendError: the judge cannot be reached; the verdicts that had come are kept.
    """
    assert recipe.eval.judge is not None
    verdicts = Lines(folder / VERDICTS)
    try:
        judged = {line["episode"]: line["steps"] for line in verdicts.read()}
        # A failed episode that was played again has other steps, and is judged again.
        waiting = [line for line in episodes if judged.get(line["episode"]) != line["steps"]]
        if not waiting:
            return
        policy = recipes.build("policies", recipe.eval.judge)
        marks = marks_of(recipe.eval.judge.model_extra)
        done = len(episodes) - len(waiting)

        def write(sheet: _Sheet) -> None:
            nonlocal done
            done += 1
            verdicts.append(sheet.verdict())
            if progress:
                progress(done, len(episodes), "")

        problems: list[str] = []
        for at in range(0, len(waiting), policy.batch):
            sheets = [_Sheet.of(line, questions(line["task"])) for line in waiting[at : at + policy.batch]]
            try:
                problems += _ask_until_readable(policy, sheets, write, recipe.seed, marks)
            finally:
                verdicts.sync()
        if problems:
            more = f" (and on {len(problems) - 1} more answers)" if problems[1:] else ""
            raise AtommemError(f"the judge gave no verdict after {TRIES} tries on {problems[0]}{more}")
    finally:
        verdicts.close()


@dataclass(slots=True)
class _Sheet:
    """One episode before the judge."""

    line: Line
    questions: Sequence[Question]
    scores: list[float | None]
    """One per answer; None is not judged yet."""
    came: list[list[str]]
    """How the replies to each came; see `replies.marked`."""
    problems: dict[int, str] = field(default_factory=dict)
    """What was wrong with the last reply to an answer."""

    @classmethod
    def of(cls, line: Line, questions: Sequence[Question]) -> _Sheet:
        # An empty answer is wrong without asking.
        scores = [None if answer["text"] else 0.0 for answer in line["answers"]]
        return cls(line, questions, scores, [[] for _ in scores])

    @property
    def open(self) -> list[int]:
        """Answers without a verdict."""
        return [i for i, score in enumerate(self.scores) if score is None]

    def name(self, i: int) -> str:
        return f"{self.line['episode']} question {i}"

    def call(self, i: int, seed: int, attempt: int) -> Call:
        question = self.questions[i]
        messages = judge_messages(question.text, question.answers, self.line["answers"][i]["text"])
        observation = Observation(messages, TOKENS, Expects.ANSWER)
        return Call(None, observation, seeds.derive(seed, "judge", self.name(i), attempt))

    def hear(self, i: int, reply: Generation, marks: Marks) -> None:
        """Take the reply to an answer."""
        if reply.finish not in UNANSWERED:
            self.came[i] += marked(reply.text, reply.finish, marks)
        try:
            self.scores[i] = _verdict(reply, marks)
        except UnreadableVerdict as error:
            self.problems[i] = f"{self.name(i)}: {error}"

    def verdict(self) -> Line:
        """Its line."""
        how = [name for came in self.came for name in came]
        return line_of(VERDICT, Verdict(self.line["episode"], self.line["steps"], self.scores, how))


def _ask_until_readable(
    policy: Policy | ServerPolicy, sheets: Sequence[_Sheet], write: Callable[[_Sheet], None], seed: int, marks: Marks
) -> list[str]:
    """Judge some episodes, and write each as soon as it is; what is wrong with the answers that stay without a verdict.

    Raises:
        BackendError: the judge cannot be reached.
    """
    for sheet in sheets:
        if not sheet.open:
            write(sheet)
    for attempt in range(TRIES):
        asked = [(sheet, i) for sheet in sheets for i in sheet.open]
        for number, reply in _replies(policy, [sheet.call(i, seed, attempt) for sheet, i in asked]):
            sheet, i = asked[number]
            sheet.hear(i, reply, marks)
            if not sheet.open:
                write(sheet)
    return [sheet.problems[i] for sheet in sheets for i in sheet.open]


def _replies(policy: Policy | ServerPolicy, calls: Sequence[Call]) -> Iterator[tuple[int, Generation]]:
    try:
        yield from asking.answers(policy, calls, "eval.judge")
    except BackendError as error:
        raise BackendError(f"the judge: {error}") from None


def _verdict(reply: Generation, marks: Marks) -> float:
    """1 or 0.

    Raises:
        UnreadableVerdict: the reply holds none.
    """
    if reply.finish in UNANSWERED:
        raise UnreadableVerdict(reply.error or "the judge's window is too small")
    try:
        return float(parse_verdict(reply.text, marks))
    except UnreadableVerdict as error:
        if reply.finish is not Finish.LENGTH:
            raise
        raise UnreadableVerdict(
            f"{error}, which its limit cut off: {TOKENS} new tokens, unless eval.judge.extra says more, as in "
            "{max_tokens: 4096}"
        ) from None
