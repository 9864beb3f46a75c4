"""`grpo.curriculum`: which stages of its episodes a training plays when, and what they are rewarded by.

AgeMem's authors train in three stages, each from what the one before has learned, and leave open whether another order
would do (arXiv 2601.01885; papers.md 2.2, 2.3). Here an order is a list of phases. A stage that a phase leaves out is
not played: its chunks are none of the episode's, its questions are not asked. The store is still empty where stage 1 is
left out.

The paper has one reward, of whole episodes: a third of it is the answer's. An episode without stage 3 has no answer,
which every scorer takes for a wrong one, so such a phase must be rewarded by something that it has: parts of the store
or the context, or a composite that holds some (`agemem_paper`). Validation plays whole episodes, and is told in
`grpo.rewards`, always.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from atommem_cli.config.recipe import Recipe
from atommem_cli.config.schema import GrpoSection, PhaseSection
from atommem_cli.core.chunking import distracting
from atommem_cli.core.errors import UsageError
from atommem_cli.core.types import Answer, Chunk, Task, Trajectory
from atommem_cli.running import helpers
from atommem_cli.scoring import metrics, rewards

STAGES = (1, 2, 3)
QUESTIONS = 3
"""The stage in which they are asked."""
_OF_ANSWERS = (*metrics.SCORERS, "tagged", rewards.LIKELIHOOD)
"""Rewards of answers alone."""


def check(recipe: Recipe) -> None:
    """Refuse phases that cannot be trained in.

    Raises:
        UsageError: one sentence.
    """
    section, key = recipe.grpo, "grpo.curriculum"
    if not section.curriculum:
        return
    if not getattr(recipe.build("agent"), "stages", 0):
        raise UsageError(f"{key}: the agent {recipe.agent.name} has no stages that could be left out; agemem has")
    for number, phase in enumerate(section.curriculum):
        here = f"{key}[{number}]"
        if not phase.stages or sorted({*phase.stages}) != [*phase.stages]:
            raise UsageError(f"{here}.stages: name stages from 1 to 3, each once and in order")
        if phase.updates is None and number + 1 < len(section.curriculum):
            raise UsageError(f"{here}.updates: say how many; only the last phase may last to the end")
        if phase.rewards is not None:
            helpers.check_weights(recipe, phase.rewards, f"{here}.rewards")
        if QUESTIONS not in phase.stages and not _beside_answers(weights(section, phase)):
            raise UsageError(
                f"{here}: without stage 3 there is no answer, and nothing else is rewarded: give it `rewards` of the "
                "memory or the context, agemem_paper for one, or ask the questions, too"
            )
        if section.credit.name != "trajectory" and (phase.rewards is not None or QUESTIONS not in phase.stages):
            raise UsageError(f"{here}: grpo.credit prices operations by grpo.rewards of answers, in every phase")


def _beside_answers(given: Mapping[str, float]) -> bool:
    return any(weight and name not in _OF_ANSWERS for name, weight in given.items())


def phase_at(section: GrpoSection, update: int) -> PhaseSection | None:
    """The phase of an update, counted from 0; None where there are no phases. After the last one they begin anew."""
    phases = section.curriculum
    if not phases:
        return None
    at, known = update, sum(phase.updates or 0 for phase in phases)
    if phases[-1].updates is not None:
        at %= known
    for phase in phases[:-1]:
        if at < (phase.updates or 0):
            return phase
        at -= phase.updates or 0
    return phases[-1]


def weights(section: GrpoSection, phase: PhaseSection | None) -> Mapping[str, float]:
    """What a phase is rewarded by."""
    return section.rewards if phase is None or phase.rewards is None else phase.rewards


def every_reward(section: GrpoSection) -> dict[str, float]:
    """The rewards of all phases and their weights in `grpo.rewards`, 0 where they have none."""
    found = dict(section.rewards)
    for phase in section.curriculum:
        found |= {name: 0.0 for name in phase.rewards or () if name not in found}
    return found


def part(task: Task, chunks: Sequence[Chunk], stages: Sequence[int]) -> tuple[Task, tuple[Chunk, ...]]:
    """What an episode of these stages is given of a task and its chunks."""
    late = distracting(task.documents, chunks)
    kept = tuple(chunk for chunk in chunks if (2 if chunk.index in late else 1) in stages)
    return (task if QUESTIONS in stages else replace(task, questions=())), kept


def whole(trajectory: Trajectory, task: Task) -> Trajectory:
    """The trajectory with an empty answer to every question that was not asked."""
    missing = len(task.questions) - len(trajectory.answers)
    return replace(trajectory, answers=(*trajectory.answers, *[Answer("")] * missing)) if missing else trajectory


def told(section: GrpoSection) -> str:
    """The phases in words; empty where there are none."""
    said = []
    for phase in section.curriculum:
        which = f"stage{'s' * (len(phase.stages) > 1)} {', '.join(map(str, phase.stages))}"
        said.append(which if phase.updates is None else f"{phase.updates:,} updates of {which}")
    anew = "then anew" if section.curriculum and section.curriculum[-1].updates is not None else ""
    return "; ".join(filter(None, [*said, anew]))
