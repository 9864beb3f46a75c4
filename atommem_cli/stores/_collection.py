"""One collection of Chroma: told what has changed, read page by page, made anew when it is worn.

What Chroma 1.5 does behind one's back, and what is done about it here:

* Removed vectors stay in its index, and once most of it is dead, each upsert walks through all of them. So
  after `_WORN` removals the collection is made anew.
* Overwriting a vector in place takes six times as long as a delete and an upsert.
* Dropping a collection gives back neither memory, which closing the process's last client does, nor index
  files, which we remove. A server leaks 4 file descriptors and the files of up to `_WORN` entries each time.
* Two processes in one folder crash each other (signal 11); the folder is locked.
"""

from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

from atommem_cli.core.errors import AtommemError, BackendError
from atommem_cli.core.store import Change
from atommem_cli.stores import _client, _entries

_WORN = 5_000
"""Removed entries after which a collection is made anew, unless more than that are alive."""
_PAGE = 1_000
"""Entries per call: below SQLite's limit of 32,766 variables and the server's limit of a request."""


class Collection:
    """A collection in a folder, on a server, or with neither in this process's memory, where it is opened when it is
    first asked for anything: to import Chroma and to open a client takes most of a second.

    Every method raises BackendError where Chroma does not serve.
    """

    def __init__(self, name: str, path: str, url: str, *, lasting: bool) -> None:
        """
        Args:
            lasting: never to be made anew; others keep entries in it.

        Raises:
            MissingExtra: chromadb is not installed.
        """
        self.name = name
        self.place = url or path or "memory"
        self.shared = bool(path or url)
        """Whether anyone else can look."""
        self._path, self._url, self._lasting = path, url, lasting
        self._client: Any = None
        self._opened: Any = None
        self._lost = ""
        """Why nothing is asked of the server any more: it has failed once, and each further try may take minutes."""
        self._removed = 0
        """Entries removed from the collection since it was made."""
        _client.insist_installed()
        self._lock = _client.lock(path) if path else None
        try:
            if self.shared:
                with self._served():
                    self._open()
        except BaseException:
            self._unlock()
            raise

    def clear(self) -> None:
        """Empty it, whoever filled it."""
        with self._served():
            if self._client is not None:
                self._drop()
                self._open()

    def tell(self, removals: Sequence[str], additions: Sequence[Change]) -> None:
        """Remove entries by their names, unknown ones too, then write others."""
        with self._served(additions):
            self._remove(removals)
            for page in _batched(additions):
                self._collection.upsert(
                    ids=[_entries.name(change.episode, change.entry.id) for change in page],
                    embeddings=[change.vector for change in page],
                    documents=[_entries.document(change.entry.text) for change in page],
                    metadatas=[_entries.metadata(change) for change in page],
                )

    def pages(self, include: Sequence[str], episodes: Sequence[str]) -> Iterator[dict[str, Any]]:
        """What it holds of these episodes, `_PAGE` entries at a time, in no order."""
        with self._served():
            yield from self._pages(include, {"episode": {"$in": list(episodes)}})

    def close(self, *, drop: bool) -> None:
        """Disconnect, for good. Never fails: what stays is cleared next time."""
        with contextlib.suppress(BackendError), self._served():
            if self._client is not None:
                if drop:
                    self._drop()
                self._disconnect()
        self._unlock()

    @property
    def _collection(self) -> Any:
        if self._opened is None:
            self._open()
        return self._opened

    def _open(self) -> None:
        if self._client is None:
            self._client = _client.connect(self._path, self._url)
        self._opened = self._client.get_or_create_collection(
            self.name, embedding_function=None, configuration={"hnsw": {"space": "cosine"}}
        )

    def _disconnect(self) -> None:
        self._client.close()
        self._client = None
        if self._path:
            _client.sweep(self._path)

    def _drop(self) -> None:
        from chromadb.errors import NotFoundError

        with contextlib.suppress(NotFoundError):
            self._client.delete_collection(self.name)

    def _pages(self, include: Sequence[str], where: dict[str, Any] | None = None) -> Iterator[dict[str, Any]]:
        for offset in itertools.count(0, _PAGE):
            page = self._collection.get(where=where, limit=_PAGE, offset=offset, include=[*include])
            yield page
            if len(page["ids"]) < _PAGE:
                return

    def _remove(self, ids: Sequence[str]) -> None:
        for page in _batched(ids):
            self._collection.delete(ids=page)
        self._removed += len(ids)
        if self._removed > _WORN and not self._lasting and self._removed > self._collection.count():
            self._renew()

    def _renew(self) -> None:
        """Make the collection anew, with what is alive."""
        alive = list(self._pages(["embeddings", "documents", "metadatas"]))
        self._drop()
        if not self._url:
            self._disconnect()
        self._open()
        for page in alive:
            if page["ids"]:
                self._collection.add(**{key: page[key] for key in ("ids", *page["included"])})
        self._removed = 0

    @contextlib.contextmanager
    def _served(self, new: Sequence[Change] = ()) -> Iterator[None]:
        """What Chroma raises becomes one sentence; of a server that was lost, the same one at once."""
        if self._lost:
            raise BackendError(self._lost)
        try:
            yield
        except (AtommemError, MemoryError):
            raise
        except Exception as error:  # chromadb raises whatever its parts raise
            import httpx

            sentence = self._misfit(error, new) or _client.sentence(error, self._path, self._url)
            if isinstance(error, httpx.TransportError | ConnectionError):
                self._lost = sentence
            raise BackendError(sentence) from error

    def _misfit(self, error: Exception, new: Sequence[Change]) -> str:
        """The sentence for what is wrong with the collection; empty where that is not it."""
        where = f"the collection {self.name} in {self.place}"
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
