"""The folder of an ablation, read only: which arms it has, and their runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from atommem_cli.core.errors import SourceError, UsageError
from atommem_cli.core.files import whole_lines
from atommem_cli.runs.layout import ARM_FOLDERS, ARMS, SUMMARY
from atommem_cli.runs.reader import Run


@dataclass(frozen=True, slots=True)
class PlayedArm:
    """One finished arm; see `atommem_cli.ablation.variants.Arm`."""

    name: str
    kind: str
    how: str | None
    component: tuple[str, ...]
    run: Run
    varied: tuple[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Ablation:
    """What is in the folder."""

    path: Path
    arms: tuple[PlayedArm, ...]
    """Finished ones, the base first."""
    missing: tuple[str, ...]
    """Names of arms that were asked for and are not finished."""

    @property
    def base(self) -> Run:
        return self.arms[0].run


def is_one(folder: Path) -> bool:
    """Whether it is the folder of an ablation."""
    return (folder / ARMS).is_file()


def read(folder: Path) -> Ablation:
    """Every arm of an ablation.

    Raises:
        UsageError: it is no folder of an ablation, or the base is not finished.
        SourceError: a file is damaged.
    """
    if not is_one(folder):
        raise UsageError(f"{folder}: not the folder of an `atommem ablate` run (it has no {ARMS})")
    arms, missing = [], []
    for number, (_, line) in enumerate(whole_lines(folder / ARMS), start=1):
        try:
            name, kind, how, component = line["arm"], line["kind"], line["how"], tuple(line["component"])
            key, value = line.get("varied", (None, None))
        except (KeyError, TypeError, ValueError):
            raise SourceError(f"{folder / ARMS}: line {number} is damaged") from None
        path = folder / ARM_FOLDERS / name
        if (path / SUMMARY).is_file() and (run := Run(path)).complete:
            arms.append(PlayedArm(name, kind, how, component, run, None if key is None else (key, value)))
        else:
            missing.append(name)
    if not arms or arms[0].kind != "base":
        raise UsageError(f"{folder}: its base is not finished; the same `atommem ablate` goes on where it stopped")
    return Ablation(folder, tuple(arms), tuple(missing))


def drawn(folders: Sequence[Path]) -> list[Path]:
    """Folders for a report: an ablation stands for its finished arms.

    Raises:
        UsageError: an ablation among several folders.
        SourceError: a file is damaged.
    """
    if len(folders) == 1 and is_one(folders[0]):
        return [arm.run.path for arm in read(folders[0]).arms]
    for folder in folders:
        if is_one(folder):
            raise UsageError(f"{folder}: one ablation has a report of its own; `atommem compare` pools several")
    return list(folders)
