"""A judge for a run that is finished: its answers are asked about, and nothing is played.

The run's lines, its digest and its other scores stay what they are; `judge.json` (see `judges`) says who judged, and
the verdicts lie as those of a run whose own recipe names a judge. A folder has one judge: scores of several beside
each other would be taken for one.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from atommem_cli.config import command_line
from atommem_cli.config.recipe import Recipe
from atommem_cli.core.errors import Interrupted, RunMismatch, UsageError
from atommem_cli.core.files import read_json, write_whole
from atommem_cli.core.types import Progress
from atommem_cli.running import evaluation, judge_pass
from atommem_cli.runs import judges, provenance
from atommem_cli.runs.identity import changed_keys
from atommem_cli.runs.labels import judge_label
from atommem_cli.runs.layout import JUDGE, SCHEMA, VERDICTS
from atommem_cli.runs.reader import Run
from atommem_cli.scoring import llm_judge


def chosen(run: Run, judge: str | None, changes: Sequence[str]) -> Recipe:
    """The run's recipe with the judge that a command line means.

    Args:
        judge: as `command_line.meant` takes a policy; None is the judge that has begun, or else the recipe's.
        changes: `eval.judge.key=value`.

    Raises:
        RecipeError: file, key and a suggestion in one sentence.
        UsageError: another key is set, or nobody is named.
    """
    for change in changes:
        key = change.partition("=")[0]
        if [part.strip() for part in key.split(".")][:2] != ["eval", llm_judge.NAME]:
            raise UsageError(f"--set {key}: the run is played; only keys of eval.judge can be set")
    path = run.path / JUDGE
    if judge is not None:
        named = [f"eval.judge={json.dumps(command_line.named(judge))}"]
    else:
        named = [f"eval.judge={json.dumps(read_json(path)['judge'])}"] if path.is_file() else []
    recipe = run.recipe.changed([*named, *changes])
    if recipe.eval.judge is None:
        raise UsageError(
            "say which policy judges, as in --judge openai_server --set eval.judge.url=URL --set eval.judge.model=M"
        )
    return recipe


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
    run.insist_complete()
    run.check()
    with run.held():
        _record(run, recipe, command)
        questions = {name: run.task(name).questions for name in sorted({e["task"] for e in run.episodes.values()})}
        try:
            judge_pass.judge(recipe, run.path, list(run.episodes.values()), questions.__getitem__, progress)
        except KeyboardInterrupt:
            raise Interrupted(
                f"stopped; the verdicts that had come are in {run.path / VERDICTS}: the same command goes on"
            ) from None
        return evaluation.sum_up(run.path, questions)


def _record(run: Run, recipe: Recipe, command: Sequence[str]) -> None:
    """Write down who judges, before the first verdict.

    Raises:
        RunMismatch: somebody else has judged an answer.
    """
    assert recipe.eval.judge is not None
    section = recipe.eval.judge.model_dump(mode="json")
    prompt = llm_judge.prompt_digest()
    # What was never answered is wrong whoever judges.
    judged = [name for name in run.verdicts if any(answer["text"] for answer in run.episodes[name]["answers"])]
    anew = f"to have another judge, copy the folder, or take {JUDGE} and {VERDICTS} out of it"
    if judged and run.judge is None:
        raise RunMismatch(f"{run.path}: {VERDICTS} is there and no {JUDGE} that says whose it is: {anew}")
    if (
        judged
        and run.judge is not None
        and (keys := sorted(changed_keys(run.judge, judges.described(section, prompt))))
    ):
        raise RunMismatch(
            f"{run.path}: was judged by {judge_label(run.judge)} ({len(judged):,} of {run.planned:,} episodes), and "
            f"these differ: {', '.join(keys)}: {anew}"
        )
    if run.verdicts.keys() == run.episodes.keys():
        return
    path = run.path / JUDGE
    before = read_json(path)["sessions"] if judged else []
    now = {
        "schema": SCHEMA,
        "judge": section,
        "prompt": prompt,
        "sessions": [*before, provenance.session_start(command, {})],
    }
    write_whole(path, json.dumps(now, indent=2, ensure_ascii=False) + "\n")
