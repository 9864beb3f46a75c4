"""One pass over a run for its report: counts for tables and figures over all episodes, and the cases to show."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from atommem_cli.core.errors import AtommemError, UsageError
from atommem_cli.core.types import OpKind, Outcome, Question, Task
from atommem_cli.explain import memory_quality, miss_causes, store_grades
from atommem_cli.explain.cause_counts import Tallies, Tally
from atommem_cli.explain.coverage import needs_tokenizer
from atommem_cli.explain.fact_trails import trace
from atommem_cli.explain.memory_quality import Hygiene
from atommem_cli.explain.miss_causes import MISSED_BELOW
from atommem_cli.explain.store_grades import StoreGrades
from atommem_cli.reporting import episodes
from atommem_cli.reporting.episodes import Case
from atommem_cli.runs import stages
from atommem_cli.runs.layout import Line
from atommem_cli.runs.reader import Run
from atommem_cli.scoring import llm_judge

Tried = tuple[int, OpKind, bool]
"""Where operations were tried, of what kind, and whether they took effect."""
ANSWERS = -1
"""Where: while questions are asked."""
BEFORE = -2
"""Where: before the first call."""
TENTHS = 10


@dataclass(frozen=True, slots=True)
class EpisodeUse:
    """What one episode took and earned."""

    task: str
    documents: int | None
    """None where the tasks are not there any more."""
    chunks: int
    calls: int
    tokens: int
    """Prompt and new tokens of all calls."""
    scores: tuple[float, ...]
    """Of each question, by the leading scorer."""


@dataclass
class Survey:
    """A run in numbers."""

    run: Run
    label: str
    """Its name; with the folder's above it where several runs have the same."""
    scorers: tuple[str, ...]
    """Those that every episode has a score of."""
    leading: str
    """Of these; see `llm_judge.leading`."""
    plays: list[EpisodeUse] = field(default_factory=list)
    entries: dict[int, Counter[int]] = field(default_factory=lambda: defaultdict(Counter))
    """By step: how many episodes had so many entries after it."""
    operations: Counter[Tried] = field(default_factory=Counter)
    """By position of the chunk."""
    tenths: Counter[Tried] = field(default_factory=Counter)
    """By tenth of the chunks."""
    questions: dict[str, tuple[Question, ...]] = field(default_factory=dict)
    """By task; empty where the tasks are gone."""
    causes: dict[str, Tally] = field(default_factory=dict)
    """Why questions were missed: all, then by label; empty where tasks or tokenizer are gone."""
    hygiene: Hygiene | None = None
    """How clean the memory was kept; None where tasks or tokenizer are gone."""
    stores: StoreGrades | None = None
    """How well the stores were kept, and what that took; None before the end of the pass."""
    cases: list[Case] = field(default_factory=list)
    """Those to show, best first."""
    gaps: list[str] = field(default_factory=list)
    """What cannot be shown and why, one sentence each."""


def take(run: Run, label: str, most: int = episodes.SHOWN) -> Survey:
    """Read the whole run; of its episodes at most `most` are kept as cases.

    Memory grows with the number of episodes by a line of `episodes.jsonl` and a few numbers each.

    Raises:
        UsageError: there are no scores yet.
        SourceError: a file of the run is damaged.
    """
    lines = judged(run)
    scorers = tuple(name for name in run.scorers if all(name in line["scores"] for line in lines.values()))
    if not lines or not scorers:
        raise UsageError(f"{run.path}: has no scored episode yet: its own command goes on where it stopped")
    leading = llm_judge.leading(scorers)
    survey = Survey(run, label, scorers, leading)
    tasks = _there(survey, run.check, "Questions, gold answers, causes and hygiene cannot be shown")
    gone = "Chunks, causes and hygiene cannot be shown"
    chunks = tasks and _there(survey, lambda: needs_tokenizer(run) and run.tokenizer, gone)
    missed = {name: any(score < MISSED_BELOW for score in line["scores"][leading]) for name, line in lines.items()}
    chosen: dict[str, Case] = {name: {} for name in episodes.choose(missed, most)}
    tallies = Tallies()
    inspected, graded = memory_quality.Count(), store_grades.Count(run)
    for name, line in lines.items():
        traced = trace(run, line) if chunks else None
        task = traced.task if traced else run.task(line["task"]) if tasks else None
        steps = traced.steps if traced else run.steps(name)
        explained = None
        if traced:
            explained = miss_causes.explain_traced(traced, line, leading)
            tallies.add(traced.task, explained)
            inspected.add(traced)
        graded.add(line, steps)
        _count(survey, line, task, steps)
        if name in chosen:
            pieces = run.chunks(task) if task and chunks else None
            chosen[name] = episodes.case(
                line, steps, scorers, leading, task, pieces, explained, staged=stages.staged(run.agent)
            )
    survey.cases = list(chosen.values())
    survey.causes = tallies.by_kind()
    survey.stores = graded.result()
    survey.hygiene = inspected.result() if chunks else None
    if chunks and (why := episodes.add_prompts(run, survey.cases)):
        survey.gaps.append(why)
    return survey


def judged(run: Run) -> dict[str, Line]:
    """The lines of the episodes, with the judge's verdicts among their scores.

    Raises:
        SourceError: a line is damaged.
    """
    verdicts = run.verdicts
    return {
        name: {**line, "scores": {**line["scores"], llm_judge.NAME: verdicts[name]}} if name in verdicts else line
        for name, line in run.episodes.items()
    }


def _there(survey: Survey, look: Callable[[], object], what: str) -> bool:
    """Whether something that the run was made from still is; if not, the survey says why."""
    try:
        look()
    except AtommemError as error:
        survey.gaps.append(f"{what}: {error}.")
        return False
    return True


def _count(survey: Survey, line: Line, task: Task | None, steps: Sequence[Line]) -> None:
    usage, chunks = line["usage"], line["chunks"]
    survey.plays.append(
        EpisodeUse(
            line["task"],
            len(task.documents) if task else None,
            chunks,
            usage["calls"],
            usage["prompt_tokens"] + usage["new_tokens"],
            tuple(line["scores"][survey.leading]),
        )
    )
    if task:
        survey.questions[task.id] = task.questions
    for step, chunk in zip(steps, stages.chunks(steps), strict=True):
        if step["step"] >= 0:
            survey.entries[step["step"]][step["entries"]] += 1
        at = BEFORE if step["step"] < 0 else ANSWERS if chunk is None else chunk
        for op in step["ops"]:
            tried = (OpKind(op["kind"]), op["outcome"] == Outcome.OK)
            survey.operations[at, *tried] += 1
            survey.tenths[at * TENTHS // chunks if at >= 0 else at, *tried] += 1
