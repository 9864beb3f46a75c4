"""How likely the gold answers are to a model that is shown what questions were shown: a dense value of an episode."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from atommem_cli.core.calls import Expects, GoldReply, Likelihoods, Observation
from atommem_cli.core.episode import Agent
from atommem_cli.core.types import Trajectory
from atommem_cli.scoring.reward import BatchReward, Pair

FLOOR = -10.0
"""Least value of a question, in natural logarithms per token; also of one that was not asked."""


def value(agent: Agent, likelihoods: Likelihoods) -> BatchReward:
    """The mean log-likelihood per token of the gold answers, over the questions of an episode; in [`FLOOR`, 0].

    Of a question its last prompt counts, and of its accepted answers the first one. InfoMem and MemPO learn from such a
    signal.

    Args:
        likelihoods: asked once for all episodes, maybe for none.
    """

    def valued(pairs: Sequence[Pair]) -> list[float]:
        asked = [_replies(agent, trajectory, [q.answers[0] for q in task.questions]) for task, trajectory in pairs]
        found = iter(likelihoods([one for replies in asked for one in replies if one]))
        return [fmean(max(FLOOR, next(found)) if one else FLOOR for one in replies) for replies in asked]

    return valued


def _replies(agent: Agent, trajectory: Trajectory, answers: Sequence[str]) -> list[GoldReply | None]:
    last = {step.observation.question: step.observation for step in trajectory.transitions}
    return [_reply(agent, last[at], gold) if at in last else None for at, gold in enumerate(answers)]


def _reply(agent: Agent, observation: Observation, gold: str) -> GoldReply:
    around = agent.write(Expects.ANSWER, [], _MARK)
    reply = agent.write(Expects.ANSWER, [], gold)
    start = around.index(_MARK)
    return GoldReply(observation, reply, start, len(reply) - (len(around) - start - len(_MARK)))


_MARK = "mark7411"
"""Stands for an answer, to find where it is."""
