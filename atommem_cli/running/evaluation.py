"""Evaluation: play every planned episode, score it, write it down, sum it up."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from atommem_cli.config.recipe import Recipe
from atommem_cli.core import folders
from atommem_cli.core.clock import Clock
from atommem_cli.core.errors import Interrupted, UsageError, did_you_mean
from atommem_cli.core.files import write_whole
from atommem_cli.core.safe_text import json_text
from atommem_cli.core.types import Answer, Progress, Question, StopReason, Task
from atommem_cli.data.preparation import read_tasks, verify
from atommem_cli.running import judge_pass
from atommem_cli.running.build import Parts, assemble
from atommem_cli.running.session import session
from atommem_cli.runs import identity, score_tables, summary
from atommem_cli.runs.labels import telling
from atommem_cli.runs.writer import RunFolder, latest
from atommem_cli.scoring import llm_judge, metrics


def planned_tasks(recipe: Recipe) -> Iterator[Task]:
    """The tasks a recipe names.

    Raises:
        SourceError: they are not prepared, or damaged.
    """
    return read_tasks(Path(recipe.task.folder) / recipe.task.split, recipe.task.limit)


def run_path(recipe: Recipe, out: Path | None, *, several: bool = False) -> Path:
    """Where a run goes: `results/eval-<recipe>-<agent>-<policy>-<digest8>`, or the folder the user named (one per
    agent in it).

    Raises:
        UsageError: that folder lies in the folder of a run.
    """
    if out is not None:
        folder = out / folders.part(recipe.agent.name) if several else out
        folders.insist_apart(folder)
        return folder
    older = Path("results") / f"eval-{recipe.name}-{recipe.digest[:8]}"
    if older.is_dir():  # begun when names did not say who played
        return older
    options = recipe.policy.model_extra or {}
    policy = telling(str(options.get("model") or options.get("script") or recipe.policy.name))
    who = (folders.part(one) for one in (recipe.agent.name, policy))
    return Path("results") / "-".join(["eval", recipe.name, *who, recipe.digest[:8]])


def evaluate(
    recipe: Recipe,
    out: Path,
    *,
    command: Sequence[str] = (),
    progress: Progress | None = None,
    parts: Parts | None = None,
) -> dict[str, Any]:
    """Play, score and sum up; continues a run that was begun in the same folder.

    Args:
        out: the run folder.
        command: the command line, for the record.
        parts: what the recipe names, where it is there already; left open.

    Returns:
        The content of `summary.json` (see `summary.summarize`).

    Raises:
        UsageError: unknown scorer, tasks missing, or a folder of another run.
        BackendError: something outside failed; what had finished is saved.
        Interrupted: the user stopped it; likewise.
    """
    manifest = verify(Path(recipe.task.folder) / recipe.task.split)
    scorers = recipe.eval.scorers or metrics.default_scorers(manifest.source)
    check_scorers(recipe, scorers)
    folders.claim(out)
    given, parts = parts, parts or assemble(recipe, out)
    try:
        planned = identity.planned(recipe, manifest)
        known = {
            "command": "eval",
            "recipe": recipe.content,
            "tasks": manifest.sha256,
            "episodes": planned,
            "scorers": scorers,
            identity.SOURCES: identity.sources(recipe),
            "agent": parts.agent.describe(),
            "policy": parts.policy.describe(),
            "embedder": parts.vectors.describe(),
            **({"judge": llm_judge.prompt_digest()} if "judge" in scorers else {}),
        }
        with RunFolder(out, known, recipe.dump()) as run, session(run, parts, command) as clock:
            questions = _play(run, parts, scorers, planned, clock, progress)
            if "judge" in scorers:
                judge_pass.judge(recipe, out, latest(run.episodes.read()), questions.__getitem__)
        result = sum_up(out, questions)
    except KeyboardInterrupt:
        raise Interrupted(f"stopped; what had finished is in {out}: the same command goes on from there") from None
    finally:
        if given is None:
            parts.close()
    return result


def sum_up(folder: Path, questions: Mapping[str, Sequence[Question]]) -> dict[str, Any]:
    """Write `summary.json` and `table.md` of a run folder from its lines, given the questions of each task."""
    result = summary.summarize(folder, questions)
    write_whole(folder / "summary.json", json_text(result) + "\n")
    write_whole(folder / "table.md", score_tables.evaluation(result))
    return result


def _play(
    run: RunFolder,
    parts: Parts,
    scorers: Sequence[str],
    planned: int,
    clock: Clock,
    progress: Progress | None,
) -> dict[str, tuple[Question, ...]]:
    """Play and score what is not finished yet; the questions of every task, by the task's name."""
    questions: dict[str, tuple[Question, ...]] = {}

    def drawn() -> Iterator[Task]:
        for task in planned_tasks(parts.recipe):
            questions[task.id] = task.questions  # the documents need not stay in memory
            yield task

    failed: set[str] = set()
    if progress:
        progress(run.count, planned, "")
    for trajectory in parts.play(parts.episodes(drawn()), run, run, clock):
        run.episode(trajectory, score(questions[trajectory.task], trajectory.answers, scorers))
        if trajectory.stop is StopReason.ERROR:
            failed.add(trajectory.episode)
        if progress:
            progress(run.count + len(failed), planned, f"({len(failed)} failed)" if failed else "")
    return questions


def score(questions: Sequence[Question], answers: Sequence[Answer], scorers: Sequence[str]) -> dict[str, list[float]]:
    """Per scorer, one number in [0, 1] per question: answer i against the golds of question i alone.

    The judge is not among them; it comes after the episodes (`judge_pass`).
    """
    pairs = list(zip(answers, questions, strict=True))
    return {
        name: [metrics.SCORERS[name](answer, question.answers) for answer, question in pairs]
        for name in scorers
        if name != "judge"
    }


def check_scorers(recipe: Recipe, scorers: Sequence[str]) -> None:
    """Insist that a recipe can be scored so.

    Raises:
        UsageError: an unknown scorer, one that can only be 0 under the agent's dialect, or no judge where one is named.
    """
    known = [*metrics.SCORERS, "judge"]
    for name in scorers:
        if name not in known:
            hint = did_you_mean(name, known)
            raise UsageError(f"eval.scorers: no scorer {name!r}{hint} (there are: {', '.join(known)})")
    for name, reason in metrics.never(recipe.agent.model_extra).items():
        if name in scorers:
            raise UsageError(f"eval.scorers: {name} {reason}: name another one, or another agent.dialect")
    if "judge" in scorers and recipe.eval.judge is None:
        raise UsageError("eval.scorers names judge: say which policy judges in eval.judge")
