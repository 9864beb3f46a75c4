"""One episode's memory: scratchpad, store, persistent query, and the only place where operations run.

The two halves are asymmetric, as in AtomMem (arXiv 2601.08323, 4.1): the scratchpad is always shown; the
store is shown only through Read, which sets a *persistent* query whose top-k is retrieved at the start of
each later step and shown as Memory 1..k. Update and Delete address what was shown, and a reply acts on
the view it was shown: the second operation of one reply on the same entry is stale.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

from atommem_cli.core.effects import EFFECTS, Done, Edit, State
from atommem_cli.core.errors import BackendError
from atommem_cli.core.types import MemoryEntry, MemoryOp, OpKind, OpResult, Outcome

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Vector = NDArray[np.float32]
    """Shape (D,), unit length."""


class Text(NamedTuple):
    """Something to embed; queries may carry an instruction that documents do not."""

    text: str
    is_query: bool


class TextTooLong(BackendError):
    """An embedder refuses a text for its length; the sentence begins with how long it is."""

    def __init__(self, sentence: str, text: str) -> None:
        super().__init__(sentence)
        self.text = text


class Embedder(Protocol):
    """A text encoder. Vectors are float32 and of unit length, so a dot product is the cosine."""

    dimension: int

    def embed(self, texts: Sequence[str], *, is_query: bool) -> NDArray[np.float32]:
        """Shape (len(texts), dimension). Must not depend on what else was embedded before."""

    def describe(self) -> dict[str, str]:
        """What a run records about it: name, model, digest of weights, options that matter."""


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


class Memory:
    """One episode's memory.

    `texts(ops)` says what must be embedded, `apply(ops, vectors)` runs the operations and leaves the
    store's share in `pending`, which the driver hands to `Store.write` for all waiting episodes at once.
    """

    def __init__(
        self,
        episode: str,
        store: Index,
        *,
        k: int,
        dropped: frozenset[OpKind] = frozenset(),
        untold: frozenset[OpKind] = frozenset(),
        max_entries: int | None = None,
        max_reads: int | None = None,
    ) -> None:
        """
        Args:
            k: entries shown per retrieval, at least 1.
            dropped: kinds of operation that are refused with FORBIDDEN.
            untold: those of them that prompts leave out.
            max_entries: a Create beyond it is OVER_BUDGET; None is no limit.
            max_reads: a Read beyond this number of successful ones is OVER_BUDGET; None is no limit.
        """
        self.episode = episode
        self.k = k
        self.dropped = dropped
        self.untold = untold
        self.shown: tuple[MemoryEntry, ...] = ()
        """The view the next reply acts on: Memory 1..k."""
        self.reads = 0
        self.peak = 0
        """Largest number of entries so far."""
        self.pending: list[Change] = []
        self._store = store
        self._max_entries = max_entries
        self._max_reads = max_reads
        self._state = State()
        self._query_vector: Vector | None = None
        self._created = 0
        self._sum = 0
        self._notes = _hash("")

    @property
    def scratchpad(self) -> str:
        """The notes that every prompt shows."""
        return self._state.scratchpad

    @property
    def query(self) -> str:
        """The persistent query; empty before the first Read, and then nothing is retrieved."""
        return self._state.query

    @property
    def entries(self) -> tuple[MemoryEntry, ...]:
        """All entries, oldest first."""
        return tuple(MemoryEntry(i, text) for i, text in self._state.entries.items())

    @property
    def digest(self) -> str:
        """16 hexadecimal digits over scratchpad, query and entries.

        The entries go in as the sum of their hashes modulo 2^256 (a set hash), so that one operation
        costs the same whatever the size of the store.
        """
        return _digest(self._sum, self._notes, self.query)

    def show(self) -> tuple[MemoryEntry, ...]:
        """Retrieve with the persistent query; the result is the view of the next reply."""
        self.shown = ()
        entries = self._state.entries
        if self._query_vector is not None and entries:
            ids = self._store.nearest(self.episode, self._query_vector, self.k)
            self.shown = tuple(MemoryEntry(i, entries[i]) for i in ids)
        return self.shown

    def texts(self, ops: Sequence[MemoryOp]) -> list[Text]:
        """What `apply` will want embedded."""
        kinds = (OpKind.CREATE, OpKind.UPDATE, OpKind.READ)
        return [
            Text(op.text.strip(), op.kind is OpKind.READ)
            for op in ops
            if op.kind in kinds and op.defect is None and op.text.strip() and op.kind not in self.dropped
        ]

    def apply(self, ops: Sequence[MemoryOp], vectors: Mapping[Text, Vector]) -> tuple[OpResult, ...]:
        """Run the operations of one reply, in order of appearance; refused ones are results too."""
        touched: set[int] = set()
        results = []
        after = self.digest
        for op in ops:
            before, text = after, op.text.strip()
            outcome, entry = self._judge(op, text, touched)
            if outcome is Outcome.OK:
                for edit in EFFECTS[op.kind](Done(text, entry)):
                    self._edit(edit, vectors)
                after = self.digest
            results.append(OpResult(op, outcome, entry, before, after))
        return tuple(results)

    def take_pending(self) -> list[Change]:
        """The store's share of what was applied and not taken yet."""
        pending, self.pending = self.pending, []
        return pending

    def _judge(self, op: MemoryOp, text: str, touched: set[int]) -> tuple[Outcome, int | None]:
        """What becomes of an operation, and the entry it is about. `touched`: those that this reply has changed."""
        if op.kind in self.dropped:
            return Outcome.FORBIDDEN, None
        if op.defect is not None:
            return op.defect, None
        match op.kind:
            case OpKind.SCRATCHPAD:
                return Outcome.NOOP if text == self.scratchpad else Outcome.OK, None
            case OpKind.READ:
                if not text or text == self.query:
                    return Outcome.NOOP, None
                full = self._max_reads is not None and self.reads >= self._max_reads
                return Outcome.OVER_BUDGET if full else Outcome.OK, None
            case OpKind.CREATE:
                if not text:
                    return Outcome.NOOP, None
                if self._max_entries is not None and len(self._state.entries) >= self._max_entries:
                    return Outcome.OVER_BUDGET, None
                return Outcome.OK, self._created + 1
            case OpKind.UPDATE | OpKind.DELETE:
                return self._address(op, text, touched)
            case _:
                raise ValueError(f"{op.kind} is no operation on a memory")

    def _address(self, op: MemoryOp, text: str, touched: set[int]) -> tuple[Outcome, int | None]:
        if op.target is None or not 1 <= op.target <= len(self.shown):
            return Outcome.INVALID_TARGET, None
        entry = self.shown[op.target - 1].id
        if entry in touched:
            return Outcome.STALE_TARGET, entry
        if op.kind is OpKind.UPDATE and text in ("", self._state.entries[entry]):
            return Outcome.NOOP, entry
        touched.add(entry)
        return Outcome.OK, entry

    def _edit(self, edit: Edit, vectors: Mapping[Text, Vector]) -> None:
        """Carry out one edit, and keep up what follows from the state: digest, vectors, counts, the store's share."""
        old, text = self._state.edit(edit), edit.text
        match edit.part:
            case "scratchpad":
                self._notes = _hash(text)
            case "query":
                self._query_vector = vectors[Text(text, True)]
                self.reads += 1
            case "entries":
                assert edit.id is not None
                if edit.verb != "add":
                    self._sum -= _hash(f"{edit.id}:{old}")
                if edit.verb != "remove":
                    self._sum += _hash(f"{edit.id}:{text}")
                self._sum %= _MODULUS
                vector = None if edit.verb == "remove" else vectors[Text(text, False)]
                self.pending.append(Change(self.episode, MemoryEntry(edit.id, text or old), vector))
                self._created = max(self._created, edit.id)
                self.peak = max(self.peak, len(self._state.entries))


_MODULUS = 2**256


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest(), "big")


def _digest(entries: int, notes: int, query: str) -> str:
    return f"{_hash(f'{entries:064x}{notes:064x}{query}'):064x}"[:16]


EMPTY = _digest(0, _hash(""), "")
"""Digest of a memory that nothing has happened to."""
