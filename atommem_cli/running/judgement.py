"""A judge for a run that is finished: its answers are asked about, or its stores, and nothing is played.

The run's lines, its digest and its other scores stay what they are; `judge.json` (see `judges`) says who judged, and
the verdicts lie as those of a run whose own recipe names a judge. A folder has one judge: scores of several beside
each other would be taken for one. The stores may have another judge than the answers: `grader.json` says which.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from atommem_cli.config import command_line
from atommem_cli.config.recipe import Recipe
from atommem_cli.core.errors import Interrupted, RunMismatch, UsageError
from atommem_cli.core.files import read_json, write_whole
from atommem_cli.core.types import Progress
from atommem_cli.data.files import read_manifest
from atommem_cli.running import evaluation, grade_pass, judge_pass
from atommem_cli.runs import judges, provenance
from atommem_cli.runs.identity import changed_keys
from atommem_cli.runs.labels import judge_label
from atommem_cli.runs.layout import GRADER, GRADES, JUDGE, SCHEMA, VERDICTS
from atommem_cli.runs.reader import Run
from atommem_cli.scoring import llm_judge


def chosen(run: Run, judge: str | None, changes: Sequence[str], *, memory: bool = False) -> Recipe:
    """The run's recipe with the judge that a command line means.

    Args:
        judge: as `command_line.meant` takes a policy; None is the judge that has begun, or else the recipe's.
        changes: `eval.judge.key=value`, and `eval.judging`.
        memory: whether it is to judge the stores; None for `judge` is then the one that has begun with these first.

    Raises:
        RecipeError: file, key and a suggestion in one sentence.
        UsageError: another key is set, or nobody is named.
    """
    for change in changes:
        key = change.partition("=")[0]
        if [part.strip() for part in key.split(".")][:2] not in (["eval", llm_judge.NAME], ["eval", "judging"]):
            raise UsageError(f"--set {key}: the run is played; only keys of eval.judge can be set, and eval.judging")
    begun = [path for name in ([GRADER] if memory else []) + [JUDGE] if (path := run.path / name).is_file()]
    if judge is not None:
        named = [f"eval.judge={json.dumps(command_line.named(judge))}"]
    else:
        named = [setting for path in begun[:1] for setting in _as_begun(read_json(path))]
    recipe = run.recipe.changed([*named, *changes])
    if recipe.eval.judge is None:
        raise UsageError(
            "say which policy judges, as in --judge openai_server --set eval.judge.url=URL --set eval.judge.model=M"
        )
    return recipe


def _as_begun(record: Mapping[str, Any]) -> list[str]:
    """What a recipe says of a judge that has begun, and of the instructions of one that judges answers."""
    judging = llm_judge.instructions_of(record["prompt"])
    return [f"eval.judge={json.dumps(record['judge'])}", *([f"eval.judging={judging}"] if judging else [])]


def judge(run: Run, recipe: Recipe, *, command: Sequence[str] = (), progress: Progress | None = None) -> dict[str, Any]:
    """Judge every answer that has no verdict yet, and sum the run up again; what was begun goes on where it stopped.

    Args:
        recipe: the run's, with a judge; see `chosen`.
        command: the command line, for the record.

    Returns:
        The content of `summary.json` (see `summary.summarize`).

    Raises:
        UsageError: the run is not finished, or its own recipe has a judge.
        RunMismatch: another judge has begun, the tasks are others now, or another process works on the run.
        AtommemError: the judge gave no readable verdict on an answer; all others are kept.
        BackendError: it failed; the verdicts that had come are kept.
        Interrupted: the user stopped it; likewise.
    """
    if run.identity["command"] != "eval":
        raise UsageError(f"{run.path}: rollouts that a training kept are not judged: judge a run of eval")
    if llm_judge.NAME in run.identity["scorers"]:
        who = f", {judge_label(run.judge)}" if run.judge else ""
        raise UsageError(
            f"{run.path}: its own recipe has a judge{who}, who judges when it is played: for another one, play it "
            "into another --out"
        )

    judging = llm_judge.instructions(recipe.eval.judging, read_manifest(run.folder).source)

    def begun() -> _Done:
        # What was never answered is wrong whoever judges.
        judged = [name for name in run.verdicts if any(answer["text"] for answer in run.episodes[name]["answers"])]
        return _Done(JUDGE, VERDICTS, llm_judge.prompt_digest(judging), run.judge, judged, len(run.verdicts))

    with _session(run, recipe, command, begun):
        questions = {name: run.task(name).questions for name in sorted({e["task"] for e in run.episodes.values()})}
        judge_pass.judge(recipe, run.path, list(run.episodes.values()), questions.__getitem__, judging, progress)
        return evaluation.sum_up(run.path, questions)


def grade(run: Run, recipe: Recipe, *, command: Sequence[str] = (), progress: Progress | None = None) -> None:
    """Have the store of every episode graded that has no grade yet; see `grade_pass`.

    Args:
        recipe, command: as `judge`.

    Raises:
        UsageError: the run is not finished, or its agent has no store.
        RunMismatch, AtommemError, BackendError, Interrupted: as `judge`.
    """
    if not grade_pass.has_store(run):
        raise UsageError(f"{run.path}: its agent, {run.identity['agent']['name']}, has no store that could be graded")

    def begun() -> _Done:
        graded = judges.grades(run.path, run.episodes.values())
        return _Done(GRADER, GRADES, grade_pass.prompt_digest(), judges.grader(run.path), list(graded), len(graded))

    with _session(run, recipe, command, begun):
        grade_pass.grade(recipe, run, progress)


class _Done(NamedTuple):
    """What has been judged of a run, and by whom."""

    record: str
    lines: str
    prompt: str
    """Digest of today's instructions."""
    judge: judges.Judge | None
    asked: Sequence[str]
    """Episodes that were asked about."""
    episodes: int
    """All that have a line."""


@contextmanager
def _session(run: Run, recipe: Recipe, command: Sequence[str], begun: Callable[[], _Done]) -> Iterator[None]:
    """Judging goes on within it, under the run's lock.

    Args:
        begun: looks what has been judged before.

    Raises:
        UsageError, RunMismatch, Interrupted: as `judge`.
    """
    run.insist_complete()
    run.check()
    with run.held():
        done = begun()
        _record(run, recipe, command, done)
        try:
            yield
        except KeyboardInterrupt:
            raise Interrupted(
                f"stopped; the verdicts that had come are in {run.path / done.lines}: the same command goes on"
            ) from None


def _record(run: Run, recipe: Recipe, command: Sequence[str], done: _Done) -> None:
    """Write down who judges, before the first verdict.

    Raises:
        RunMismatch: somebody else has judged.
    """
    assert recipe.eval.judge is not None
    section = recipe.eval.judge.model_dump(mode="json")
    anew = f"to have another judge, copy the folder, or take {done.record} and {done.lines} out of it"
    if done.asked and done.judge is None:
        raise RunMismatch(f"{run.path}: {done.lines} is there and no {done.record} that says whose it is: {anew}")
    if (
        done.asked
        and done.judge is not None
        and (keys := sorted(changed_keys(done.judge, judges.described(section, done.prompt))))
    ):
        raise RunMismatch(
            f"{run.path}: was judged by {judge_label(done.judge)} ({len(done.asked):,} of {run.planned:,} episodes), "
            f"and these differ: {', '.join(keys)}: {anew}"
        )
    if done.episodes == len(run.episodes):
        return
    path = run.path / done.record
    before = read_json(path)["sessions"] if done.asked else []
    now = {
        "schema": SCHEMA,
        "judge": section,
        "prompt": done.prompt,
        "sessions": [*before, provenance.session_start(command, {})],
    }
    write_whole(path, json.dumps(now, indent=2, ensure_ascii=False) + "\n")
