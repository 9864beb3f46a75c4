"""Evaluation: play every planned episode, or a share of them, score it, write it down, sum it up."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from atommem_cli.config.blame import blaming
from atommem_cli.config.recipe import Recipe
from atommem_cli.core import folders
from atommem_cli.core.clock import Clock
from atommem_cli.core.errors import Interrupted, UsageError, did_you_mean
from atommem_cli.core.files import write_whole
from atommem_cli.core.safe_text import json_text
from atommem_cli.core.types import Answer, Progress, Question, StopReason, Task
from atommem_cli.data import chosen_tasks
from atommem_cli.data.files import verify
from atommem_cli.running import judge_pass, room
from atommem_cli.running.build import Parts, assemble
from atommem_cli.running.session import session
from atommem_cli.runs import identity, score_tables, shards, summary
from atommem_cli.runs.labels import telling
from atommem_cli.runs.layout import SUMMARY, TABLE
from atommem_cli.runs.shards import Shard
from atommem_cli.runs.writer import Folder, RunFolder, latest
from atommem_cli.scoring import llm_judge, metrics, staleness


def planned_tasks(recipe: Recipe) -> Iterator[Task]:
    """The tasks a recipe names.

    Raises:
        SourceError: they are not prepared, or damaged.
        UsageError: they have fewer distractors than `task.distractors`.
    """
    return chosen_tasks.read(recipe, recipe.task.split, recipe.task.limit)


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
    out: str | Path,
    *,
    command: Sequence[str] = (),
    progress: Progress | None = None,
    parts: Parts | None = None,
    joined: Sequence[Path] | None = None,
) -> dict[str, Any]:
    """Play, score and sum up; continues a run that was begun in the same folder, and joins its shards.

    Args:
        out: the run folder.
        command: the command line, for the record.
        parts: what the recipe names, where it is there already; left open.
        joined: folders of its shards, which nobody plays any more; None is those in it.

    Returns:
        The content of `summary.json` (see `summary.summarize`).

    Raises:
        UsageError: unknown scorer, tasks missing, a folder of another run, or a shard that is still played.
        BackendError: something outside failed; what had finished is saved.
        Interrupted: the user stopped it; likewise.
    """
    out = Path(out)
    given = shards.found(out) if joined is None else [part for part in joined if (part / folders.RUN).is_file()]
    if joined is None:
        shards.insist_stopped(given)
    with _ready(recipe, out, parts) as (playing, known):
        shards.insist_same(given, known)
        before = _taken(out, known, recipe, given) if given else {}
        with RunFolder(out, known, recipe.dump()) as run:
            run.changed = {**before, **run.changed}
            with session(run, playing, command) as clock:
                tasks = planned_tasks(recipe)
                questions = _play(run, playing, tasks, known["scorers"], known["episodes"], clock, progress)
                if llm_judge.NAME in known["scorers"]:
                    judging = llm_judge.instructions_of(known["judge"])
                    judge_pass.judge(recipe, out, latest(run.episodes.read()), questions.__getitem__, judging)
        return sum_up(out, questions)


@dataclass(frozen=True, slots=True)
class Share:
    """How far a shard is."""

    shard: str
    """Which one of how many, as 1/4."""
    folder: str
    planned: int
    """Episodes of this shard."""
    evaluated: int
    failed: int
    """Of these; the same command tries them again."""


def play_shard(
    recipe: Recipe,
    out: Path,
    shard: Shard,
    *,
    command: Sequence[str] = (),
    progress: Progress | None = None,
    parts: Parts | None = None,
    beside: Sequence[Path] = (),
) -> Share:
    """Play and score one share of an evaluation, without its judge; `evaluate` joins it to the others.

    Args:
        out: the shard's own folder, see `Shard.folder`.
        command, progress, parts: as `evaluate`.
        beside: folders of the run and of its other shards.

    Raises:
        AtommemError: as `evaluate`.
    """
    with _ready(recipe, out, parts) as (playing, known):
        shards.insist_same(beside, known)
        planned = shard.share(known["episodes"] // recipe.eval.repeats) * recipe.eval.repeats
        with (
            RunFolder(out, {**known, shards.KEY: str(shard)}, recipe.dump()) as run,
            session(run, playing, command) as clock,
        ):
            tasks = shard.deal(planned_tasks(recipe))
            _play(run, playing, tasks, known["scorers"], planned, clock, progress)
            lines = latest(run.episodes.read())
    failed = sum(line["stop"] == StopReason.ERROR for line in lines)
    return Share(str(shard), str(out), planned, len(lines), failed)


@contextmanager
def _ready(recipe: Recipe, out: Path, given: Parts | None) -> Iterator[tuple[Parts, dict[str, Any]]]:
    """The parts that play, and what the run is."""
    manifest = verify(Path(recipe.task.folder) / recipe.task.split)
    scorers = recipe.eval.scorers or metrics.default_scorers(manifest.source)
    check_scorers(recipe, scorers)
    folders.claim(out)
    judging = llm_judge.instructions(recipe.eval.judging, manifest.source)
    with blaming():
        parts = given or assemble(recipe, out)
    try:
        with blaming():
            _insist_known(parts.policy, recipe)
            room.insist(parts)
            yield (
                parts,
                {
                    "command": "eval",
                    "recipe": recipe.content,
                    "tasks": manifest.sha256,
                    "episodes": identity.planned(recipe, manifest),
                    "scorers": scorers,
                    identity.SOURCES: identity.sources(recipe),
                    "agent": parts.agent.describe(),
                    "policy": parts.policy.describe(),
                    "embedder": parts.vectors.describe(),
                    **parts.describe_helpers(),
                    **({"judge": llm_judge.prompt_digest(judging)} if llm_judge.NAME in scorers else {}),
                },
            )
    except KeyboardInterrupt:
        raise Interrupted(f"stopped; what had finished is in {out}: the same command goes on from there") from None
    finally:
        if given is None:
            parts.close()


def _insist_known(policy: object, recipe: Recipe) -> None:
    """Insist that a policy that does not play every task plays the first one; nothing is written yet."""
    if insist := getattr(policy, "insist_known", None):
        insist(next(planned_tasks(recipe)))


def _taken(out: Path, known: Mapping[str, Any], recipe: Recipe, given: Sequence[Path]) -> dict[str, list[Any]]:
    """Take over what shards have; what has changed of what may, since the run was last begun."""
    with Folder(out, known, recipe.dump()) as run:
        shards.take_over(run, given)
        return run.changed


def sum_up(folder: Path, questions: Mapping[str, Sequence[Question]]) -> dict[str, Any]:
    """Write `summary.json` and `table.md` of a run folder from its lines, given the questions of each task."""
    result = summary.summarize(folder, questions)
    write_whole(folder / SUMMARY, json_text(result) + "\n")
    write_whole(folder / TABLE, score_tables.evaluation(result))
    return result


def _play(
    run: RunFolder,
    parts: Parts,
    tasks: Iterable[Task],
    scorers: Sequence[str],
    planned: int,
    clock: Clock,
    progress: Progress | None,
) -> dict[str, tuple[Question, ...]]:
    """Play and score what is not finished yet; the questions of each, by the task's name."""
    questions: dict[str, tuple[Question, ...]] = {}

    def drawn() -> Iterator[Task]:
        for task in tasks:
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
    """Per scorer, one number per question, in its range: answer i against the golds of question i alone.

    The judge is not among them; it comes after the episodes (`judge_pass`).
    """
    pairs = list(zip(answers, questions, strict=True))
    return {
        name: [metrics.SCORERS[name](answer, question) for answer, question in pairs]
        for name in scorers
        if name != llm_judge.NAME
    }


def check_scorers(recipe: Recipe, scorers: Sequence[str]) -> None:
    """Insist that a recipe can be scored so.

    Raises:
        UsageError: an unknown scorer, one that can only be 0 under the agent's dialect, `stale` where no question says
            what is outdated, or no judge where one is named.
    """
    known = [*metrics.SCORERS, llm_judge.NAME]
    for name in scorers:
        if name not in known:
            hint = did_you_mean(name, known)
            raise UsageError(f"eval.scorers: no scorer {name!r}{hint} (there are: {', '.join(known)})")
    for name, reason in metrics.never(recipe.agent.model_extra).items():
        if name in scorers:
            raise UsageError(f"eval.scorers: {name} {reason}: name another one, or another agent.dialect")
    if staleness.NAME in scorers:
        chosen_tasks.insist_outdated(Path(recipe.task.folder) / recipe.task.split, f"eval.scorers: {staleness.NAME}")
    if llm_judge.NAME in scorers and recipe.eval.judge is None:
        raise UsageError("eval.scorers names judge: say which policy judges in eval.judge")
