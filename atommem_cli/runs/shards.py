"""Shards: one run played by several processes, maybe on several machines, and joined by its own command.

    RUN/shards/1-of-4/     the folder of one process, with the files of a run; its run.json has one more key, `shard`

Tasks are dealt like cards, in their order: shard i of N plays the tasks i, i + N, i + 2N, ..., all repeats of each. A
process writes below its own folder alone, so nothing depends on the locks of a shared disk. Whoever joins copies what
is finished into the run's own files; what is missing is then played as in any run that was cut off.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from atommem_cli.core import folders
from atommem_cli.core.errors import RunMismatch, UsageError
from atommem_cli.core.files import Lines, lock, read_json, whole_lines
from atommem_cli.core.types import StopReason
from atommem_cli.runs import identity
from atommem_cli.runs.chunk_bounds import Cuts
from atommem_cli.runs.journals import Fault, Offsets, incomplete, offsets, shaped
from atommem_cli.runs.layout import CHUNKS, EPISODES, LOCK, SCHEMA, SESSIONS, STEPS, Line
from atommem_cli.runs.writer import Folder, latest

KEY = "shard"
"""Key of a shard's `run.json`, and of its sessions where they are copied to: which one of how many."""

_JOIN = "the command that played them, without --shard, joins them and plays what is missing"
_Item = TypeVar("_Item")


@dataclass(frozen=True, slots=True)
class Shard:
    """One of several shares of a run."""

    number: int
    """From 1."""
    of: int
    """How many there are."""

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"

    def folder(self, run: Path) -> Path:
        """Where its process writes."""
        return run / folders.SHARDS / f"{self.number}-of-{self.of}"

    def deal(self, tasks: Iterable[_Item]) -> Iterator[_Item]:
        """Its tasks, of all that are planned."""
        return islice(tasks, self.number - 1, None, self.of)

    def share(self, tasks: int) -> int:
        """How many of so many tasks are its own."""
        return len(range(self.number - 1, tasks, self.of))


WHOLE = Shard(1, 1)
"""Every task."""


def parse(text: str) -> Shard:
    """The shard that `--shard` names.

    Raises:
        UsageError: it is none.
    """
    match = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text.strip(), re.ASCII)
    number, of = map(int, match.groups()) if match else (0, 0)
    if not of:
        raise UsageError(f"--shard {text}: say which one of how many, as 1/4")
    if not number:
        raise UsageError(f"--shard {text}: shards count from 1 (to the index of an array that counts from 0, add 1)")
    if number > of:
        raise UsageError(f"--shard {text}: there are 1/{of} to {of}/{of}")
    return Shard(number, of)


def found(run: Path) -> list[Path]:
    """The folders of the shards that a run has."""
    return [mark.parent for mark in folders.shards_of(run)]


def insist_joined(run: Path) -> None:
    """Insist that a folder is not a shard, and that more than shards is in it; of other folders, nothing is asked.

    Raises:
        UsageError: the command that joins it is needed first.
        SourceError: its `run.json` is damaged.
    """
    if (run / folders.RUN).is_file():
        if KEY in (known := read_json(run / folders.RUN)):
            raise UsageError(f"{run}: is one of the shards of a run ({known[KEY]}): {_JOIN}")
    elif found(run):
        raise UsageError(f"{run}: holds shards of a run that are not joined yet: {_JOIN}")


def insist_same(parts: Sequence[Path], known: Mapping[str, Any]) -> None:
    """Insist that folders belong to one run.

    Args:
        parts: folders of its shards, or its own; one that has no `run.json` is nobody's yet.
        known: what the run is, as `writer.Folder` takes it.

    Raises:
        RunMismatch: one is another run's; names the keys that differ.
        SourceError: its `run.json` is damaged.
    """
    wanted = json.loads(json.dumps({"schema": SCHEMA, **known}))
    for part in parts:
        if not (part / folders.RUN).is_file():
            continue
        was = read_json(part / folders.RUN)
        if why := identity.refusal({key: value for key, value in was.items() if key != KEY}, wanted):
            raise RunMismatch(f"{part}: this folder belongs to {why}")


def insist_stopped(parts: Sequence[Path]) -> None:
    """Insist that no process works on these shards. Where a disk shows no locks of other machines, none is seen; what
    such a process finishes after all is the same again.

    Raises:
        RunMismatch: one does; names it.
    """
    if busy := [part.name.replace("-of-", "/") for part in parts if _held(part / LOCK)]:
        who = f"shard {busy[0]} is" if len(busy) == 1 else f"shards {', '.join(busy)} are"
        raise RunMismatch(
            f"{parts[0].parent.parent}: {who} still being played: the same command joins them when that is over"
        )


def take_over(run: Folder, parts: Sequence[Path]) -> None:
    """Copy what shards have finished into the run's own files, which nobody else has open; once, however often.

    Steps of episodes that a shard did not finish come along where the run has none of them: they are paid for. Failed
    episodes do not: they are played again.

    Raises:
        SourceError: a line is damaged.
        BackendError: the disk is full or gone; the run can be joined again.
    """
    files = [Lines(run.path / name) for name in (EPISODES, STEPS, CHUNKS)]
    episodes, steps, chunks = files
    try:
        finished = {line["episode"] for line in _done(episodes.path)}
        cut = {*Cuts(run.path).lines}
        for part in parts:
            take_sessions(run.sessions, part)
            new, where = _left(part, finished)
            index = offsets(steps.path)
            if stale := {line["episode"] for line in new} & index.keys():
                steps.keep(lambda line, stale=stale: line["episode"] not in stale)  # type: ignore[misc]
            taken = {line["episode"] for line in new}
            for line in _steps(part, {name: at for name, at in where.items() if name in taken or name not in index}):
                steps.append(line)
            for task, line in Cuts(part).lines.items():
                if task not in cut:
                    chunks.append(line)
                    cut.add(task)
            steps.sync()  # a power cut must not keep an episode's line and lose what it sums up
            chunks.sync()
            for line in new:
                episodes.append(line)
            episodes.sync()
            finished |= taken
    finally:
        for lines in files:
            lines.close()


def take_sessions(sessions: Lines, part: Path) -> None:
    """Copy what `sessions` lacks of the sessions of a shard, each line with the shard in it."""
    path = part / SESSIONS
    shard = read_json(part / folders.RUN)[KEY]
    there = sum(line.get(KEY) == shard for line in sessions.read())
    for _, line in islice(whole_lines(path) if path.is_file() else (), there, None):
        sessions.append({**line, KEY: shard})


def _done(path: Path) -> list[Line]:
    """The last lines of the episodes that did not fail."""
    lines = latest(line for _, line in shaped(path)) if path.is_file() else []
    return [line for line in lines if line["stop"] != StopReason.ERROR]


def _left(part: Path, finished: set[str]) -> tuple[list[Line], Offsets]:
    """Of what the run has not finished, the whole episodes that a shard has, and where the steps of any lie."""
    if not (part / STEPS).is_file():
        return [], {}
    done = [line for line in _done(part / EPISODES) if line["episode"] not in finished]
    where = {name: at for name, at in offsets(part / STEPS).items() if name not in finished}
    faults = incomplete(part / STEPS, done, where)
    spoilt = {name for name, fault in faults.items() if fault is Fault.CHANGED}
    whole = [line for line in done if line["episode"] not in faults]
    return whole, {name: at for name, at in where.items() if name not in spoilt}


def _steps(part: Path, where: Offsets) -> Iterator[Line]:
    if not where:
        return
    with (part / STEPS).open("rb") as file:
        for at in where.values():
            for _, offset in sorted(at.items()):
                file.seek(offset)
                yield json.loads(file.readline())


def _held(path: Path) -> bool:
    """Whether another process holds a lock."""
    try:
        file = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        return not lock(file, path, shared=True)
    finally:
        os.close(file)
