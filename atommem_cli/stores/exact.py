"""Exact search and nothing else: in this process's memory, gone when it ends."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from atommem_cli.config.schema import Section
from atommem_cli.core.store import Change
from atommem_cli.core.types import MemoryEntry
from atommem_cli.stores._mirror import Least, Mirror

if TYPE_CHECKING:
    from atommem_cli.core.store import Vector


class Options(Section):
    """Keys of the recipe's `store` section."""

    least: Least = None


def build(options: Options) -> ExactStore:
    """The store, empty."""
    return ExactStore(options.least)


class ExactStore:
    """See `store.Store`."""

    def __init__(self, least: float | None = None) -> None:
        self._mirror = Mirror(least)
        self._entries: dict[str, dict[int, MemoryEntry]] = {}

    def begin(self, episodes: Sequence[str]) -> None:
        """Empty these episodes' parts."""
        self._mirror.begin(episodes)
        self._entries.update((episode, {}) for episode in episodes)

    def write(self, changes: Sequence[Change]) -> None:
        """Carry out the changes in order.

        Raises:
            KeyError: the episode has not begun, or an entry to remove is not there.
        """
        for change in changes:
            entry = change.entry
            if change.vector is None:
                self._mirror.remove(change.episode, entry.id)
                del self._entries[change.episode][entry.id]
            else:
                self._mirror.put(change.episode, entry.id, change.vector)
                self._entries[change.episode][entry.id] = entry

    def nearest(self, episode: str, query: Vector, k: int) -> list[int]:
        """Ids of the k entries of highest cosine, best first; ties go to the lower id."""
        return self._mirror.nearest(episode, query, k)

    def entries(self, episode: str) -> list[MemoryEntry]:
        """The episode's entries, by id."""
        return [entry for _, entry in sorted(self._entries.get(episode, {}).items())]

    def end(self, episodes: Sequence[str]) -> None:
        """Give these episodes' memory back."""
        self._mirror.end(episodes)
        for episode in episodes:
            self._entries.pop(episode, None)

    def describe(self) -> dict[str, str]:
        """Its name."""
        return {"name": "exact"}

    def close(self) -> None:
        """Nothing to let go of."""
