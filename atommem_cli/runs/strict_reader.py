"""The files of an evaluation, read with suspicion: every line has the shape that `writer` writes, and its place.

An episode that failed and was played again has several lines; each play is an attempt with steps of its own. A model
call that failed is made again in the next attempt, so its step has two lines; no other step may have more than one.
"""

from __future__ import annotations

import json
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from os import SEEK_END
from pathlib import Path
from typing import Any, Literal

from atommem_cli.core.calls import Finish
from atommem_cli.core.files import whole_lines
from atommem_cli.core.safe_text import visible
from atommem_cli.runs.digests import steps_digest
from atommem_cli.runs.layout import (
    CHUNKS,
    EPISODE,
    EPISODES,
    OPENING,
    STEP,
    STEPS,
    VERDICT,
    VERDICTS,
    Key,
    Line,
    misshapen,
)
from atommem_cli.runs.reader import failed


@dataclass(frozen=True, slots=True)
class Finding:
    """Something in a run folder that is not as it was written."""

    file: str
    text: str
    """What is wrong; names other files where the fault may lie there."""
    episode: str = ""
    step: int | None = None
    field: str = ""
    """Path of the value within its line, as in `ops[1].after`."""

    def __str__(self) -> str:
        step = None if self.step is None else "before the first call" if self.step < 0 else f"step {self.step}"
        place = " ".join(filter(None, [self.episode, step]))
        return visible(": ".join(filter(None, [self.file, place, self.field, self.text])))


@dataclass(frozen=True, slots=True)
class Attempt:
    """One play of one episode."""

    episode: str
    line: Line | None
    """Its line of `episodes.jsonl`; None where it was not played to an end."""
    end: Literal["ended", "failed", "retried", "unfinished"]
    """failed: in a failed call; retried: likewise, and a later attempt came to an end."""
    steps: Mapping[int, Line]
    """Its lines of `steps.jsonl` by step; -1 is what the agent did before its first call."""


class Journal:
    """The lines of one run by episode. Of the steps it keeps offsets only, 8 bytes each."""

    def __init__(self, path: Path) -> None:
        """
        Raises:
            SourceError: a line is no JSON; names file and line.
        """
        self.findings: list[Finding] = []
        """Lines of another shape, in the order of the files; they count as missing."""
        self.loose = 0
        """Lines of failed calls that belong to no attempt: the process was killed before the episode's line."""
        self._path = path
        self.torn = [name for name in (EPISODES, STEPS, VERDICTS, CHUNKS) if _torn(path / name)]
        """Files whose last line has no end."""
        self._lines: dict[str, list[Line]] = {}
        for _, line in self._read(EPISODES, EPISODE):
            self._lines.setdefault(line["episode"], []).append(line)
        self._offsets: dict[str, array[int]] = {}
        for offset, line in self._read(STEPS, STEP):
            self._offsets.setdefault(line["episode"], array("q")).append(offset)
        self.verdicts: dict[str, list[Line]] = {}
        if (path / VERDICTS).exists():
            for _, line in self._read(VERDICTS, VERDICT):
                self.verdicts.setdefault(line["episode"], []).append(line)

    @property
    def names(self) -> set[str]:
        """Of every episode that has a line in any file."""
        return {*self._lines, *self._offsets, *self.verdicts}

    def file(self, episode: str) -> str:
        """One in which it has a line."""
        return EPISODES if episode in self._lines else STEPS if episode in self._offsets else VERDICTS

    def lines(self, episode: str) -> Sequence[Line]:
        """Its lines of `episodes.jsonl`, in order; the last one counts."""
        return self._lines.get(episode, ())

    def attempts(self, episode: str) -> Iterator[Attempt]:
        """Every play of an episode, in order; what stands twice is a finding, and its last line counts."""
        good, bad = self._sorted(episode)
        lines = self.lines(episode)
        reached = -1
        for number, line in enumerate(lines, start=1):
            last = number == len(lines)
            if not failed(line):
                if last:
                    yield Attempt(episode, line, "ended", good)
                else:
                    self.findings.append(Finding(EPISODES, "it stands twice, and had been finished", episode))
                continue
            steps: Mapping[int, Line] = good
            if ending := _ending(line, good, bad):
                bad.remove(ending)
                reached = ending["step"]
                steps = {**_before(ending, good), reached: ending}
            yield Attempt(episode, line, "failed" if last else "retried", steps)
        if good and (not lines or (failed(lines[-1]) and max(good) >= reached >= 0)):
            yield Attempt(episode, None, "unfinished", good)  # under way, or killed
        self.loose += len(bad)

    def _sorted(self, episode: str) -> tuple[dict[int, Line], list[Line]]:
        """The steps of an episode: those that got a reply, and the calls that failed."""
        good: dict[int, Line] = {}
        bad: list[Line] = []
        with (self._path / STEPS).open("rb") as file:
            for offset in self._offsets.get(episode, ()):
                file.seek(offset)
                line = json.loads(file.readline())
                if line.get("finish") == Finish.ERROR:
                    bad.append(line)
                    continue
                if line["step"] in good:
                    self.findings.append(Finding(STEPS, "it stands twice", episode, line["step"]))
                good[line["step"]] = line
        return good, bad

    def _read(self, name: str, shape: Sequence[Key[Any]]) -> Iterator[tuple[int, Line]]:
        for number, (offset, line) in enumerate(whole_lines(self._path / name), start=1):
            opening = name == STEPS and isinstance(line, dict) and line.get("step") == -1
            field = _misshapen(line, OPENING if opening else shape)
            if field is None:
                yield offset, line
            else:
                self.findings.append(Finding(name, f"line {number} is not as atommem writes it", field=field))


def _torn(path: Path) -> bool:
    if not path.exists() or not path.stat().st_size:
        return False
    with path.open("rb") as file:
        file.seek(-1, SEEK_END)
        return file.read() != b"\n"


def digest(steps: Mapping[int, Line]) -> str:
    """What the line of an episode says of its steps; see `digests.steps_digest`."""
    return steps_digest(steps[step] for step in sorted(steps) if step >= 0)


def differences(was: Any, now: Any, at: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Path, old and new value wherever two JSON values differ, as 1 and 1.0 do."""
    if isinstance(was, dict) and isinstance(now, dict):
        for key in {**was, **now}:
            yield from differences(was.get(key, NOTHING), now.get(key, NOTHING), f"{at}.{key}" if at else str(key))
    elif isinstance(was, list | tuple) and isinstance(now, list | tuple) and len(was) == len(now):
        for index, pair in enumerate(zip(was, now, strict=True)):
            yield from differences(*pair, f"{at}[{index}]")
    elif was != now or (isinstance(was, _NUMBERS) and type(was) is not type(now)):
        yield at, was, now


_NUMBERS = (bool, int, float)


class _Nothing:
    """A value that is not there."""

    def __repr__(self) -> str:
        return "nothing"


NOTHING = _Nothing()
"""What `differences` gives for a value that one side does not have."""


def _misshapen(line: Any, shape: Sequence[Key[Any]]) -> str | None:
    """The first field that is not as it is written."""
    field = misshapen(line, shape)
    if field is not None:
        return field
    if line.get("finish", Finish.STOP) not in _FINISHES:
        return "finish"
    for pair in line.get("shown", ()):
        if not (isinstance(pair, list) and [type(part) for part in pair] == [int, str]):
            return "shown"
    return None


_FINISHES = frozenset(Finish)


def _ending(line: Line, good: Mapping[int, Line], bad: Sequence[Line]) -> Line | None:
    """The failed call that ended a failed attempt: the one that its digest covers, or else the first."""
    for call in bad:
        if digest({**_before(call, good), call["step"]: call}) == line["steps"]:
            return call
    return bad[0] if bad else None


def _before(call: Line, good: Mapping[int, Line]) -> dict[int, Line]:
    return {step: kept for step, kept in good.items() if step < call["step"]}
