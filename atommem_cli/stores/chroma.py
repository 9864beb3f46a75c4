"""Chroma as the store of record: durable, inspectable, shared by a team. Reads are exact.

Each run has one collection, named `<collection>-<run>`. Writes go to Chroma first, all of a round in at most
one delete and one upsert, then to the mirror in this process, which serves every read: Chroma's own index is
approximate (recall@6 of 0.86 on 2,000 random vectors). What Chroma 1.5 does behind one's back, and what is
done about it here:

* Removed vectors stay in its index, and once most of it is dead, each upsert walks through all of them. So
  after `_WORN` removals the collection is made anew.
* Overwriting a vector in place takes six times as long as a delete and an upsert.
* Dropping a collection gives back neither memory, which closing the process's last client does, nor index
  files, which we remove. A server leaks 4 file descriptors and the files of up to `_WORN` entries each time.
* Unknown ids are ignored without a word; here they raise.
* Two processes in one folder crash each other (signal 11); the folder is locked.
* Embedded clients of one process share their data; each store has its own collection.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import itertools
import os
import uuid
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Self, TypeVar
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, model_validator

from atommem_cli.config import credentials
from atommem_cli.config.schema import OPERATIONAL, Section
from atommem_cli.core.errors import AtommemError, BackendError
from atommem_cli.core.store import Change
from atommem_cli.core.types import MemoryEntry
from atommem_cli.stores import _client, _entries
from atommem_cli.stores._mirror import Mirror

if TYPE_CHECKING:
    from atommem_cli.core.store import Vector

_WORN = 5_000
"""Removed entries after which a collection is made anew, unless more than that are alive."""
_PAGE = 1_000
"""Entries per call: below SQLite's limit of 32,766 variables and the server's limit of a request."""


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
    """Leave the entries of finished episodes in Chroma, to be inspected."""
    run: str = Field("", pattern=r"^[A-Za-z0-9]{0,64}$", json_schema_extra=OPERATIONAL)
    """Stamp of the run, set by whoever runs it: what an earlier process left under it is cleared. Two
    processes at once need two stamps. Empty: a new one each time."""

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
        self._options = options
        self._place = options.url or options.path or "memory"
        stamp = options.run if options.path or options.url else ""
        self._name = f"{options.collection}-{stamp or uuid.uuid4().hex}"
        self._mirror = Mirror()
        self._begun = False
        """Whether an episode has begun; before that, nothing that another process left is touched."""
        self._lost = ""
        """Why nothing is asked of the server any more: it has failed once, and each further try may take minutes."""
        self._removed = 0
        """Entries removed from the collection since it was made."""
        self._lock = _client.lock(options.path) if options.path else None
        try:
            with self._served():
                self._client = _client.connect(options.path, options.url)
                self._collection = self._open()
        except BaseException:
            self._unlock()
            raise

    def begin(self, episodes: Sequence[str]) -> None:
        """Empty these episodes' parts, whatever an earlier, killed run left there.

        Raises:
            BackendError: Chroma does not serve.
        """
        with self._served():
            if not self._begun and not self._options.keep:
                self._drop()
                self._collection = self._open()
            self._begun = True
            self._remove([i for episode in episodes for i in self._ids(episode)])
        self._mirror.begin(episodes)

    def write(self, changes: Sequence[Change]) -> None:
        """Carry out the changes of one round; of several to one entry, Chroma sees the last.

        Raises:
            BackendError: Chroma did not take them; none of them can be retrieved.
            KeyError: the episode has not begun, or an entry to remove is not there.
        """
        last = {(change.episode, change.entry.id): change for change in changes}
        new = [change for change in last.values() if change.vector is not None]
        old = [_entries.name(*key) for key in last if self._mirror.holds(*key)]
        with self._served(new):
            self._remove(old)
            for page in _batched(new):
                self._collection.upsert(
                    ids=[_entries.name(change.episode, change.entry.id) for change in page],
                    embeddings=[change.vector for change in page],
                    documents=[_entries.document(change.entry.text) for change in page],
                    metadatas=[_entries.metadata(change) for change in page],
                )
        for change in changes:
            if change.vector is None:
                self._mirror.remove(change.episode, change.entry.id)
            else:
                self._mirror.put(change.episode, change.entry.id, change.vector)

    def nearest(self, episode: str, query: Vector, k: int) -> list[int]:
        """Ids of the k entries of highest cosine, best first; ties go to the lower id."""
        return self._mirror.nearest(episode, query, k)

    def entries(self, episode: str) -> list[MemoryEntry]:
        """The episode's entries as Chroma holds them, by id.

        Raises:
            BackendError: Chroma does not serve.
        """
        found = []
        with self._served():
            for page in self._pages(["documents", "metadatas"], {"episode": episode}):
                for document, metadata in zip(page["documents"], page["metadatas"], strict=True):
                    found.append(_entries.entry(document, metadata))
        return sorted(found, key=lambda entry: entry.id)

    def end(self, episodes: Sequence[str]) -> None:
        """Give these episodes' memory back; Chroma forgets them, too, unless `keep`.

        Raises:
            BackendError: Chroma does not serve.
        """
        if not self._options.keep:
            with self._served():
                self._remove([i for episode in episodes for i in self._ids(episode)])
        self._mirror.end(episodes)

    def describe(self) -> dict[str, str]:
        """Name, version of the client, and where the entries lie."""
        place = {"place": self._place}
        if self._place != "memory":
            place["collection"] = self._name
        return {"name": "chroma", "version": importlib.metadata.version("chromadb"), **place}

    def close(self) -> None:
        """Drop the collection, unless `keep`, and disconnect. Never fails: what stays is cleared next time."""
        with contextlib.suppress(BackendError), self._served():
            if self._begun and not self._options.keep:
                self._drop()
            self._disconnect()
        self._unlock()

    def _open(self) -> Any:
        return self._client.get_or_create_collection(
            self._name, embedding_function=None, configuration={"hnsw": {"space": "cosine"}}
        )

    def _disconnect(self) -> None:
        self._client.close()
        if self._options.path:
            _client.sweep(self._options.path)

    def _drop(self) -> None:
        from chromadb.errors import NotFoundError

        with contextlib.suppress(NotFoundError):
            self._client.delete_collection(self._name)

    def _pages(self, include: list[str], where: dict[str, str] | None = None) -> Iterator[dict[str, Any]]:
        """Everything in the collection, or what `where` selects, `_PAGE` entries at a time."""
        for offset in itertools.count(0, _PAGE):
            page = self._collection.get(where=where, limit=_PAGE, offset=offset, include=include)
            yield page
            if len(page["ids"]) < _PAGE:
                return

    def _ids(self, episode: str) -> list[str]:
        """What Chroma holds of an episode; of entries that are not kept, the mirror knows."""
        if self._options.keep:
            return [i for page in self._pages([], {"episode": episode}) for i in page["ids"]]
        return [_entries.name(episode, entry) for entry in self._mirror.entries(episode)]

    def _remove(self, ids: Sequence[str]) -> None:
        for page in _batched(ids):
            self._collection.delete(ids=page)
        self._removed += len(ids)
        if self._removed > _WORN and not self._options.keep and self._removed > self._collection.count():
            self._renew()

    def _renew(self) -> None:
        """Make the collection anew, with what is alive."""
        alive = list(self._pages(["embeddings", "documents", "metadatas"]))
        self._drop()
        if not self._options.url:
            self._disconnect()
            self._client = _client.connect(self._options.path, self._options.url)
        self._collection = self._open()
        for page in alive:
            if page["ids"]:
                self._collection.add(**{key: page[key] for key in ("ids", *page["included"])})
        self._removed = 0

    @contextlib.contextmanager
    def _served(self, new: Sequence[Change] = ()) -> Iterator[None]:
        """What Chroma raises becomes one sentence; of a server that was lost, the same one at once."""
        import httpx

        if self._lost:
            raise BackendError(self._lost)
        try:
            yield
        except (AtommemError, MemoryError):
            raise
        except Exception as error:  # chromadb raises whatever its parts raise
            sentence = self._misfit(error, new) or _client.sentence(error, self._options.path, self._options.url)
            if isinstance(error, httpx.TransportError | ConnectionError):
                self._lost = sentence
            raise BackendError(sentence) from error

    def _misfit(self, error: Exception, new: Sequence[Change]) -> str:
        """The sentence for what is wrong with the collection; empty where that is not it."""
        where = f"the collection {self._name} in {self._place}"
        if "does not exist" in str(error):
            return f"{where} is gone: another process with the same run stamp has cleared it"
        if "dimension" not in str(error):
            return ""
        with contextlib.suppress(Exception):
            old = self._collection.get(limit=1, include=["embeddings"])["embeddings"]
            made = {len(change.vector) for change in new if change.vector is not None}
            return (
                f"{where} holds vectors of {old.shape[1]} dimensions and the embedder makes {made.pop()}: use "
                "the embedder it was made with, or set store.collection to a new name"
            )
        return ""

    def _unlock(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


_Item = TypeVar("_Item")


def _batched(items: Sequence[_Item]) -> Iterator[Sequence[_Item]]:
    for start in range(0, len(items), _PAGE):
        yield items[start : start + _PAGE]
