"""What a `stream` world and the way it is written down agree on.

A style is a module (`_closed`, `_rich`) that supplies names, values and sentences; it knows nothing about
which facts exist. Each statement's text says whom, what and (where it has one) which value it is about, so
that within one task a text stands for one event.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import NamedTuple, Protocol

from atommem_cli.core.stream_words import Pair


class Replacement(NamedTuple):
    """One thing that happens to a fact."""

    kind: str
    """state, until (stated with a last day), change, correct, retract, expire or cascade."""
    subject: str
    """Of a cascade none: it is about whoever has the value."""
    relation: str
    value: str
    """The new value; for retract, expire and cascade the value that is gone."""
    old: str = ""
    """change and correct: the value that it replaces."""
    day: int = 0
    """until: the last day on which it holds; expire: the day after it."""


class Style(Protocol):
    """A way to write a world down."""

    @property
    def MOST_PAIRS(self) -> int:
        """How many pairs of names it has."""

    @property
    def LAST_DAY(self) -> int:
        """The last day that it can name."""

    def people(self, rng: Random, pairs: int) -> list[Pair]:
        """Pairs of names, all different."""

    def values(self, relation: str) -> Sequence[str]:
        """Every value that an impersonal relation may take."""

    def say(self, rng: Random, change: Replacement) -> str:
        """One statement."""

    def noise(self, rng: Random) -> str:
        """A sentence about nobody."""

    def ask(self, rng: Random, path: Sequence[str]) -> str:
        """The question about a path (a subject, then one relation per hop)."""
