"""The contract of stores: vectors and texts of many episodes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from atommem_cli.core.types import MemoryEntry

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Vector = NDArray[np.float32]
    """Shape (D,), unit length."""


@dataclass(frozen=True, slots=True)
class Change:
    """One write to a store: put the entry (new or changed), or remove it when `vector` is None."""

    episode: str
    entry: MemoryEntry
    vector: Vector | None


class Index(Protocol):
    """What a memory asks: which entries are nearest."""

    def nearest(self, episode: str, query: Vector, k: int) -> list[int]:
        """Ids of the episode's k entries of highest cosine, best first; ties go to the lower id."""


class Store(Index, Protocol):
    """Vectors and texts of many episodes, kept strictly apart.

    Whatever happens to one episode cannot be seen in another. Retrieval is exact.
    """

    def begin(self, episodes: Sequence[str]) -> None:
        """Empty these episodes' parts, whatever an earlier, killed run left there."""

    def write(self, changes: Sequence[Change]) -> None:
        """Carry out the changes of one round, of any number of episodes, in order, in one call.

        Raises:
            BackendError: the store did not take them.
        """

    def entries(self, episode: str) -> list[MemoryEntry]:
        """The episode's entries as the store of record holds them, by id."""

    def end(self, episodes: Sequence[str]) -> None:
        """These episodes are over: give their memory back."""

    def describe(self) -> dict[str, str]:
        """What a run records about it: name, version, where it lives."""

    def close(self) -> None:
        """Let go of files and connections."""
