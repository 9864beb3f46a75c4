"""What Chroma has still to be told, and what it holds already."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from atommem_cli.core.store import Change
from atommem_cli.stores import _entries


class Waiting:
    """The changes that wait to be written: the last one of each entry, and of an episode that is over only that its
    entries are to go.

    An entry that is held is removed and written anew: to overwrite a vector in place takes Chroma six times as long.
    """

    def __init__(self) -> None:
        self.removals: dict[str, None] = {}
        """Names of entries to be removed, before anything is written."""
        self._new: defaultdict[str, dict[int, Change]] = defaultdict(dict)
        self._held: defaultdict[str, set[int]] = defaultdict(set)

    def __len__(self) -> int:
        return len(self.removals) + sum(map(len, self._new.values()))

    @property
    def additions(self) -> list[Change]:
        """Entries to be written."""
        return [change for changes in self._new.values() for change in changes.values()]

    def add(self, changes: Iterable[Change]) -> None:
        """Changes in their order."""
        for change in changes:
            episode, entry = change.episode, change.entry.id
            if entry in self._held[episode]:
                self.remove([_entries.name(episode, entry)])
            if change.vector is None:
                self._new[episode].pop(entry, None)
            else:
                self._new[episode][entry] = change

    def remove(self, names: Iterable[str]) -> None:
        """Entries that Chroma may hold, by their names."""
        self.removals.update(dict.fromkeys(names))

    def drop(self, episodes: Iterable[str]) -> None:
        """Whatever there is of these episodes is to go."""
        for episode in episodes:
            self._new.pop(episode, None)
            self.remove(_entries.name(episode, entry) for entry in sorted(self._held.pop(episode, ())))

    def leave(self, episodes: Iterable[str]) -> None:
        """Whatever is held of these episodes stays; nothing of them waits."""
        for episode in episodes:
            self._new.pop(episode, None)
            self._held.pop(episode, None)

    def written(self) -> None:
        """Chroma has been told everything."""
        for episode, changes in self._new.items():
            self._held[episode].update(changes)
        self._new.clear()
        self.removals.clear()
