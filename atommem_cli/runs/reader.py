"""The folder of an evaluation: what evidence is made from. A run that still goes on can be read, too."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from atommem_cli.config import recipe as recipes
from atommem_cli.config.recipe import Recipe
from atommem_cli.config.schema import chunks_of
from atommem_cli.core.chunking import Tokenizer
from atommem_cli.core.episode import Agent
from atommem_cli.core.errors import RunMismatch, SourceError, UsageError
from atommem_cli.core.files import read_json
from atommem_cli.core.types import Chunk, StopReason, Task
from atommem_cli.data.chosen_tasks import ChosenTasks
from atommem_cli.data.files import TaskFile, verify
from atommem_cli.runs import judges, shards
from atommem_cli.runs.chunk_bounds import Cuts
from atommem_cli.runs.journals import Fault, Offsets, incomplete, offsets, shaped
from atommem_cli.runs.layout import EPISODES, RECIPE, RUN, SCHEMA, STEPS, Line
from atommem_cli.runs.writer import Folder, latest
from atommem_cli.scoring import llm_judge

_COMMANDS = ("eval", "grpo")
"""Whose episodes are read: evaluations, and the rollouts that a training keeps."""


class Run:
    """The folder of an evaluation."""

    def __init__(self, path: str | Path) -> None:
        """
        Raises:
            UsageError: it is no folder of `atommem eval`, holds shards alone, or is of another schema version.
            SourceError: a file in it is damaged.
        """
        path = Path(path)
        shards.insist_joined(path)
        for name in (RUN, RECIPE, EPISODES, STEPS):
            if not (path / name).is_file():
                raise UsageError(f"{path}: not the folder of an `atommem eval` run (it has no {name})")
        identity = read_json(path / RUN)
        if identity.get("command") not in _COMMANDS:
            raise UsageError(f"{path}: not the folder of an `atommem eval` run (it is of {identity.get('command')})")
        if identity.get("schema") != SCHEMA:
            raise UsageError(
                f"{path}: its files are of schema version {identity.get('schema')} and this atommem reads version "
                f"{SCHEMA}: read it with the version that wrote it (sessions.jsonl names it), or run it again"
            )
        self.path = path
        self.identity: Mapping[str, Any] = identity
        self.recipe: Recipe = recipes.load(str(path / RECIPE))

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.path.resolve().name

    @functools.cached_property
    def episodes(self) -> dict[str, Line]:
        """The last line of each episode by its name, sorted; failed ones too, `lost` ones not.

        Raises:
            SourceError: a line is damaged.
        """
        return {name: line for name, line in self._written.items() if name not in self.lost}

    @functools.cached_property
    def lost(self) -> frozenset[str]:
        """Episodes that have a line, but not the steps that it sums up: they count as not finished.

        Steps that are there and are not as they were stay what they are: `replay` names them.

        Raises:
            SourceError: a line is damaged.
        """
        faults = incomplete(self.path / STEPS, list(self._written.values()), self._offsets)
        return frozenset(name for name, fault in faults.items() if fault is Fault.MISSING)

    @functools.cached_property
    def _written(self) -> dict[str, Line]:
        return {line["episode"]: line for line in latest(line for _, line in shaped(self.path / EPISODES))}

    @functools.cached_property
    def verdicts(self) -> dict[str, list[float]]:
        """The judge's verdicts on each episode, one per question; empty where none has judged.

        Raises:
            SourceError: a line is damaged.
        """
        return judges.verdicts(self.path, self.episodes.values())

    @functools.cached_property
    def judge(self) -> judges.Judge | None:
        """Who gave them, or will; None for nobody.

        Raises:
            SourceError: its record is damaged.
        """
        return judges.of(self.path, self.identity)

    @property
    def planned(self) -> int:
        """Episodes of the whole run."""
        count: int = self.identity["episodes"]
        return count

    def insist_begun(self, *, ended: bool = False) -> None:
        """
        Args:
            ended: whether an episode must have come to its end, and its steps be here; else it suffices that one has
                begun.

        Raises:
            UsageError: none has.
        """
        if not self.episodes if ended else not self._written and not (self.path / STEPS).stat().st_size:
            raise UsageError(
                f"{self.path}: none of its {self.planned:,} episodes has {'ended' if ended else 'begun'} yet"
                f"{self._loss}: the command that began the run goes on with it"
            )

    @property
    def complete(self) -> bool:
        """Whether every planned episode has a line; a failed one counts, as wrong."""
        return len(self.episodes) == self.planned

    @property
    def extent(self) -> str:
        """How far an unfinished run is, to stand behind its name; empty for a complete one."""
        if self.complete:
            return ""
        return f" (unfinished, {len(self.episodes):,} of {self.planned:,} episodes{self._loss})"

    @property
    def _loss(self) -> str:
        return f"; {STEPS} lacks steps of {len(self.lost):,} more" if self.lost else ""

    @functools.cached_property
    def scorers(self) -> tuple[str, ...]:
        """Names of the scorers; with a judge that came after the run, where it has judged every episode."""
        return judges.scorers(
            self.path, self.identity, whole=self.judge is not None and self.verdicts.keys() == self.episodes.keys()
        )

    @property
    def leading(self) -> str:
        """The scorer that counts wherever one must; see `llm_judge.leading`."""
        return llm_judge.leading(self.scorers)

    @property
    def folder(self) -> Path:
        """The prepared tasks that were played."""
        return Path(self.recipe.task.folder) / self.recipe.task.split

    def insist_complete(self) -> None:
        """
        Raises:
            UsageError: episodes are missing.
        """
        if not self.complete:
            raise UsageError(
                f"{self.path}: the run is not finished, {len(self.episodes)} of {self.planned} episodes are played"
                f"{self._loss}: its own command goes on where it stopped"
            )

    def held(self) -> Folder:
        """The folder, open for writing by this process alone; for what is written beside the journal.

        Raises:
            RunMismatch: another process works on it.
            BackendError: it cannot be written.
        """
        return Folder(self.path, {k: v for k, v in self.identity.items() if k != "schema"}, self.recipe.dump())

    def check(self) -> None:
        """Insist on the tasks that were played.

        Raises:
            SourceError: they are not there any more, or damaged.
            RunMismatch: the folder holds others now.
        """
        if verify(self.folder).sha256 != self.identity["tasks"]:
            raise RunMismatch(f"{self.path}: was played on other tasks than those in {self.folder} now: play it again")

    def task(self, name: str) -> Task:
        """A task by its id, read from disk.

        Raises:
            SourceError: the prepared tasks are not there, or damaged.
            RunMismatch: they are not those that were played, or the task is not among them.
        """
        if name not in self._numbers:
            raise RunMismatch(f"{self.path}: {self.folder} holds no task {name}: it was prepared again since")
        return self._tasks[self._numbers[name]]

    @functools.cached_property
    def agent(self) -> Agent:
        """What played it, as it is now."""
        agent: Agent = self.recipe.build("agent")
        return agent

    @functools.cached_property
    def tokenizer(self) -> Tokenizer:
        """What counted the policy's tokens; without weights.

        Raises:
            MissingExtra: the model's folder is not there any more.
        """
        tokenizer: Tokenizer = self.recipe.tokenizer()
        return tokenizer

    @functools.cached_property
    def cuts(self) -> Cuts:
        """How the tasks were cut, as the run wrote it down.

        Raises:
            SourceError: a line is damaged.
        """
        return Cuts(self.path)

    def cut(self, task: Task) -> tuple[tuple[Chunk, ...], int]:
        """What the agent read, step by step, and the tokens that are in none of the chunks.

        Raises:
            SourceError, RunMismatch: the run's own record of it is damaged, or does not fit.
            MissingExtra: there is no such record, and the model's folder is not there any more.
        """
        kept = self.cuts.chunks(task)
        return chunks_of(self.recipe.chunk, task.documents, self.tokenizer) if kept is None else kept

    def chunks(self, task: Task) -> tuple[Chunk, ...]:
        """What the agent read, step by step; as `cut`."""
        return self.cut(task)[0]

    def steps(self, episode: str) -> list[Line]:
        """The journal of one episode by step; -1 is what the agent did before its first call.

        Empty for an episode that is not there. An episode that was played again has its last lines.

        Raises:
            SourceError: a line is damaged, of whatever episode.
        """
        lines: list[Line] = []
        with (self.path / STEPS).open("rb") as file:
            for _, offset in sorted(self._offsets.get(episode, {}).items()):
                file.seek(offset)
                lines.append(json.loads(file.readline()))
        return lines

    @functools.cached_property
    def _offsets(self) -> Offsets:
        return offsets(self.path / STEPS)

    @functools.cached_property
    def _tasks(self) -> TaskFile:
        self.check()
        return ChosenTasks(self.recipe, self.recipe.task.split, self.recipe.task.limit)

    @functools.cached_property
    def _numbers(self) -> dict[str, int]:
        return self._tasks.numbers


def failed(line: Mapping[str, Any]) -> bool:
    """Whether an episode ended in an error instead of an answer."""
    return bool(line["stop"] == StopReason.ERROR)


def open_all(paths: Sequence[Path]) -> list[Run]:
    """Several runs, each once.

    Raises:
        UsageError, SourceError: as `Run`.
    """
    return [Run(path) for path in {path.resolve(): path for path in paths}.values()]


def by_task(run: Run, scorer: str) -> dict[str, list[float]]:
    """Scores of each task's questions, one repeat after another.

    Raises:
        SourceError: an episode has no such score.
    """
    judged = run.verdicts if scorer == llm_judge.NAME else {}
    scores: dict[str, list[float]] = {}
    for name, line in run.episodes.items():
        each = judged.get(name, line["scores"].get(scorer))
        if each is None:
            raise SourceError(f"{run.path}: {name} has no score {scorer!r}")
        scores.setdefault(line["task"], []).extend(each)
    return scores
