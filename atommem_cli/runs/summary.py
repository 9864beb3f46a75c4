"""From the lines of a run folder to its numbers. Works on what is on disk, whichever session wrote it, and whether the
run is finished, was cut off, or still goes on."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from atommem_cli.core import files
from atommem_cli.core.errors import SourceError
from atommem_cli.core.thoughts import Marks, marks_of
from atommem_cli.core.types import Question, StopReason
from atommem_cli.runs import judges, replies, writer
from atommem_cli.runs.layout import EPISODES, RUN, SCHEMA, SESSIONS, STEPS, VERDICTS
from atommem_cli.scoring import llm_judge, metrics, staleness
from atommem_cli.scoring.abstention import says_so
from atommem_cli.scoring.intervals import Interval, mean_interval

_BUDGET = ("calls", "prompt_tokens", "new_tokens", "entries", "reads")


def summarize(
    folder: Path, questions: Mapping[str, Sequence[Question]], scorers: Sequence[str] | None = None
) -> dict[str, Any]:
    """The content of `summary.json`, or what it would be now.

    Scores are means over questions, in [0, 1] (`stale`: [-1, 1]); failed episodes count as wrong, and so does every
    question that was not answered. Intervals are 95 %, clustered by task (see `intervals.mean_interval`).

    Args:
        questions: of each task, by its name; groups by kind are left out where there are none.
        scorers: those that every episode has a score of; None is the run's.

    Raises:
        SourceError: the folder is not that of a run, or one of its files is damaged.
    """
    run = files.read_json(folder / RUN)
    if scorers is not None:
        run["scorers"] = list(scorers)
    episodes = writer.latest(line for _, line in files.whole_lines(folder / EPISODES))
    judge, verdicts = judges.of(folder, run), judges.verdicts(folder, episodes)
    named = judges.scorers(folder, run, whole=len(verdicts) == len(episodes))
    scored = [
        {**line, "scores": {**line["scores"], llm_judge.NAME: verdicts[name]}}
        if (name := line["episode"]) in verdicts
        else line
        for line in episodes
    ]
    failed = [line for line in episodes if line["stop"] == StopReason.ERROR]
    return {
        "schema": SCHEMA,
        "recipe": folder.resolve().name,
        "agent": run["agent"],
        "policy": run["policy"],
        "store": run["recipe"]["store"]["name"],
        "embedder": run["embedder"],
        "setting": _setting(run["recipe"], run["policy"]),
        "digest": writer.digest(episodes),
        **({"judge": {**judge, "judged": len(verdicts)}} if judge else {}),
        "planned": run["episodes"],
        "evaluated": len(episodes),
        "failed": [{"episode": line["episode"], "error": line.get("error", "")} for line in failed],
        "stops": dict(Counter(line["stop"] for line in episodes)),
        "untagged_answers": sum(not a["tagged"] for line in episodes for a in line["answers"]),
        **({"abstained": told} if (told := _abstained(episodes, questions)) else {}),
        "truncated_tokens": sum(line["truncated_tokens"] for line in episodes),
        "scores": {name: _interval(scored, name) for name in named},
        "by_kind": _by_kind(scored, questions, leading := llm_judge.leading(named)),
        **(
            {JUDGED: _by_kind(scored, questions, llm_judge.NAME)}
            if llm_judge.NAME in named and leading != llm_judge.NAME
            else {}
        ),
        **({"named": _named(scored, questions)} if staleness.NAME in named else {}),
        "budget": {name: _spread(line["usage"][name] for line in episodes) for name in _BUDGET},
        "totals": {name: sum(line["usage"][name] for line in episodes) for name in _BUDGET[:3]},
        **_steps(folder, {line["episode"] for line in episodes}, marks_of(run["recipe"]["policy"])),
        **({"never": never} if (never := _never(run)) else {}),
        **({"judge_replies": _judge_replies(folder)} if verdicts else {}),
        "time": _time(folder),
    }


JUDGED = "judged_by_kind"
"""Key of a summary: the judge's score by kind, beside that of the leading scorer."""
ABSTENTION = "abstention"
"""The kind of all questions that nothing answers, beside the type that they are of."""
_SAYS_SO = "adversarial"
"""LoCoMo's type, of which all are such."""


def labels(question: Question) -> list[str]:
    """The kinds a question is of: its hinge and its hops (`stream`), or its source's type; and whether nothing tells
    it."""
    hops = len(question.path) - 1
    found = [question.hinge, f"{hops} hop{'s' if hops != 1 else ''}"] if question.path else [question.kind]
    nothing = question.unanswerable and question.kind != _SAYS_SO
    return [label for label in (*found, ABSTENTION if nothing else "") if label]


def overlap(kinds: Collection[str]) -> str:
    """What to say beside a table of these kinds; empty where no question is of two of them."""
    hops = {kind for kind in kinds if re.fullmatch(r"\d+ hops?", kind)}
    if hops and hops != {*kinds} - {"all"}:
        return "; a question stands under its hinge and again under its hops"
    return f"; {ABSTENTION}: what nothing tells, which stands under its type, too" if ABSTENTION in kinds else ""


def renamed(summary: Mapping[str, Any]) -> dict[str, Any]:
    """A summary that an earlier version wrote, its kinds by today's names."""
    kinds = {"1 hop" if kind == "1 hops" else kind: cell for kind, cell in summary.get("by_kind", {}).items()}
    return {**summary, "by_kind": dict(sorted(kinds.items()))}


def _interval(
    episodes: Sequence[Mapping[str, Any]], scorer: str, questions: Mapping[str, set[int]] | None = None
) -> dict[str, Any]:
    """A score with its interval; `questions` keeps some questions of each task only."""
    tasks: dict[str, list[float]] = defaultdict(list)
    for line in episodes:
        scores = line["scores"][scorer]
        if questions is not None:
            scores = [s for i, s in enumerate(scores) if i in questions.get(line["task"], ())]
        tasks[line["task"]] += scores
    return cell(mean_interval([scores for scores in tasks.values() if scores], lowest=metrics.lowest(scorer)))


def cell(interval: Interval) -> dict[str, Any]:
    """An interval as the files of a run hold it."""
    return {
        "mean": interval.mean if interval.n else None,
        "low": interval.low,
        "high": interval.high,
        "n": interval.n,
        "tasks": interval.tasks,
    }


def _by_kind(
    episodes: Sequence[Mapping[str, Any]], questions: Mapping[str, Sequence[Question]], scorer: str
) -> dict[str, dict[str, Any]]:
    """The leading score by what a question hinges on and by its hops (`stream`), or by its source's type."""
    groups: dict[str, dict[str, set[int]]] = defaultdict(lambda: defaultdict(set))
    for task, asked in questions.items():
        for index, question in enumerate(asked):
            for label in labels(question):
                groups[label][task].add(index)
    return {label: _interval(episodes, scorer, members) for label, members in sorted(groups.items())}


_SHARE = "share"


def _named(
    episodes: Sequence[Mapping[str, Any]], questions: Mapping[str, Sequence[Question]]
) -> dict[str, dict[str, dict[str, Any]]]:
    """What answers name by `stale`, of all questions and by kind: each share with its interval."""
    found: dict[str, dict[str, dict[str, Any]]] = defaultdict(dict)
    for share, score in staleness.SHARES.items():
        told = [
            {**line, "scores": {_SHARE: [float(one == score) for one in line["scores"][staleness.NAME]]}}
            for line in episodes
        ]
        for kind, each in {"all": _interval(told, _SHARE), **_by_kind(told, questions, _SHARE)}.items():
            found[kind][share] = each
    return dict(found)


def _abstained(
    episodes: Sequence[Mapping[str, Any]], questions: Mapping[str, Sequence[Question]]
) -> dict[str, dict[str, int]]:
    """Answers that say that nothing tells it, where there are questions of which that is true: to these and others."""
    said = {
        name: [
            says_so(answer["text"])
            for line in episodes
            for answer, question in zip(line["answers"], questions.get(line["task"], ()), strict=False)
            if question.unanswerable is nothing
        ]
        for name, nothing in (("unanswerable", True), ("answerable", False))
    }
    return {name: {"said": sum(some), "of": len(some)} for name, some in said.items()} if said["unanswerable"] else {}


def _steps(folder: Path, finished: set[str], marks: Marks) -> dict[str, Any]:
    """Operations by kind and outcome, reading steps and how replies came, over the finished episodes."""
    steps: dict[tuple[str, int], dict[str, Any]] = {}
    for _, line in files.whole_lines(folder / STEPS):
        if line["episode"] in finished:
            counts = Counter((op["kind"], op["outcome"]) for op in line["ops"])
            told = replies.tally([line] if line["step"] >= 0 else [], marks)
            reading = line.get("question") is None
            steps[line["episode"], line["step"]] = {"reading": reading, "counts": counts, "replies": told}
    total: Counter[tuple[str, str]] = Counter()
    for step in steps.values():
        total.update(step["counts"])
    operations: dict[str, dict[str, int]] = defaultdict(dict)
    for (kind, outcome), count in sorted(total.items()):
        operations[kind][outcome] = count
    calls = [step for (_, number), step in steps.items() if number >= 0]
    return {
        "steps": {"all": len(calls), "reading": sum(step["reading"] for step in calls)},
        "replies": {name: sum(step["replies"][name] for step in steps.values()) for name in replies.tally([], marks)},
        "operations": dict(operations),
    }


def _time(folder: Path) -> dict[str, Any]:
    """Seconds by part, over the sessions that came to an end; a killed one leaves no end line."""
    path = folder / SESSIONS
    if not path.is_file():
        raise SourceError(f"{path}: not there; is this the folder of a run?")
    lines = [line for _, line in files.whole_lines(path)]
    ended = [line["seconds"] for line in lines if "seconds" in line]
    parts = ("wall", "model", "embedder", "store", "rest")
    return {
        **{name: round(sum(seconds[name] for seconds in ended), 3) for name in parts},
        "sessions": sum("begin" in line for line in lines),
        "sessions_killed": sum("begin" in line for line in lines) - len(ended),
    }


def _never(run: Mapping[str, Any]) -> dict[str, str]:
    """Scorers of the run that are 0 whatever is answered, and why."""
    found = metrics.never(run["agent"])
    return {name: why for name, why in found.items() if name in run["scorers"]}


def _judge_replies(folder: Path) -> dict[str, int]:
    """How the judge's replies came, the unreadable ones too; `all`: verdicts."""
    lines = [line for _, line in files.whole_lines(folder / VERDICTS)]
    counts = Counter(name for line in lines for name in line.get("replies", ()))
    return {"all": sum(len(line["correct"]) for line in lines), **{k: counts[k] for k in replies.HOW}}


def _spread(values: Iterable[int]) -> dict[str, float | None]:
    ordered = sorted(values)
    if not ordered:
        return {"min": None, "median": None, "max": None}
    return {"min": ordered[0], "median": median(ordered), "max": ordered[-1]}


def _setting(recipe: Mapping[str, Any], policy: Mapping[str, Any]) -> dict[str, Any]:
    """What a reader of the table must know of the recipe, and of how its policy counts."""
    # Of a policy that names its tokenizer; a script has no tokens but words.
    unit = "words (policy.tokenizer is not set)" if policy.get("tokenizer") == "words" else "tokens"
    return {
        "task": f"{recipe['task']['folder']} ({recipe['task']['split']})",
        "chunk": f"{recipe['chunk']['tokens']} {unit} by {recipe['chunk']['by']}",
        "retrieve_k": recipe["memory"]["retrieve_k"],
        "dropped": recipe["memory"]["drop"],
        **({"how": recipe["memory"]["how"]} if recipe["memory"]["drop"] else {}),
        "seed": recipe["seed"],
        "repeats": recipe["eval"]["repeats"],
        "budget": {key: value for key, value in recipe["budget"].items() if value is not None},
    }
