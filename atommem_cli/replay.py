"""A finished run played again without a model: its prompts, which the run folder holds as hashes alone.

Agents are deterministic, so the recorded replies lead through the same prompts; each is compared with its
hash. What a Read showed is on the tape too, so that neither embedder nor store is needed. Nothing is
written into the run folder, and a run that is still going on can be read.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from atommem_cli import recipe as recipes
from atommem_cli.assembly import Parts
from atommem_cli.episode import Call
from atommem_cli.evaluation import planned_tasks
from atommem_cli.runs import Run
from atommem_cli.tape import Blind, Shown, Tape
from atommem_cli.text import Tokenizer
from atommem_cli.types import Generation, Task, Trajectory
from atommem_cli.vectors import CachedEmbedder


def play(run: Run) -> Iterator[tuple[Task, Trajectory]]:
    """Every episode that came to its end, failed ones left out, one task after another.

    Raises:
        RunMismatch: the run cannot be played again as it was.
    """
    recipe, tape = run.recipe, Tape(run)
    policies, options = recipes.plugin("policies", recipe.policy)
    agents, agent_options = recipes.plugin("agents", recipe.agent)
    silent = _Silent(run.tokenizer, policies.window(options))
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
