"""Runs over the same tasks against each other: paired differences, cost against quality, and other scorers.

The first run is the base. Runs over other tasks, episodes or scorers are refused: a difference between them
would say nothing. A run in which an episode used more than its budget is invalid: it keeps its score and gets no
difference, and it is in no family of tests.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any

from atommem_cli.compare.costs import cost
from atommem_cli.compare.paired import Difference, holm, paired
from atommem_cli.core import thoughts
from atommem_cli.core.errors import RunMismatch, UsageError, did_you_mean
from atommem_cli.core.types import Answer, StopReason
from atommem_cli.data.chosen_tasks import insist_outdated
from atommem_cli.runs.identity import changed_keys
from atommem_cli.runs.judges import Judge
from atommem_cli.runs.labels import judge_label
from atommem_cli.runs.labels import scorer as named
from atommem_cli.runs.names import names_of
from atommem_cli.runs.reader import Run, by_task, failed
from atommem_cli.runs.summary import labels
from atommem_cli.scoring import llm_judge, metrics, staleness
from atommem_cli.scoring.intervals import Interval, mean_interval

_STOPPED = (StopReason.BUDGET, StopReason.STEP_LIMIT)
SIGNIFICANT = 0.05
"""Two-sided, after Holm."""


@dataclass(frozen=True, slots=True)
class Side:
    """One run of a comparison."""

    label: str
    score: Interval
    difference: Difference | None
    """To the base; None for the base itself and for an invalid run."""
    holm: float | None
    """p of the difference, adjusted for all valid runs of the comparison."""
    invalid: str
    """Why the run cannot be compared; else empty."""
    calls: float
    """Model calls per episode, mean."""
    retrievals: float
    """Reads that took effect, likewise."""
    entries: float
    """The most that the store held, likewise."""
    tokens: float
    """Prompt and new tokens per question, mean."""
    failed: int
    """Episodes that ended in an error; they count as wrong."""
    stopped: int
    """Episodes that a budget ended; questions that were not asked count as wrong."""
    efficient: bool
    """No other valid run scores at least as high for at most as many tokens (one of them better)."""
    groups: Mapping[str, tuple[float, Difference | None]]
    """Score (mean) and difference by kind of question: its hinge and hops, or its source's type."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """Several runs; the first one is the base."""

    scorer: str
    sides: tuple[Side, ...]
    source: str
    """Of the tasks."""
    judge: Judge | None = None
    """Where it is the scorer: who judged all runs."""
    named: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """Where `stale` is the scorer: by run, the shares of answers by what they name (`staleness.SHARES`)."""

    @property
    def title(self) -> str:
        """The scorer's name, with the judge's."""
        return named(self.scorer, self.judge)

    @property
    def base(self) -> Side:
        return self.sides[0]

    def against(self, label: str) -> Side | None:
        """The run of that name, where it has a difference."""
        return next((side for side in self.sides if side.label == label and side.difference is not None), None)


def compare(
    runs: Sequence[Run | str | Path], names: Sequence[str] | None = None, scorer: str | None = None
) -> Comparison:
    """Every run against the first one.

    Args:
        runs: or their folders.
        names: one per run; None is those of their folders.
        scorer: None is the base's leading one; one that needs no model scores the stored answers where a run was
            not scored with it.

    Raises:
        UsageError: a run is unfinished, there is one only, no scorer has that name, or a run has no name.
        RunMismatch: runs over different tasks or episodes, one without a judge's verdicts, or several judges; names
            what differs.
        SourceError: a file is damaged.
    """
    played = [run if isinstance(run, Run) else Run(run) for run in runs]
    insist_comparable(played)
    names = names_of([run.path for run in played]) if names is None else names
    if len(names) != len(played):
        raise UsageError(f"there are {len(played)} runs and {len(names)} names: give one for each, or none")
    scorer = scorer or played[0].leading
    asked, least = kinds(played[0]), metrics.lowest(scorer)
    scores = [scored(run, scorer) for run in played]
    judge = played[0].judge if scorer == llm_judge.NAME else None
    if judge and (why := other_judges(played)):
        raise RunMismatch(f"the runs cannot be compared by judge: {why}")
    invalid = [broken_budget(run) for run in played]
    tests = max(1, sum(not fault for fault in invalid[1:]))
    paired_off = [
        paired(list(mine.values()), list(scores[0].values()), tests=tests, lowest=least)
        if number and not fault and not invalid[0]
        else None
        for number, (mine, fault) in enumerate(zip(scores, invalid, strict=True))
    ]
    valid = [d.p for d in paired_off if d is not None]
    adjusted = iter(holm(valid) if valid else [])
    took = [cost(run) for run in played]
    intervals = [mean_interval(list(mine.values()), lowest=least) for mine in scores]
    places = [(interval.mean, one.tokens) for interval, one in zip(intervals, took, strict=True)]
    rivals = [place for place, fault in zip(places, invalid, strict=True) if not fault]
    sides = []
    for number, run in enumerate(played):
        difference = paired_off[number]
        sides.append(
            Side(
                label=names[number],
                score=intervals[number],
                difference=difference,
                holm=next(adjusted) if difference is not None else None,
                invalid=invalid[number],
                calls=took[number].calls,
                retrievals=took[number].retrievals,
                entries=took[number].entries,
                tokens=took[number].tokens,
                failed=sum(map(failed, run.episodes.values())),
                stopped=sum(line["stop"] in _STOPPED for line in run.episodes.values()),
                efficient=not invalid[number] and not any(_dominates(rival, places[number]) for rival in rivals),
                groups=_by_group(scores[number], scores[0], asked, least, compared=difference is not None),
            )
        )
    source = played[0].task(next(iter(scores[0]))).source
    return Comparison(scorer, tuple(sides), source, judge, _named(names, scores) if scorer == staleness.NAME else {})


def _named(names: Sequence[str], scores: Sequence[Mapping[str, list[float]]]) -> dict[str, dict[str, float]]:
    every = [[one for task in mine.values() for one in task] for mine in scores]
    return {
        name: {share: fmean(one == score for one in given) for share, score in staleness.SHARES.items()}
        for name, given in zip(names, every, strict=True)
    }


def insist_comparable(runs: Sequence[Run]) -> None:
    """
    Raises:
        UsageError: a run is unfinished, or there is one only.
        RunMismatch: they are not over the same episodes of the same tasks; names what differs.
    """
    if len(runs) < 2:
        raise UsageError("a comparison needs two runs at least")
    for run in runs:
        run.insist_complete()
    base = runs[0]
    for run in runs[1:]:
        faults = []
        if run.identity["tasks"] != base.identity["tasks"]:
            faults.append(f"the tasks (those of {base.folder} and of {run.folder} have different content)")
        elif run.episodes.keys() != base.episodes.keys():
            for key in ("task.limit", "eval.repeats"):
                ours, theirs = (_at(one.recipe.content, key) for one in (base, run))
                faults += [f"{key} ({ours} and {theirs})"] if ours != theirs else []
            faults = faults or ["the episodes"]
        if faults:
            raise RunMismatch(f"{base.path} and {run.path} cannot be compared: they differ in {' and '.join(faults)}")


def broken_budget(run: Run) -> str:
    """In which budget an episode used more than the recipe allows, and by how much; empty where none did."""
    budget = run.recipe.budget.model_dump()
    faults = []
    for key, limit in budget.items():
        used = [line["usage"][key] for line in run.episodes.values()]
        over = sum(limit is not None and number > limit for number in used)
        if over:
            faults.append(f"{over} of {len(used)} episodes used more than budget.{key} = {limit} (up to {max(used)})")
    return "; ".join(faults)


def kinds(run: Run) -> dict[str, list[list[str]]]:
    """What each question of each task is of; see `summary.labels`."""
    tasks = sorted({line["task"] for line in run.episodes.values()})
    return {name: [labels(question) for question in run.task(name).questions] for name in tasks}


def other_judges(runs: Sequence[Run]) -> str:
    """Where judged runs have different judges: which, and in what they differ; else empty."""
    base = runs[0]
    for run in runs[1:]:
        if keys := ", ".join(changed_keys(base.judge, run.judge)):
            mine, theirs = (judge_label(one.judge) if one.judge else "nobody" for one in (base, run))
            return f"{mine} judged {base.path} and {theirs} judged {run.path} (they differ in {keys})"
    return ""


def scored(run: Run, scorer: str) -> dict[str, list[float]]:
    """Scores of each task's questions, as `by_task`; computed now where the run has none of that scorer.

    Raises:
        UsageError: no scorer has that name.
        RunMismatch: it is the judge, and the run has none of its verdicts.
    """
    if reason := metrics.never(run.identity["agent"]).get(scorer):
        raise UsageError(f"{run.path}: {scorer} {reason}: compare by another --scorer")
    if scorer in run.scorers:
        return by_task(run, scorer)
    if scorer == staleness.NAME:
        insist_outdated(run.folder, f"--scorer {scorer}")
    if scorer in metrics.SCORERS:
        return rescore(run, (scorer,))[scorer]
    if scorer == llm_judge.NAME:
        raise RunMismatch(f"{run.path}: was not judged (but scored with {', '.join(run.scorers)})")
    known = [*metrics.SCORERS, llm_judge.NAME]
    hint = did_you_mean(scorer, known)
    raise UsageError(f"--scorer {scorer}: no such scorer{hint} (there are: {', '.join(known)})")


def rescore(run: Run, scorers: Sequence[str]) -> dict[str, dict[str, list[float]]]:
    """By scorer, scores of each task's questions, from the answers of the episodes and the last reply to each."""
    scores: dict[str, dict[str, list[float]]] = {name: {} for name in scorers}
    marks = thoughts.marks_of(run.recipe.policy.model_extra)
    for name, line in run.episodes.items():
        asked = [step for step in run.steps(name) if step.get("question") is not None]
        replies = {step["question"]: thoughts.split(step["reply"], marks).said for step in asked}
        questions = run.task(line["task"]).questions
        for number, (said, question) in enumerate(zip(line["answers"], questions, strict=True)):
            answer = Answer(said["text"], replies.get(number, ""), tagged=said["tagged"])
            for scorer in scorers:
                scores[scorer].setdefault(line["task"], []).append(metrics.SCORERS[scorer](answer, question))
    return scores


def _by_group(
    mine: Mapping[str, list[float]],
    base: Mapping[str, list[float]],
    asked: Mapping[str, list[list[str]]],
    least: float,
    *,
    compared: bool,
) -> dict[str, tuple[float, Difference | None]]:
    found = {}
    for label in sorted({label for questions in asked.values() for each in questions for label in each}):

        def picked(scores: Mapping[str, list[float]], label: str = label) -> list[list[float]]:
            # Repeats of a task follow one another.
            return [
                [score for i, score in enumerate(scores[task]) if label in questions[i % len(questions)]]
                for task, questions in asked.items()
            ]

        ours = picked(mine)
        mean = fmean(score for task in ours for score in task)
        found[label] = (mean, paired(ours, picked(base), lowest=least) if compared else None)
    return found


def _dominates(one: tuple[float, float], other: tuple[float, float]) -> bool:
    """Whether (score, tokens) is nowhere worse and somewhere better."""
    return one[0] >= other[0] and one[1] <= other[1] and one != other


def _at(content: Mapping[str, Any], key: str) -> Any:
    section, _, name = key.partition(".")
    return content[section][name]
