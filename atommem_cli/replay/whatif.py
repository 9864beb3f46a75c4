"""What would have become of an episode if an operation had not been written, or another one had.

The episode is played again with one change to what the policy wrote. Its recorded replies stand wherever the prompt
is still the one that they answered, at the same step; to every other prompt the policy of the run's recipe speaks,
with the seeds of the run, its embedder and its kind of store. Nothing is written into the run folder.

An agent learns what became of the changed operations as if the policy had written them so. One exception: of
operations inserted into a step that had none it does not hear. An inserted Read then shows its entries from the next
prompt on, but the same chunk is not shown once more. A reply that a conversation shows again stays as it was written.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace

from atommem_cli.core.episode import Episode, Policy, ServerPolicy
from atommem_cli.core.errors import RunMismatch, UsageError
from atommem_cli.core.types import OpResult, Outcome, Progress, StopReason, Trajectory
from atommem_cli.replay import checks
from atommem_cli.replay.episode_view import Operation, book, find
from atommem_cli.replay.interventions import (
    Drop,
    Edited,
    Intervention,
    Recorded,
    Replace,
    Start,
    asked_only,
    edit,
)
from atommem_cli.replay.recorded import Tape
from atommem_cli.replay.replay import retrieving, silent
from atommem_cli.running import evaluation
from atommem_cli.running.build import Parts
from atommem_cli.runs.reader import Run, failed
from atommem_cli.runs.strict_reader import differences
from atommem_cli.scoring import metrics


@dataclass(frozen=True, slots=True)
class End:
    """How one play of the episode ended."""

    stop: StopReason
    answers: tuple[str, ...]
    """One per question; likewise the scores."""
    scores: Mapping[str, Sequence[float]]
    """By scorer, in its range; the judge is not asked."""
    memory: str
    """Digest."""
    entries: tuple[str, ...]
    scratchpad: str
    query: str
    context: str
    """Digest; empty where the agent keeps none."""
    messages: int
    """In the context."""


@dataclass(frozen=True, slots=True)
class WhatIf:
    """What an intervention changed."""

    episode: str
    intervention: Intervention
    operation: Operation | None
    """Drop and Replace: what the run had there."""
    written: tuple[OpResult, ...]
    """Insert and Replace: what became of the operations that were put there."""
    changed: int | None
    """First step whose prompt changed; None where none did (fewer may have been asked)."""
    replayed: int
    """Calls that the run's replies answered."""
    asked: int
    """Calls that the policy answered anew."""
    left: int
    """Calls of the run that were not made any more."""
    before: End
    after: End
    error: str
    """Why the policy did not answer; then nothing is known of the price."""

    @property
    def price(self) -> dict[str, tuple[float, ...]]:
        """Score before minus score after, by scorer, one number in [-1, 1] per question; empty after an error."""
        if self.error:
            return {}
        return {
            name: tuple(was - now for was, now in zip(scores, self.after.scores[name], strict=True))
            for name, scores in self.before.scores.items()
        }

    @property
    def lost(self) -> tuple[str, ...]:
        """Texts of entries that only the run had at its end."""
        return tuple((Counter(self.before.entries) - Counter(self.after.entries)).elements())

    @property
    def gained(self) -> tuple[str, ...]:
        """Texts of entries that are there only now."""
        return tuple((Counter(self.after.entries) - Counter(self.before.entries)).elements())


def price(run: Run, name: str, change: Intervention) -> WhatIf:
    """Play an episode again under an intervention.

    Args:
        name: of the episode, with or without `#0`.

    Raises:
        UsageError: there is no such episode, it failed or is not finished, or has no such operation or step.
        RunMismatch: the tasks, the program or the weights of the policy are others than those of the run.
        BackendError: a part does not serve.
    """
    return _play(run, name, [change])[0]


def leave_one_out(run: Run, name: str, progress: Progress | None = None) -> list[WhatIf]:
    """Price every operation of an episode that was carried out: each one is dropped in turn, all in one batch.

    Args:
        progress: called with plays done, planned, and a remark.

    Raises:
        UsageError, RunMismatch, BackendError: as `price`.
    """
    done = [one.number for one in book(run, name).operations if one.outcome is Outcome.OK]
    if not done:
        raise UsageError(f"{run.path}: no operation of {name} was carried out, so there is none to leave out")
    return _play(run, name, [Drop(number) for number in done], progress)


def _play(
    run: Run,
    name: str,
    changes: Sequence[Intervention],
    progress: Progress | None = None,
) -> list[WhatIf]:
    name = find(run, name)
    line, steps = run.episodes[name], run.steps(name)
    if failed(line):
        raise UsageError(f"{run.path}: {name} failed ({line.get('error')}): there is no end to compare with")
    for finding in checks.identity(run):
        raise RunMismatch(f"{run.path}: this is not the run as it was played: {finding}")
    operations = book(run, name).operations
    edits = [edit(run.agent, change, steps) for change in changes]
    mute = silent(run)
    with closing(retrieving(run, mute)) as parts:
        insist_same(run, "embedder", parts.vectors.describe())
        task = run.task(line["task"])
        start = Start(task, line["sample"], *run.cut(task))
        before = _as_it_was(run, name, start.episode(parts), parts)
        agents = [Edited(parts.agent, one) for one in edits]
        episodes = [start.episode(replace(parts, agent=agent)) for agent in agents]
        for number, episode in enumerate(episodes):
            episode.id = episode.memory.episode = f"{name}~{number}"  # of its own in the store; seeds stay
        replies, ends = Recorded(steps), dict[str, Trajectory]()
        for played in replace(parts, policy=_heard(run, replies)).play(episodes, replies):
            ends[played.episode] = played
            if progress:
                progress(len(ends), len(episodes), "")
    scorers = [scorer for scorer in run.scorers if scorer in metrics.SCORERS] or metrics.default_scorers(task.source)
    calls = run.episodes[name]["usage"]["calls"]
    return [
        WhatIf(
            episode=name,
            intervention=change,
            operation=operations[change.number - 1] if isinstance(change, Drop | Replace) else None,
            written=tuple(agent.written),
            changed=replies.changed.get(episode.id),
            replayed=replies.replayed[episode.id],
            asked=replies.asked[episode.id],
            left=max(0, calls - replies.replayed[episode.id] - replies.asked[episode.id]),
            before=_end(*before, scorers),
            after=_end(episode, ends[episode.id], scorers),
            error=ends[episode.id].error if ends[episode.id].stop is StopReason.ERROR else "",
        )
        for change, agent, episode in zip(changes, agents, episodes, strict=True)
    ]


def _as_it_was(run: Run, name: str, episode: Episode, parts: Parts) -> tuple[Episode, Trajectory]:
    """Play the episode unchanged, without its policy: what follows would else be compared with something else."""
    tape = Tape(run)
    tape.begin(name)
    (trajectory,) = parts.play([episode], tape)
    tape.compare(trajectory)
    return episode, trajectory


def _heard(run: Run, replies: Recorded) -> Policy | ServerPolicy:
    """The policy of the run, weights loaded, for what has no recorded reply."""
    policy: Policy | ServerPolicy = run.recipe.build("policy")
    insist_same(run, "policy", policy.describe())
    return policy if isinstance(policy, ServerPolicy) else asked_only(policy, replies.open)


def insist_same(run: Run, what: str, described: Mapping[str, str]) -> None:
    """Insist that a part is the one of the run; the device may be another.

    Raises:
        RunMismatch: it is not; names what differs.
    """
    for path, was, now in differences(run.identity[what], described):
        if path != "device":
            if run.identity["command"] != "eval" and what == "policy":
                raise RunMismatch(
                    f"{run.path}: the model that played these rollouts was trained on since, and is not kept: play "
                    "tasks with one that is, its training or a checkpoint, by `atommem eval --policy FOLDER`"
                )
            raise RunMismatch(
                f"{run.path}: its {what} is another one now: {path} was {was} and is {now}; "
                "bring back the old one, or play the run again"
            )


def _end(episode: Episode, trajectory: Trajectory, scorers: Sequence[str]) -> End:
    memory = episode.memory
    return End(
        trajectory.stop,
        tuple(answer.text for answer in trajectory.answers),
        evaluation.score(episode.task.questions, trajectory.answers, scorers),
        trajectory.digest,
        tuple(entry.text for entry in memory.entries),
        memory.scratchpad,
        memory.query,
        trajectory.context,
        len(episode.context.entries),
    )


# --- as tables
