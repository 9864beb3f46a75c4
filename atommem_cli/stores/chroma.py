"""Chroma as the store of record: durable, inspectable, shared by a team. Reads are exact.

Each run has one collection, named `<collection>-<run>`. A mirror in this process serves every read: Chroma's own
index is approximate (recall@6 of 0.86 on 2,000 random vectors). Chroma is told what has changed all at once, in one
delete and one upsert:

* in a folder or on a server, at the first call that comes `_EVERY` seconds or more after the last time, so that others
  see what episodes hold as it grows; an entry that did not live that long is never written;
* with `keep`, also when episodes end, before their lines are written: what a run says is finished lies in Chroma;
* in the memory of this process, where nobody else can look, when `entries` asks.

A run that is continued reads its journal, never Chroma: what a kill kept from Chroma is missed by nobody. Unknown ids
are ignored by Chroma without a word; here they raise. Embedded clients of one process share their data; each store has
its own collection. `_collection` has Chroma's other habits, and what is done about them.
"""

from __future__ import annotations

import importlib.metadata
import time
import uuid
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Self
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, model_validator

from atommem_cli.config import credentials
from atommem_cli.config.schema import OPERATIONAL, Section
from atommem_cli.core.store import Change
from atommem_cli.core.types import MemoryEntry
from atommem_cli.stores import _entries
from atommem_cli.stores._collection import Collection
from atommem_cli.stores._mirror import Least, Mirror
from atommem_cli.stores._waiting import Waiting

if TYPE_CHECKING:
    from atommem_cli.core.store import Vector

_EVERY = 1.0
"""Seconds from one time that Chroma is told what has changed to the next."""


def _server(url: object) -> str:
    address = credentials.bare(url) if url != "" else ""
    if urlsplit(address).path:
        raise ValueError("the address ends with the port: http://HOST:PORT")
    return address


class Options(Section):
    """Keys of the recipe's `store` section. With neither `path` nor `url`, in memory."""

    path: str = Field("", json_schema_extra=OPERATIONAL)
    """Folder of a persistent store, for one process at a time."""
    url: Annotated[str, BeforeValidator(_server)] = Field("", json_schema_extra=OPERATIONAL)
    """`http://host:port` of a `chroma run`."""
    collection: str = Field("atommem", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$", json_schema_extra=OPERATIONAL)
    """First part of the collection's name."""
    keep: bool = Field(False, json_schema_extra=OPERATIONAL)
    """Leave the entries of finished episodes in Chroma, to be inspected; they are there before an episode's line is."""
    run: str = Field("", pattern=r"^[A-Za-z0-9]{0,64}$", json_schema_extra=OPERATIONAL)
    """Stamp of the run, set by whoever runs it: what an earlier process left under it is cleared. Two
    processes at once need two stamps. Empty: a new one each time."""
    least: Least = None

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if self.path and self.url:
            raise ValueError("path and url exclude each other")
        return self


def build(options: Options) -> ChromaStore:
    """The store, connected.

    Raises:
        MissingExtra: chromadb is not installed.
        BackendError: the server or the folder does not serve.
    """
    return ChromaStore(options)


class ChromaStore:
    """See `store.Store`."""

    def __init__(self, options: Options) -> None:
        stamp = options.run if options.path or options.url else ""
        name = f"{options.collection}-{stamp or uuid.uuid4().hex}"
        self._keep = options.keep
        self._collection = Collection(name, options.path, options.url, lasting=options.keep)
        self._mirror = Mirror(options.least)
        self._waiting = Waiting()
        self._next = 0.0
        """When Chroma is told next, by the monotonic clock; the first time is at once, so that what is wrong with it is
        said before models are asked."""
        self._begun = False
        """Whether an episode has begun; before that, nothing that another process left is touched."""

    def begin(self, episodes: Sequence[str]) -> None:
        """Empty these episodes' parts, whatever an earlier, killed run left there.

        Raises:
            BackendError: Chroma does not serve.
        """
        if not self._begun and not self._keep:
            self._collection.clear()
        self._begun = True
        self._waiting.drop(episodes)
        if self._keep and episodes:
            for page in self._collection.pages([], episodes):
                self._waiting.remove(page["ids"])
        self._mirror.begin(episodes)
        self._tell()

    def write(self, changes: Sequence[Change]) -> None:
        """Carry out the changes of one round.

        Raises:
            BackendError: Chroma did not take them, or what had waited.
            KeyError: the episode has not begun, or an entry to remove is not there.
        """
        for change in changes:
            if change.vector is None:
                self._mirror.remove(change.episode, change.entry.id)
            else:
                self._mirror.put(change.episode, change.entry.id, change.vector)
        self._waiting.add(changes)
        self._tell()

    def nearest(self, episode: str, query: Vector, k: int) -> list[int]:
        """Ids of the k entries of highest cosine, best first; ties go to the lower id."""
        return self._mirror.nearest(episode, query, k)

    def entries(self, episode: str) -> list[MemoryEntry]:
        """The episode's entries as Chroma holds them, by id.

        Raises:
            BackendError: Chroma does not serve.
        """
        self._tell(now=True)
        found = []
        for page in self._collection.pages(["documents", "metadatas"], [episode]):
            for document, metadata in zip(page["documents"], page["metadatas"], strict=True):
                found.append(_entries.entry(document, metadata))
        return sorted(found, key=lambda entry: entry.id)

    def end(self, episodes: Sequence[str]) -> None:
        """Give these episodes' memory back. With `keep`, Chroma holds all of it from now on; without, it forgets them
        the next time that it is told anything.

        Raises:
            BackendError: Chroma does not serve.
        """
        if self._keep:
            self._tell(now=True)
            self._waiting.leave(episodes)
        else:
            self._waiting.drop(episodes)
            self._tell()
        self._mirror.end(episodes)

    def describe(self) -> dict[str, str]:
        """Name, version of the client, and where the entries lie."""
        place = {"place": self._collection.place}
        if self._collection.shared:
            place["collection"] = self._collection.name
        return {"name": "chroma", "version": importlib.metadata.version("chromadb"), **place}

    def close(self) -> None:
        """Drop the collection, unless `keep`, and disconnect. Never fails: what stays is cleared next time."""
        self._collection.close(drop=self._begun and not self._keep)

    def _tell(self, *, now: bool = False) -> None:
        """Tell Chroma what has changed, if it is time to.

        Raises:
            BackendError: it did not take all of it.
        """
        due = now or (self._collection.shared and time.monotonic() >= self._next)
        if due and self._waiting:
            self._collection.tell([*self._waiting.removals], self._waiting.additions)
            self._waiting.written()
            self._next = time.monotonic() + _EVERY
