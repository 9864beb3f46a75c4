"""What every operation of an episode was worth at its end.

The price of an operation that took effect is the value of the episode minus its value without the operation. The
memory is rebuilt without it: what was deleted stays, what was updated stays as it was, what was created is not there.
All other operations stand as they were written, and what comes of them is settled anew (`answer_stage`). So under
`budget.entries` a Create that was refused goes in where the one that is left out gives it room: what an entry costs
that fills the store is part of its price. Only the answer stage is played again. Where a prompt about a question is
as it was, its reply stands; elsewhere the policy is asked again, with the seed of the call that it is in place of, so
that both replies draw the same noise.

A price is not known where leaving the operation out changes nothing that a question was shown, unless its text was
shown: then something else shows the same, and it was worth nothing. (Leave-one-out is 0 for entries that were never
retrieved, however much they are needed: arXiv 2610.02070.) Nor is it known of what edits a context, and of agents that
ask their questions within what they have read: `Prices.apart` counts their episodes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from atommem_cli.core.episode import Episode, ServerPolicy
from atommem_cli.core.types import CONTEXT_OPS, OpKind, StopReason, Trajectory
from atommem_cli.replay.answer_stage import Answering, Place, Recorded, Stage
from atommem_cli.replay.interventions import asked_only
from atommem_cli.running.build import Parts
from atommem_cli.scoring.reward import BatchReward, Pair


@dataclass(frozen=True, slots=True)
class OperationPrice:
    """What one operation that took effect was worth."""

    place: Place
    kind: OpKind
    price: float | None
    """None: not known."""


@dataclass(frozen=True, slots=True)
class Prices:
    """What the operations of some episodes were worth."""

    episodes: tuple[tuple[OperationPrice, ...], ...]
    """Of each episode, in order."""
    calls: int
    """Of the policy, that it took."""
    apart: int
    """Episodes whose questions cannot be asked apart from what was read."""


@dataclass(frozen=True, slots=True)
class _Again:
    """One more play of an answer stage."""

    of: int
    """The number of the episode."""
    stage: Stage
    without: Place | None
    name: str


def prices(
    parts: Parts,
    played: Sequence[Pair],
    value: BatchReward,
    *,
    was: Sequence[float] | None = None,
    held: bool = False,
    turn: int = 0,
    asked: Callable[[], None] = lambda: None,
) -> Prices:
    """Price all operations of some episodes.

    Args:
        parts: the agent, the embedder and the policy that played them; their store is left alone.
        value: of episodes, those without an operation among them. Called once, maybe about none.
        was: that of the episodes as they were played, where it is known.
        held: whether replies stand even where a prompt changes, so that no policy is asked: for a value that goes by
            prompts.
        turn: that of the episodes (`Parts.episode`).
        asked: called when the policy has been asked for the last time.

    Raises:
        BackendError: the policy or the embedder does not serve.
    """
    replies = Recorded(held)
    exact: Parts = replace(parts, store=parts.recipe.changed(["store.name=exact"]).build("store"))
    if not isinstance(parts.policy, ServerPolicy):
        exact = replace(exact, policy=asked_only(parts.policy, replies.waiting))
    stages = [Stage(*pair) for pair in played]
    asked_about = [at for at, stage in enumerate(stages) if _has_questions(stage)]
    whole = [_Again(at, stages[at], None, f"{stages[at].trajectory.episode}~{at}") for at in asked_about]
    for _ in exact.play([_episode(exact, one, replies, turn) for one in whole], replies):
        pass
    apart = {one.of for one in whole if one.name in replies.changed}
    plays = list(_plays(stages, [at for at in asked_about if at not in apart]))
    ends = {end.episode: end for end in exact.play([_episode(exact, one, replies, turn) for one in plays], replies)}
    asked()
    changed = [one for one in plays if one.name in replies.changed and _came(ends[one.name])]
    found = value([*([] if was else played), *((one.stage.task, _whole(one.stage, ends[one.name])) for one in changed)])
    before, without = (was, found) if was else (found[: len(played)], found[len(played) :])
    known: list[dict[Place | None, float]] = [{} for _ in stages]
    for one, end in zip(changed, without, strict=True):
        known[one.of][one.without] = before[one.of] - end
    for one in plays:
        if one.name not in replies.changed and one.without in one.stage.visible:
            known[one.of][one.without] = 0.0
    return Prices(
        tuple(
            tuple(OperationPrice(place, op.op.kind, prices.get(place)) for place, op in stage.carried_out.items())
            for stage, prices in zip(stages, known, strict=True)
        ),
        replies.asked,
        len(apart),
    )


def _has_questions(stage: Stage) -> bool:
    return _came(stage.trajectory) and stage.first < len(stage.trajectory.transitions)


def _plays(stages: Sequence[Stage], numbers: Sequence[int]) -> Iterator[_Again]:
    """Of each of these stages one without each operation on the memory in turn."""
    for at in numbers:
        stage = stages[at]
        priced = (place for place, one in stage.carried_out.items() if one.op.kind not in CONTEXT_OPS)
        for place in priced:
            yield _Again(at, stage, place, f"{stage.trajectory.episode}~{at}~{place.step}~{place.number}")


def _episode(parts: Parts, again: _Again, replies: Recorded, turn: int) -> Episode:
    stage, played = again.stage, again.stage.trajectory
    agent = Answering(parts.agent, stage, again.without)
    episode = replace(parts, agent=agent).episode(stage.task, played.sample, played.chunks, played.left_out, turn=turn)
    episode.id = episode.memory.episode = again.name  # of its own in the store; the seed stays
    episode.used = stage.used
    replies.stages[again.name] = stage
    if again.without is None:
        replies.unchanged.add(again.name)
    return episode


def _came(trajectory: Trajectory) -> bool:
    return trajectory.stop is not StopReason.ERROR


def _whole(stage: Stage, end: Trajectory) -> Trajectory:
    """The episode with another answer stage."""
    before = stage.trajectory.transitions[: stage.first]
    return replace(
        stage.trajectory,
        answers=end.answers,
        stop=end.stop,
        error=end.error,
        transitions=(*before, *end.transitions),
        usage=end.usage,
        digest=end.digest,
    )
