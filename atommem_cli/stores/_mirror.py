"""Exact search in the process: every episode's vectors in an array of its own.

The score of an entry depends on its own vector and the query alone, bit for bit: `einsum` sums each row in
the same order wherever it lies, which a BLAS product does not. So equal vectors tie exactly, and an episode
retrieves the same whatever happened around it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated

import numpy as np
from pydantic import Field

if TYPE_CHECKING:
    from atommem_cli.core.store import Vector

Least = Annotated[
    float | None,
    Field(
        ge=-1,
        le=1,
        exclude_if=lambda value: value is None,
        description="Cosine below which an entry is not found; null finds the nearest, however far they are.",
    ),
]
"""A key of the stores here."""
_FIRST = 16
"""Rows of a new episode."""
_WORTH_PARTITION = 512
"""Entries from which picking the best before sorting is faster than sorting all."""


class Mirror:
    """The vectors of all episodes in play."""

    def __init__(self, least: float | None = None) -> None:
        """
        Args:
            least: cosine below which nothing is found; None finds whatever is nearest.
        """
        self._least = least
        self._episodes: dict[str, _Rows] = {}

    def begin(self, episodes: Iterable[str]) -> None:
        """Make these episodes' parts, empty."""
        for episode in episodes:
            self._episodes[episode] = _Rows()

    def end(self, episodes: Iterable[str]) -> None:
        """Forget these episodes; unknown ones are no error."""
        for episode in episodes:
            self._episodes.pop(episode, None)

    def put(self, episode: str, entry: int, vector: Vector) -> None:
        """Add an entry, or replace its vector."""
        self._episodes[episode].put(entry, vector)

    def remove(self, episode: str, entry: int) -> None:
        """Remove an entry that is there."""
        self._episodes[episode].remove(entry)

    def nearest(self, episode: str, query: Vector, k: int) -> list[int]:
        """See `store.Store.nearest`."""
        return self._episodes[episode].nearest(query, k, self._least)

    def holds(self, episode: str, entry: int) -> bool:
        """Whether an episode in play has this entry."""
        return entry in self._episodes[episode].row

    def entries(self, episode: str) -> tuple[int, ...]:
        """Ids of an episode's entries, in no order; none where the episode is not in play."""
        rows = self._episodes.get(episode)
        return tuple(rows.row) if rows else ()


class _Rows:
    """One episode: rows 0..n-1 of two arrays that double when they are full."""

    def __init__(self) -> None:
        self.row: dict[int, int] = {}
        """Entry id to row."""
        self._ids = np.empty(_FIRST, np.int64)
        self._vectors = np.empty((_FIRST, 0), np.float32)

    def put(self, entry: int, vector: Vector) -> None:
        row = self.row.get(entry)
        if row is None:
            row = len(self.row)
            if row == 0:
                self._vectors = np.empty((len(self._ids), len(vector)), np.float32)
            elif row == len(self._ids):
                self._ids = np.concatenate([self._ids, np.empty_like(self._ids)])
                self._vectors = np.concatenate([self._vectors, np.empty_like(self._vectors)])
        self._vectors[row] = vector
        self._ids[row] = entry
        self.row[entry] = row

    def remove(self, entry: int) -> None:
        row = self.row.pop(entry)
        last = len(self.row)
        if row != last:
            moved = int(self._ids[last])
            self._ids[row], self._vectors[row], self.row[moved] = moved, self._vectors[last], row

    def nearest(self, query: Vector, k: int, least: float | None) -> list[int]:
        n = len(self.row)
        if n == 0:
            return []
        ids = self._ids[:n]
        scores = np.einsum("ij,j->i", self._vectors[:n], query)
        if least is not None:
            near = np.flatnonzero(scores >= least)
            ids, scores, n = ids[near], scores[near], len(near)
        if n > max(_WORTH_PARTITION, 4 * k):
            threshold = np.partition(scores, n - k)[n - k]
            kept = np.flatnonzero(scores >= threshold)
            ids, scores = ids[kept], scores[kept]
        return [int(i) for i in ids[np.lexsort((ids, -scores))[:k]]]
