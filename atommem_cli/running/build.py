"""From a recipe to parts that can play: agent, policy, store, embedder, and the episodes themselves."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from atommem_cli.config.recipe import Recipe
from atommem_cli.config.schema import Plugin, chunks_of
from atommem_cli.core import seeds, thoughts
from atommem_cli.core.clock import Clock
from atommem_cli.core.episode import Agent, Episode, Limits, Policy, ServerPolicy, addressing_of, helpers_of
from atommem_cli.core.memory import Memory
from atommem_cli.core.store import Store
from atommem_cli.core.types import Chunk, Task, Trajectory
from atommem_cli.models.embedding_cache import CachedEmbedder
from atommem_cli.running import asking, helpers
from atommem_cli.running.helpers import Models
from atommem_cli.running.player import Budget, Recorder, Replies
from atommem_cli.running.rollout import Rollout
from atommem_cli.runs.identity import HELPERS
from atommem_cli.scoring.reward import Ask


@dataclass(frozen=True, slots=True)
class Parts:
    """What a recipe names, built."""

    recipe: Recipe
    agent: Agent
    policy: Policy | ServerPolicy
    store: Store
    vectors: CachedEmbedder
    helpers: Models = field(default_factory=dict, kw_only=True)
    """The further models that are asked, by name."""

    def rollout(
        self, replies: Replies | None = None, recorder: Recorder | None = None, clock: Clock | None = None
    ) -> Rollout:
        """A rollout under the recipe's budget."""
        budget = self.recipe.budget
        return Rollout(
            self.vectors,
            self.store,
            Budget(budget.calls, budget.prompt_tokens, budget.new_tokens),
            replies,
            recorder,
            clock or Clock(),
            self.helpers,
        )

    def play(
        self,
        episodes: Iterable[Episode],
        replies: Replies | None = None,
        recorder: Recorder | None = None,
        clock: Clock | None = None,
    ) -> Iterator[Trajectory]:
        """Play episodes, those of some tasks or others, with whichever kind of policy this is; yields trajectories as
        they finish.

        Raises:
            BackendError: see `Rollout.play` and `ServerPolicy.reply`.
        """
        rollout = self.rollout(replies, recorder, clock)
        if isinstance(self.policy, ServerPolicy):
            server = self.policy
            yield from asking.followed(lambda: rollout.play_async(server, episodes))
        else:
            yield from rollout.play(self.policy, episodes)

    def episodes(
        self, tasks: Iterable[Task], cut: Callable[[Task], tuple[tuple[Chunk, ...], int]] | None = None
    ) -> Iterator[Episode]:
        """The episodes of some tasks, `eval.repeats` each, made one by one as they are asked for.

        Args:
            cut: where chunks come from, if not from the method of that name.
        """
        for task in tasks:
            chunks, left_out = (cut or self.cut)(task)
            for sample in range(self.recipe.eval.repeats):
                yield self.episode(task, sample, chunks, left_out)

    def cut(self, task: Task) -> tuple[tuple[Chunk, ...], int]:
        """The chunks of a task, and the tokens that are in none of them."""
        return chunks_of(self.recipe.chunk, task.documents, self.policy.tokenizer)

    def episode(self, task: Task, sample: int, chunks: tuple[Chunk, ...], left_out: int, *, turn: int = 0) -> Episode:
        """One episode of one task.

        Args:
            chunks, left_out: see `cut`.
            turn: tells apart the same sample of the same task played again later, as training does.
        """
        recipe = self.recipe
        memory = Memory(
            f"{task.id}#{sample}",
            self.store,
            k=recipe.memory.retrieve_k,
            dropped=frozenset(recipe.memory.drop),
            untold=frozenset(recipe.memory.untold),
            max_entries=recipe.budget.entries,
            max_reads=recipe.budget.reads,
            addressing=addressing_of(self.agent),
            noise=task.noise,
        )
        limits = Limits(recipe.limits.reply, recipe.limits.answer, recipe.limits.reads, self.policy.window)
        return Episode(
            task,
            chunks,
            memory,
            self.agent,
            self.policy.tokenizer,
            limits,
            sample=sample,
            seed=seeds.derive(recipe.seed, task.id, sample, *([turn] if turn else [])),
            truncated_tokens=left_out,
            marks=thoughts.marks_of(recipe.policy.model_extra),
        )

    @property
    def ask(self) -> Ask:
        """Asks its helpers outside any episode."""
        return helpers.asker(self.recipe, self.helpers)

    def describe_helpers(self) -> dict[str, Any]:
        """What a run records about its helpers; nothing where there are none."""
        described = {name: model.describe() for name, model in self.helpers.items()}
        return {HELPERS: described} if described else {}

    def close(self) -> None:
        """Let go of the store."""
        self.store.close()


def assemble(
    recipe: Recipe,
    where: Path | None = None,
    playing: Policy | None = None,
    lent: Parts | None = None,
    helping: Models | None = None,
    further: Mapping[str, str] | None = None,
) -> Parts:
    """Build everything that a recipe names; weights load here.

    Args:
        playing: a policy that is there already (a trainer's); the recipe's own is then not built.
        lent: parts of another recipe; the policy, and the store with its embedder, that both name alike are taken
            from there.
        helping: likewise the agent's helpers.
        further: models that others than the agent ask, and who does; see `helpers.build`.
        where: the run folder. With this machine's name it stamps the run's entries in a store that others
            share: the same run finds its own leftovers again, and nobody else's.

    Raises:
        UsageError, MissingExtra, BackendError: a part cannot be built; one sentence.
    """
    store, store_options = recipe.plugin("store")
    if "run" in type(store_options).model_fields:
        place = (platform.node(), str(where.resolve())) if where else (recipe.digest, os.getpid())
        store_options = store_options.model_copy(update={"run": f"{seeds.derive(0, *place):016x}"})
    agent = recipe.build("agent")
    if playing is None:
        insist_tools(recipe, agent)
    # A store holds the vectors of one embedder.
    shared = lent if lent and kept(lent.recipe) == kept(recipe) else None
    return Parts(
        recipe,
        agent,
        playing or (lent.policy if lent and lent.recipe.policy == recipe.policy else recipe.build("policy")),
        shared.store if shared else store.build(store_options),
        shared.vectors if shared else CachedEmbedder(recipe.build("embedder")),
        helpers=_helpers(recipe, agent, further or {}, lent) if helping is None else helping,
    )


def kept(recipe: Recipe) -> tuple[Plugin, Plugin]:
    """What says where entries lie, and by which vectors they are found; not which ones."""
    return recipe.store.model_copy(update={"noise": None}), recipe.embedder


def idly_dropped(recipe: Recipe) -> str:
    """Which operations of `memory.drop` the agent does not have, in one sentence; empty where it has them all."""
    agent: Agent = recipe.build("agent")
    idle = [kind for kind in recipe.memory.drop if kind not in agent.operations]
    if not idle:
        return ""
    there = ", ".join(agent.operations) or "none"
    return (
        f"memory.drop: {', '.join(idle)}: the agent {agent.describe()['name']} has no such operation (it has: {there})"
    )


def insist_tools(recipe: Recipe, agent: Agent) -> None:
    """Insist that the policy can be told of tools where the agent does; one that cannot say so without its weights says
    it at the first call.

    Raises:
        UsageError: its chat template shows none.
    """
    module, options = recipe.plugin("policy")
    look = getattr(module, "insist_tools", None)
    if getattr(agent, "native_tools", False) and look is not None:
        look(options)


def asked_by(agent: Agent) -> dict[str, str]:
    """The further models that an agent asks, and who that is."""
    return dict.fromkeys(helpers_of(agent), f"the agent {agent.describe()['name']}")


def _helpers(recipe: Recipe, agent: Agent, further: Mapping[str, str], lent: Parts | None) -> Models:
    wanted = {**further, **asked_by(agent)}
    return helpers.build(recipe, wanted, lent.recipe.helpers if lent else {}, lent.helpers if lent else {})
