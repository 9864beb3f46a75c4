"""The judge's pass over a run: after the episodes, one verdict per answer, appended as soon as an episode has all.

    verdicts.jsonl   one line per episode: `correct`, one 0 or 1 per question; `replies`, where there is something to
                     say of how the judge's came: thought, cut or empty, once for each

A reply without a readable verdict is asked for again; if it stays so, the run fails with the sample's
name. It never becomes a score.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from atommem_cli.config import recipe as recipes
from atommem_cli.config.recipe import Recipe
from atommem_cli.core import seeds
from atommem_cli.core.calls import UNANSWERED, Expects, Finish, Generation, Message, Observation
from atommem_cli.core.episode import Call, Policy, ServerPolicy
from atommem_cli.core.errors import AtommemError, BackendError
from atommem_cli.core.files import Lines
from atommem_cli.core.thoughts import Marks, marks_of
from atommem_cli.core.types import Progress, Question
from atommem_cli.running import asking
from atommem_cli.runs.layout import VERDICT, VERDICTS, Line, Verdict, line_of
from atommem_cli.runs.replies import marked
from atommem_cli.scoring.llm_judge import GENERAL, UnreadableVerdict, judge_messages, parse_verdict

TRIES = 3
"""Askings per answer."""
TOKENS = 512
"""New tokens of a verdict; some judges think first."""


def judge(
    recipe: Recipe,
    folder: Path,
    episodes: Sequence[Line],
    questions: Callable[[str], Sequence[Question]],
    judging: str,
    progress: Progress | None = None,
) -> None:
    """Judge every episode that has no verdict yet; nothing is built where all have one.

    Args:
        folder: the run's.
        episodes: the last line of each.
        questions: those of a task, by its name.
        judging: the name of the judge's instructions.
        progress: called with episodes judged, all of them, and nothing.

    Raises:
        AtommemError: the judge gave no readable verdict on a sample; names it, when all others are judged.
        BackendError: the judge cannot be reached; the verdicts that had come are kept.
    """

    def sheet(line: Line) -> AnswerSheet:
        return AnswerSheet.of(line, questions(line["task"]), judging)

    ask_about(recipe, folder / VERDICTS, episodes, sheet, progress)


def ask_about(
    recipe: Recipe,
    path: Path,
    episodes: Sequence[Line],
    sheet_of: Callable[[Line], Sheet],
    progress: Progress | None = None,
) -> None:
    """Have every episode judged that has no line in a file yet.

    Args:
        path: the file.
        sheet_of: what is asked about an episode.

    Raises:
        AtommemError, BackendError: as `judge`.
    """
    assert recipe.eval.judge is not None
    verdicts = Lines(path)
    try:
        judged = {line["episode"]: line["steps"] for line in verdicts.read()}
        # A failed episode that was played again has other steps, and is judged again.
        waiting = [line for line in episodes if judged.get(line["episode"]) != line["steps"]]
        if not waiting:
            return
        policy = recipes.build("policies", recipe.eval.judge)
        marks = marks_of(recipe.eval.judge.model_extra)
        done = len(episodes) - len(waiting)

        def write(sheet: Sheet) -> None:
            nonlocal done
            done += 1
            verdicts.append(sheet.verdict())
            if progress:
                progress(done, len(episodes), "")

        problems: list[str] = []
        for at in range(0, len(waiting), policy.batch):
            sheets = [sheet_of(line) for line in waiting[at : at + policy.batch]]
            try:
                problems += _ask_until_readable(policy, sheets, write, recipe.seed, marks)
            finally:
                verdicts.sync()
        if problems:
            more = f" (and on {len(problems) - 1} more)" if problems[1:] else ""
            raise AtommemError(f"the judge gave no verdict after {TRIES} tries on {problems[0]}{more}")
    finally:
        verdicts.close()


@dataclass(slots=True)
class Sheet(ABC):
    """One episode before the judge."""

    line: Line
    scores: list[float | None]
    """One per thing that is asked about; None is not judged yet."""
    came: list[list[str]] = field(init=False)
    """How the replies to each came; see `replies.marked`."""
    problems: dict[int, str] = field(default_factory=dict)
    """What was wrong with the last reply about each."""

    def __post_init__(self) -> None:
        self.came = [[] for _ in self.scores]

    @abstractmethod
    def name(self, i: int) -> str:
        """What is asked about."""

    @abstractmethod
    def messages(self, i: int) -> tuple[Message, ...]:
        """What the judge is shown."""

    @abstractmethod
    def read(self, reply: str, marks: Marks) -> float:
        """The verdict of a reply.

        Raises:
            UnreadableVerdict: it holds none.
        """

    @abstractmethod
    def verdict(self) -> Line:
        """Its line, when everything is judged."""

    @property
    def open(self) -> list[int]:
        """What has no verdict."""
        return [i for i, score in enumerate(self.scores) if score is None]

    @property
    def how(self) -> list[str]:
        """How all replies came, where there is something to say."""
        return [name for came in self.came for name in came]

    def call(self, i: int, seed: int, attempt: int) -> Call:
        observation = Observation(self.messages(i), TOKENS, Expects.ANSWER)
        return Call(None, observation, seeds.derive(seed, "judge", self.name(i), attempt))

    def hear(self, i: int, reply: Generation, marks: Marks) -> None:
        """Take a reply."""
        if reply.finish not in UNANSWERED:
            self.came[i] += marked(reply.text, reply.finish, marks)
        try:
            self.scores[i] = self._verdict(reply, marks)
        except UnreadableVerdict as error:
            self.problems[i] = f"{self.name(i)}: {error}"

    def _verdict(self, reply: Generation, marks: Marks) -> float:
        if reply.finish in UNANSWERED:
            raise UnreadableVerdict(reply.error or "the judge's window is too small")
        try:
            return self.read(reply.text, marks)
        except UnreadableVerdict as error:
            if reply.finish is not Finish.LENGTH:
                raise
            raise UnreadableVerdict(
                f"{error}, which its limit cut off: {TOKENS} new tokens, unless eval.judge.extra says more, as in "
                "{max_tokens: 4096}"
            ) from None


@dataclass(slots=True)
class AnswerSheet(Sheet):
    """Its answers."""

    questions: Sequence[Question] = ()
    judging: str = GENERAL

    @classmethod
    def of(cls, line: Line, questions: Sequence[Question], judging: str) -> AnswerSheet:
        """An empty answer is wrong without asking."""
        scores = [None if answer["text"] else 0.0 for answer in line["answers"]]
        return cls(line, scores, questions=questions, judging=judging)

    def name(self, i: int) -> str:
        return f"{self.line['episode']} question {i}"

    def messages(self, i: int) -> tuple[Message, ...]:
        return judge_messages(self.questions[i], self.line["answers"][i]["text"], self.judging)

    def read(self, reply: str, marks: Marks) -> float:
        return float(parse_verdict(reply, marks))

    def verdict(self) -> Line:
        return line_of(VERDICT, Verdict(self.line["episode"], self.line["steps"], self.scores, self.how))


def _ask_until_readable(
    policy: Policy | ServerPolicy, sheets: Sequence[Sheet], write: Callable[[Sheet], None], seed: int, marks: Marks
) -> list[str]:
    """Judge some episodes, and write each as soon as it is; what is wrong where there is no verdict in the end.

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
