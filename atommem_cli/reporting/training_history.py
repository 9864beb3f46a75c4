"""What a training run measured, by step: read from `metrics.jsonl`, which may still be growing."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

from atommem_cli.core.errors import SourceError, UsageError
from atommem_cli.core.files import read_json, whole_lines
from atommem_cli.core.types import OpKind, Outcome
from atommem_cli.runs.layout import METRICS, RUN, SUMMARY

TRAIN, VALIDATION = "train", "validation"
LARGEST = 1e30  # values beyond are kept out like nan: nothing that is measured here is that large


@dataclass(frozen=True, slots=True)
class Series:
    """One metric of a run, by step."""

    steps: tuple[int, ...] = ()
    """Strictly increasing."""
    values: tuple[float, ...] = ()
    """Finite, one per step."""

    def __len__(self) -> int:
        return len(self.steps)


@dataclass(frozen=True, slots=True)
class History:
    """The metrics of one training run."""

    name: str
    """The folder's name, valid Unicode; with as many parents' as tell it apart from the others of a report."""
    folder: Path
    command: Literal["sft", "grpo"]
    identity: Mapping[str, Any]
    """`run.json`."""
    lines: Mapping[str, Mapping[int, Mapping[str, float]]]
    """Finite metrics by kind of line (train, validation) and by step."""
    seconds: float
    """Of training, over all sessions."""
    unusable: tuple[str, ...] = ()
    """Values that are nan, infinite or beyond `LARGEST`, as "loss at step 40"."""
    diverged: str = ""
    """What ended the training because it was not finite, as "the loss at step 41"."""
    kept: int | None = None
    """The update whose model a finished training kept as the best; None where it kept its last one."""

    @property
    def steps(self) -> int:
        """The last training step."""
        return max(self.lines[TRAIN], default=0)

    def count(self, kind: str) -> int:
        """Lines of a kind."""
        return len(self.lines[kind])

    def series(self, kind: str, metric: str) -> Series:
        """One metric, where it was measured."""
        return _series({step: line[metric] for step, line in self.lines[kind].items() if metric in line})

    def attempts(self, kind: str, op: OpKind, outcomes: Sequence[Outcome] = tuple(Outcome)) -> Series:
        """Operations per model call that ended in one of these outcomes.

        An outcome that a line does not name did not occur, if the line counts any operation at all.
        """
        counted = {s: line for s, line in self.lines[kind].items() if any(m.startswith("ops/") for m in line)}
        names = [f"ops/{op}/{outcome}" for outcome in outcomes]
        return _series({step: math.fsum(line.get(name, 0.0) for name in names) for step, line in counted.items()})

    @property
    def rewards(self) -> tuple[str, ...]:
        """Metrics of the named rewards, sorted."""
        metrics = {m for lines in self.lines.values() for line in lines.values() for m in line}
        return tuple(sorted(m for m in metrics if m.startswith("rewards/") and m.endswith("/mean")))


def mean(several: Sequence[Series]) -> Series:
    """The mean over runs, at the steps that all of them measured."""
    common = set.intersection(*(set(one.steps) for one in several)) if several else set()
    by_step = [dict(zip(one.steps, one.values, strict=True)) for one in several]
    return _series({step: math.fsum(values[step] for values in by_step) / len(by_step) for step in common})


def smooth(series: Series, width: float) -> Series:
    """Each value replaced by that of the line through its neighbourhood, least squares with Gaussian weights.

    Centred, so it does not lag behind, and exact for a straight line up to its ends, where a running mean is
    flattened; a neighbourhood at an end is as long as elsewhere (Cleveland 1979). A result stays within the values
    it is made of.

    Args:
        width: standard deviation of the weights, in steps; cut off at three of them. At the ends it is twice that.
    """
    if not len(series):
        return series
    import numpy as np

    steps, values = np.asarray(series.steps, float), np.asarray(series.values, float)
    half, reach = (steps[0] + steps[-1]) / 2, 3 * width
    centres = np.clip(steps, min(steps[0] + reach, half), max(steps[-1] - reach, half))
    begins = np.searchsorted(steps, centres - reach, "left")
    ends = np.searchsorted(steps, centres + reach, "right")
    smoothed = []
    for step, centre, begin, end in zip(steps, centres, begins, ends, strict=True):
        near, offsets = values[begin:end], (steps[begin:end] - step) / (width + abs(step - centre) / 3)
        weights = np.exp(-(offsets**2) / 2)
        weights /= weights.sum()
        middle, level = weights @ offsets, weights @ near
        spread = weights @ (offsets - middle) ** 2
        slope = weights @ ((offsets - middle) * (near - level)) / spread if end - begin > 2 else 0.0
        smoothed.append(float(np.clip(level - slope * middle, near.min(), near.max())))
    return Series(series.steps, tuple(smoothed))


def width(histories: Sequence[History]) -> float:
    """Width of `smooth` that suits these runs, in steps: 3 % of the longest, at least one step."""
    return max(1.0, 0.03 * max(history.steps for history in histories))


def read_all(folders: Sequence[Path]) -> list[History]:
    """The runs of one report, each once.

    Raises:
        UsageError: there is none, one holds no training metrics, or they are not of one command.
    """
    places = [folder.resolve() for folder in folders]
    if not places:
        raise UsageError("a report needs the folder of at least one run")
    unique = [folder for i, folder in enumerate(folders) if places[i] not in places[:i]]
    histories = [read(folder, named=_told_apart(folder.resolve(), {*places})) for folder in unique]
    first = histories[0]
    for other in histories:
        if other.command != first.command:
            raise UsageError(
                f"{first.folder} is a run of {first.command} and {other.folder} one of {other.command}:"
                " report them apart"
            )
    return histories


def _told_apart(place: Path, places: set[Path]) -> int:
    """How many of its last parts no other folder ends with."""
    most = len(place.parts)
    return next(n for n in range(1, most + 1) if sum(other.parts[-n:] == place.parts[-n:] for other in places) == 1)


def read(folder: Path, *, named: int = 1) -> History:
    """The metrics of one run. Changes nothing; a last line that is not whole yet is left out.

    Args:
        named: how many parts of its path are its name.

    Raises:
        UsageError: there is no such folder, or it is none of a training run.
        SourceError: a file of the run is damaged; names file and line.
    """
    path = folder / METRICS
    if not folder.is_dir():
        raise UsageError(f"{folder}: no such folder")
    if not path.is_file():
        raise UsageError(f"{folder}: holds no training metrics (metrics.jsonl)")
    identity = read_json(folder / RUN)
    if not isinstance(identity, dict) or identity.get("command") not in ("sft", "grpo"):
        raise SourceError(f"{folder / 'run.json'}: names no command sft or grpo; is this the folder of a training run?")
    lines: dict[str, dict[int, dict[str, float]]] = {TRAIN: {}, VALIDATION: {}}
    unusable: list[str] = []
    diverged = ""
    seconds = 0.0
    for number, (_, line) in enumerate(whole_lines(path), start=1):
        step = line.get("step") if isinstance(line, dict) else None
        if not isinstance(step, int) or isinstance(step, bool) or not 0 <= step < 2**53:
            raise SourceError(f"{path}: line {number} is damaged")
        kind = line.get("kind")
        if not isinstance(kind, str) or kind not in lines:
            continue
        numbers = {_text(m): v for m, v in line.items() if isinstance(v, int | float) and not isinstance(v, bool)}
        finite = {metric: float(value) for metric, value in numbers.items() if abs(value) <= LARGEST}
        known = line["not_finite"] if isinstance(line.get("not_finite"), dict) else {}
        unusable += [f"{metric} at step {step}" for metric in [*numbers, *known] if metric not in finite]
        if isinstance(line.get("diverged"), dict):
            diverged = _text(f"{line['diverged'].get('what', 'a value')} at step {step}")
            continue
        seconds = max(seconds, finite.pop("seconds", 0.0))
        del finite["step"]
        lines[kind][step] = finite
    if not any(lines.values()) and not diverged:
        raise UsageError(f"{folder}: holds no training metrics yet (metrics.jsonl is empty)")
    parts = folder.resolve().parts[-named:]
    command = cast(Literal["sft", "grpo"], identity["command"])
    kept = read_json(folder / SUMMARY).get("best_update") if (folder / SUMMARY).is_file() else None
    return History(_text("/".join(parts)), folder, command, identity, lines, seconds, tuple(unusable), diverged, kept)


def _text(name: str) -> str:
    """A name as valid Unicode: JSON and file names may hold halves of surrogate pairs."""
    return name.encode("utf-8", "replace").decode()


def _series(values: Mapping[int, float]) -> Series:
    steps = tuple(sorted(values))
    return Series(steps, tuple(values[step] for step in steps))
