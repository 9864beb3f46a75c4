"""A finished run played again without a model: its prompts, which the run folder holds as hashes alone.

Agents are deterministic, so the recorded replies lead through the same prompts; each is compared with its
hash. What a Read showed is on the tape too, so that neither embedder nor store is needed. Nothing is
written into the run folder, and a run that is still going on can be read.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from atommem_cli import recipe as recipes
from atommem_cli.assembly import Parts
from atommem_cli.episode import Call
from atommem_cli.errors import RunMismatch, UsageError
from atommem_cli.evaluation import planned_tasks
from atommem_cli.jsonlines import read_json
from atommem_cli.preparation import verify
from atommem_cli.recipe import Recipe
from atommem_cli.text import Tokenizer
from atommem_cli.training.tape import EPISODES, STEPS, Blind, Shown, Tape
from atommem_cli.training.words import outline
from atommem_cli.types import Generation, Task, Trajectory
from atommem_cli.vectors import CachedEmbedder


class Run:
    """The folder of an evaluation, read only."""

    def __init__(self, path: Path) -> None:
        """
        Raises:
            UsageError: it is no folder of `atommem eval`.
            SourceError: a file in it is damaged.
        """
        for name in ("run.json", "recipe.yaml", EPISODES, STEPS):
            if not (path / name).is_file():
                raise UsageError(f"{path}: not the folder of an `atommem eval` run (it has no {name})")
        identity = read_json(path / "run.json")
        if identity.get("command") != "eval":
            raise UsageError(f"{path}: not the folder of an `atommem eval` run (it is of {identity.get('command')})")
        self.path = path
        self.recipe: Recipe = recipes.load(str(path / "recipe.yaml"))
        self._tasks: str = identity["tasks"]
        self._tape = Tape(path)

    def check(self) -> None:
        """Insist on the tasks that were played.

        Raises:
            SourceError: they are not there any more, or damaged.
            RunMismatch: the folder holds others now.
        """
        folder = Path(self.recipe.task.folder) / self.recipe.task.split
        if verify(folder).sha256 != self._tasks:
            raise RunMismatch(f"{self.path}: was played on other tasks than those in {folder} now: collect it again")

    def play(self) -> Iterator[tuple[Task, Trajectory]]:
        """Every episode that came to its end, failed ones left out, one task after another.

        Raises:
            RunMismatch: the run cannot be played again as it was.
        """
        recipe, tape = self.recipe, self._tape
        module, options = recipes.plugin("policies", recipe.policy)
        agents, agent_options = recipes.plugin("agents", recipe.agent)
        window: int | None = getattr(options, "window", None)
        if recipe.policy.name == "hf":
            window = outline(options).window
        silent = _Silent(module.tokenizer(options), window)
        parts = Parts(recipe, agents.build(agent_options), silent, Shown(tape), CachedEmbedder(Blind()))
        drawn: list[Task] = []

        def tasks() -> Iterator[Task]:
            for task in planned_tasks(recipe):
                if task.id in tape.tasks:
                    drawn[:] = [task]  # the others need not stay in memory
                    yield task

        for trajectory in parts.play(tasks(), tape):
            tape.compare(trajectory)
            yield drawn[0], trajectory


@dataclass
class _Silent:
    """A policy that is never asked: the tape has every reply, or refuses."""

    tokenizer: Tokenizer
    window: int | None
    batch: int = 1

    def generate(self, calls: Sequence[Call]) -> list[Generation]:
        raise AssertionError("a replay asks no policy")

    def describe(self) -> dict[str, str]:
        return {"name": "replay"}
