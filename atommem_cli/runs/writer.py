"""Run folders: written once, appended to, continued, never mixed.

    recipe.yaml      the resolved recipe
    run.json         what the run is: everything that must be the same for it to be continued
    sessions.jsonl   one line when a process begins to work on the run, one when it ends
    steps.jsonl      one line per model call, appended when the step is over
    episodes.jsonl   one line per episode, appended when it is over
    chunks.jsonl     one line per task, how its stream was cut; see `chunk_bounds`
    summary.json, table.md   made from the lines above, and made again by each session

Every line is one `write`; a line that a kill or a full disk cut short is removed when the run is opened
again, and its episode or step is played again.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

from atommem_cli.core import folders
from atommem_cli.core.calls import Finish, Generation, Observation
from atommem_cli.core.errors import BackendError, RunMismatch
from atommem_cli.core.files import Lines, lock, read_json, write_whole
from atommem_cli.core.types import MemoryEntry, OpResult, StopReason, Trajectory, Transition
from atommem_cli.core.yaml_file import parse_yaml
from atommem_cli.runs import identity as what
from atommem_cli.runs.chunk_bounds import Cuts, cut_line
from atommem_cli.runs.digests import StepsDigest, prompt_hash
from atommem_cli.runs.journals import Fault, incomplete, offsets, shaped
from atommem_cli.runs.layout import (
    CHUNKS,
    EPISODES,
    LOCK,
    RECIPE,
    RUN,
    SCHEMA,
    SESSIONS,
    STEPS,
    Line,
    episode_line,
    opening_line,
    recorded_reply,
    step_line,
)


class Folder:
    """A folder that belongs to one run, open for writing by this process alone. Use as a context manager."""

    def __init__(self, path: Path, identity: Mapping[str, Any], recipe: str) -> None:
        """Make the folder, or continue it.

        Args:
            identity: JSON values; a folder whose `run.json` differs is refused.
            recipe: the resolved recipe in YAML.

        Raises:
            RunMismatch: another process works on it, it is another run's (names the keys that differ), or it holds
                what no run left there.
            BackendError: it cannot be written.
        """
        self.path = path
        self.changed: dict[str, list[Any]] = {}
        """Recipe keys that may change and have changed since the last start: old and new value."""
        self._held = ExitStack()
        """What is closed in the end, the lock last."""
        folders.claim(path)
        try:
            path.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(path / LOCK, os.O_CREAT | os.O_RDWR, 0o644)
        except OSError as error:
            raise BackendError(f"{path}: cannot be written: {error.strerror}") from None
        self._held.callback(os.close, self._lock)
        try:
            self._claim(identity, recipe)
            self.sessions = self._open(SESSIONS)
        except BaseException:
            self._held.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._held.close()

    def _open(self, name: str) -> Lines:
        lines = Lines(self.path / name)
        self._held.callback(lines.close)
        return lines

    def _claim(self, identity: Mapping[str, Any], recipe: str) -> None:
        if not lock(self._lock, self.path):
            raise RunMismatch(f"{self.path}: another atommem process is working on this run")
        wanted = json.loads(json.dumps({"schema": SCHEMA, **identity}))
        mark, settings = self.path / RUN, self.path / RECIPE
        if mark.exists():
            known = read_json(mark)
            if why := what.refusal(known, wanted):
                raise RunMismatch(f"{self.path}: this folder belongs to {why}")
            if settings.is_file():
                self.changed = what.moved(settings, parse_yaml(recipe, "recipe"))
        else:
            folders.claim(self.path)  # another process may have been faster
            known = None
        # What may change is from now on what this start says; sessions.jsonl keeps what it was.
        if wanted != known:
            write_whole(mark, json.dumps(wanted, indent=2) + "\n")
        if self.changed or not settings.is_file():
            write_whole(settings, recipe)


class RunFolder(Folder):
    """The folder of an evaluation: episodes, and the journal of their steps."""

    def __init__(self, path: Path, identity: Mapping[str, Any], recipe: str) -> None:
        """Make the folder, or continue it; as `Folder`.

        An episode whose steps are not all there, or not as they were, has its line taken away: it is played again.

        Raises:
            SourceError: a line is damaged.
        """
        super().__init__(path, identity, recipe)
        try:
            self.episodes = self._open(EPISODES)
            self.steps = self._open(STEPS)
            self._chunks = self._open(CHUNKS)
            self._cut = {*Cuts(path).lines}
            """Tasks whose cut is written down."""
            lines = latest(line for _, line in shaped(self.episodes.path))
            self._index = offsets(self.steps.path)
            """What earlier sessions left."""
            self.lost = self._mend(lines)
            """Episodes whose lines were taken away."""
            self._finished = {line["episode"] for line in lines if line["stop"] != StopReason.ERROR} - self.lost
            self._open_steps: dict[str, StepsDigest] = {}
            """Of episodes that are in play."""
        except BaseException:
            super().__exit__()
            raise

    def __exit__(self, *_: object) -> None:
        self.steps.sync()
        self.episodes.sync()
        self._chunks.sync()
        super().__exit__()

    def _mend(self, episodes: Sequence[Line]) -> frozenset[str]:
        lost = incomplete(self.steps.path, episodes, self._index)
        if lost:
            self.episodes.keep(lambda line: line["episode"] not in lost)
            spoilt = {name for name, fault in lost.items() if fault is Fault.CHANGED}
            self.steps.keep(lambda line: line["episode"] not in spoilt)  # which of its steps, nobody can say
            self._index = offsets(self.steps.path)
        return frozenset(lost)

    # --- of a rollout: where replies come from, and where steps go (player.Replies, player.Recorder)

    def finished(self, episode: str) -> bool:
        """Whether the episode's line is written; failed ones are played again."""
        return episode in self._finished

    def recorded(self, episode: str, step: int, observation: Observation) -> Generation | None:
        """The reply an earlier session got at this step to this very prompt."""
        offset = self._index.get(episode, {}).get(step)
        if offset is None:
            return None
        line = self.steps.line_at(offset)
        if line["prompt"] != prompt_hash(observation) or line["finish"] == Finish.ERROR:
            return None
        return recorded_reply(line)

    def opening(self, episode: str, noise: Sequence[MemoryEntry], results: Sequence[OpResult]) -> None:
        """What lay in the store, and operations an agent ran before its first call: step -1."""
        if -1 not in self._index.get(episode, {}):
            self.steps.append(opening_line(episode, noise, results))

    def step(self, episode: str, step: int, transition: Transition) -> None:
        """Append one step, unless an earlier session did."""
        line = step_line(episode, step, prompt_hash(transition.observation), transition)
        if step == 0:
            self._open_steps[episode] = StepsDigest()
        self._open_steps[episode].add(line)
        if self.recorded(episode, step, transition.observation) is None:
            self.steps.append(line)

    # --- episodes and the rest

    def episode(self, trajectory: Trajectory, scores: Mapping[str, Sequence[float]]) -> None:
        """Append one finished episode with its scores (per scorer, one number per question)."""
        if trajectory.episode in self._finished:
            return
        if trajectory.task not in self._cut:
            self._chunks.append(cut_line(trajectory.task, trajectory.chunks, trajectory.left_out))
            self._cut.add(trajectory.task)
        self.steps.sync()  # a power cut must not keep the line and lose what it sums up
        digest = self._open_steps.pop(trajectory.episode, StepsDigest())
        self.episodes.append(episode_line(trajectory, scores, str(digest)))
        if trajectory.stop is not StopReason.ERROR:
            self._finished.add(trajectory.episode)

    def write_trajectory(self, trajectory: Trajectory, scores: Mapping[str, Sequence[float]]) -> None:
        """Append an episode that was played without this journal: what it began with, its steps, its line."""
        if trajectory.opening or trajectory.noise:
            self.opening(trajectory.episode, trajectory.noise, trajectory.opening)
        for number, step in enumerate(trajectory.transitions):
            self.step(trajectory.episode, number, step)
        self.episode(trajectory, scores)

    @property
    def count(self) -> int:
        """Episodes that are finished for good (failed ones are not)."""
        return len(self._finished)


def latest(episodes: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """The last line of each episode, by episode name: a failed one may have been played again."""
    by_name = {line["episode"]: line for line in episodes}
    return [by_name[name] for name in sorted(by_name)]


def digest(episodes: Iterable[dict[str, Any]]) -> str:
    """One hash over all episodes, in whatever order they were written. Holds no time."""
    lines = [json.dumps(line, sort_keys=True) for line in latest(episodes)]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
