"""A reward: fewer entries for the same answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pydantic import BaseModel

from atommem_cli import Task, Trajectory


class Options(BaseModel):
    """None."""


def build(_: Options) -> Callable[[Sequence[tuple[Task, Trajectory]]], list[float]]:
    """One over one more than the most entries that the memory held, in (0, 1]."""
    return lambda pairs: [1 / (1 + trajectory.usage.entries) for _, trajectory in pairs]
