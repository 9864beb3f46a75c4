"""What a run folder has of each model call: the reply, and the entries that its prompt showed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NoReturn

from atommem_cli.core.calls import Finish, Generation, Observation
from atommem_cli.core.errors import RunMismatch
from atommem_cli.core.store import Change
from atommem_cli.core.types import StopReason, Trajectory
from atommem_cli.running.stubs import StubStore
from atommem_cli.runs.digests import prompt_hash
from atommem_cli.runs.layout import Line, recorded_reply
from atommem_cli.runs.reader import Run, failed

if TYPE_CHECKING:
    from atommem_cli.core.store import Vector


class Tape:
    """The recorded replies of a run; and what was shown with them."""

    def __init__(self, run: Run) -> None:
        self.retrievals = Retrievals()
        """Those of the episode in play up to its coming prompt."""
        self.cut: set[str] = set()
        """Episodes that ended before a prompt was asked; see `unasked`."""
        self._run = run
        self._ends = {name: line for name, line in run.episodes.items() if not failed(line)}
        self.tasks = {line["task"] for line in self._ends.values()}
        self._steps: dict[int, Line] = {}

    def begin(self, episode: str) -> None:
        """An episode starts to play."""
        self._steps = {line["step"]: line for line in self._run.steps(episode)}
        self.retrievals.before(self._steps.get(0))

    def finished(self, episode: str) -> bool:
        """Whether it need not be played: those that have an end are."""
        return episode not in self._ends

    def recorded(self, episode: str, step: int, observation: Observation) -> Generation:
        """The reply to this very prompt.

        Raises:
            RunMismatch: there was another prompt, or none.
        """
        line = self._steps.get(step)
        if line is None and unasked(self._run, self._ends[episode], step):
            self.cut.add(episode)
            return END
        if line is None or line["prompt"] != prompt_hash(observation):
            self._mismatch(episode, f"step {step} comes out with another prompt")
        self.retrievals.before(self._steps.get(step + 1))
        return recorded_reply(line)

    def compare(self, trajectory: Trajectory) -> None:
        """Insist on the same end: memory and answers.

        Raises:
            RunMismatch: it is another one.
        """
        line = self._ends[trajectory.episode]
        answers = [{"text": answer.text, "tagged": answer.tagged} for answer in trajectory.answers]
        if (trajectory.digest, answers) != (line["memory"], line["answers"]):
            self._mismatch(trajectory.episode, "it ends with another memory or other answers")

    def _mismatch(self, episode: str, what: str) -> NoReturn:
        raise RunMismatch(
            f"{self._run.path}: {episode} cannot be played again, {what}: "
            "tasks, dialect or program have changed since the run; collect it again"
        )


def ids(line: Line | None) -> list[int]:
    """The entries that the prompt of a step showed, best first; none where there is no such step."""
    return [entry for entry, _ in line["shown"]] if line else []


class Retrievals:
    """What was retrieved before a prompt, in order."""

    def __init__(self) -> None:
        self._left: list[list[int]] = []

    def before(self, line: Line | None) -> None:
        """Of the prompt of this step; nothing where there is no such step."""
        self._left = list(line.get("retrieved") or [ids(line)]) if line else []

    def next(self) -> list[int]:
        """Ids of what the next retrieval found; the last one is found as often as it is asked for."""
        return self._left.pop(0) if self._left[1:] else self._left[0] if self._left else []


END = Generation("", Finish.ERROR, error="the recording ends here")
"""Ends an episode in play."""


def unasked(run: Run, line: Line, step: int) -> bool:
    """Whether an episode ended before this step, because its prompt was too long for the budget.

    What that prompt showed is not recorded, since it was never asked: played again without retrieval it may be
    shorter. The run's word is taken for it.
    """
    stopped = line["stop"] == StopReason.BUDGET and line["usage"].get("calls") == step
    return bool(stopped) and run.recipe.budget.prompt_tokens is not None


def without_end(trajectory: Trajectory) -> Trajectory:
    """What it is without the step that `END` made, for an episode that was `unasked`."""
    usage = replace(trajectory.usage, calls=trajectory.usage.calls - 1)
    kept = trajectory.transitions[:-1]
    return replace(trajectory, stop=StopReason.BUDGET, error="", usage=usage, transitions=kept)


class Shown(StubStore):
    """A store that finds what was found."""

    def __init__(self, retrievals: Retrievals, begin: Callable[[str], None] | None = None) -> None:
        """
        Args:
            retrievals: those of the episode in play.
            begin: called when an episode starts to play.
        """
        self._retrievals = retrievals
        self._begin = begin
        self._ids: set[int] = set()
        """Entries of the one episode in play."""

    def begin(self, episodes: Sequence[str]) -> None:
        self._ids = set()
        if self._begin:
            self._begin(*episodes)

    def write(self, changes: Sequence[Change]) -> None:
        for change in changes:
            (self._ids.discard if change.vector is None else self._ids.add)(change.entry.id)

    def nearest(self, episode: str, query: Vector, k: int) -> list[int]:
        return [
            entry for entry in self._retrievals.next() if entry in self._ids
        ]  # one that is missing shows in the prompt

    def end(self, episodes: Sequence[str]) -> None:
        self._ids = set()
