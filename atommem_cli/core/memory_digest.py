"""The digest of a memory: what stands in a journal before and after every operation.

The entries go in as a set hash: one operation costs the same whatever the size of the store.
"""

from __future__ import annotations

import json
from collections.abc import Iterable

from atommem_cli.core.set_hash import SetHash, hash_of
from atommem_cli.core.types import Meta


class MemoryDigest:
    """Of a memory as it is, told what changes."""

    def __init__(self) -> None:
        self._set = SetHash()
        self._notes = hash_of("")
        self._known: str | None = None

    def of(self, query: str) -> str:
        """16 hexadecimal digits over scratchpad, entries and this query."""
        if self._known is None:
            self._known = f"{hash_of(f'{self._set.value:064x}{self._notes:064x}{query}'):064x}"[:16]
        return self._known

    def changed(self) -> None:
        """Something is another now; likewise below."""
        self._known = None

    def note(self, text: str) -> None:
        """The scratchpad has this text."""
        self._notes = hash_of(text)

    def add(self, entry: int, text: str, meta: Meta = ()) -> None:
        """An entry is there."""
        self._set.add(_member(entry, text, meta))

    def remove(self, entry: int, text: str, meta: Meta) -> None:
        """An entry is there no more."""
        self._set.remove(_member(entry, text, meta))


def _member(entry: int, text: str, meta: Meta) -> str:
    return f"{entry}:{text}\0{json.dumps(meta)}" if meta else f"{entry}:{text}"


def began_with(noise: Iterable[tuple[int, str]]) -> str:
    """Of a memory that nothing has happened to; `noise`: ids and texts of what lay in it."""
    digest = MemoryDigest()
    for entry, text in noise:
        digest.add(entry, text)
    return digest.of("")
