"""One episode's memory: scratchpad, store, persistent query, and the only place where operations run.

The two halves are asymmetric, as in AtomMem (arXiv 2601.08323, 4.1): the scratchpad is always shown; the
store is shown only through Read, which sets a *persistent* query whose top-k is retrieved at the start of
each later step and shown as Memory 1..k. Update and Delete address what was shown, and a reply acts on
the view it was shown: the second operation of one reply on the same entry is stale.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol

from atommem_cli.core.effects import EFFECTS, Done, Edit, State
from atommem_cli.core.errors import BackendError
from atommem_cli.core.memory_digest import MemoryDigest
from atommem_cli.core.store import Change, Index
from atommem_cli.core.types import MemoryEntry, MemoryOp, Meta, OpKind, OpResult, Outcome

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from atommem_cli.core.store import Vector


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


Addressing = Literal["shown", "seen"]
"""What the target of an Update or a Delete is. shown: the number of an entry in the view of the reply, as AtomMem; the
second operation of one reply on the same entry is stale. seen: the id of any entry that was ever shown, or that the
episode created, as AgeMem's."""


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
        addressing: Addressing = "shown",
        noise: Sequence[str] = (),
    ) -> None:
        """
        Args:
            k: entries shown per retrieval, at least 1.
            dropped: kinds of operation that are refused with FORBIDDEN.
            untold: those of them that prompts leave out.
            max_entries: a Create beyond it is OVER_BUDGET; None is no limit.
            max_reads: a Read beyond this number of successful ones is OVER_BUDGET; None is no limit.
            addressing: what the target of an Update or a Delete means.
            noise: texts of entries that `fill` puts there first; unchanged ones take no room from `max_entries`.
        """
        self.episode = episode
        self.k = k
        self.dropped = dropped
        self.untold = untold
        self.shown: tuple[MemoryEntry, ...] = ()
        """The view the next reply acts on: Memory 1..k."""
        self.reads = 0
        self.peak = 0
        """Largest number of entries so far, noise apart."""
        self.noise = tuple(MemoryEntry(number, text) for number, text in enumerate(noise, start=1))
        self.pending: list[Change] = []
        self._store = store
        self._max_entries = max_entries
        self._max_reads = max_reads
        self._state = State()
        self._addressing = addressing
        self._meta: dict[int, Meta] = {}
        self._retrieved: list[tuple[int, ...]] = []
        self._seen: set[int] = set()
        """Entries that were ever shown or created, where targets are their ids."""
        self._query_vector: Vector | None = None
        self._created = 0
        self._given: set[int] = set()
        """Entries that nobody wrote, as long as nobody has changed them."""
        self._digest = MemoryDigest()

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
        return tuple(map(self._entry, self._state.entries))

    @property
    def digest(self) -> str:
        """16 hexadecimal digits over scratchpad, query and entries."""
        return self._digest.of(self.query)

    def show(self, k: int | None = None) -> tuple[MemoryEntry, ...]:
        """Retrieve at most k entries, or `self.k`, with the persistent query; they are the view of the next reply."""
        found: Sequence[int] = ()
        if self._query_vector is not None and self._state.entries:
            found = self._store.nearest(self.episode, self._query_vector, k or self.k)
            self._retrieved.append(tuple(found))
        return self.present(found)

    def take_retrieved(self) -> tuple[tuple[int, ...], ...]:
        """What was found since this was asked last: ids, best first, one group for each retrieval."""
        retrieved, self._retrieved = tuple(self._retrieved), []
        return retrieved

    def present(self, ids: Sequence[int]) -> tuple[MemoryEntry, ...]:
        """Make entries that the agent chose itself the view of the next reply, best first; the journal has them as
        what was shown. A KeyError says that there is no entry of such an id.
        """
        self.shown = tuple(map(self._entry, ids))
        self._seen.update(ids)
        return self.shown

    def _entry(self, entry: int) -> MemoryEntry:
        return MemoryEntry(entry, self._state.entries[entry], self._meta.get(entry, ()))

    @property
    def targets(self) -> dict[int, int]:
        """What a reply has to name to change an entry, by the entry's id: of all that it can change."""
        if self._addressing == "seen":
            return {entry: entry for entry in self._state.entries if entry in self._seen}
        return {entry.id: number for number, entry in enumerate(self.shown, start=1)}

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
                self._carry_out(op, text, entry, vectors)
                after = self.digest
            results.append(OpResult(op, outcome, entry, before, after))
        return tuple(results)

    def restore(self, done: Iterable[OpResult], vectors: Mapping[Text, Vector]) -> None:
        """Carry out what was written elsewhere, by the ids of entries (a Create has one of its own), as far as it can
        be: no Create without room for it, no Read beyond the limit, no change of an entry that is not there.
        """
        for result in done:
            op, text, entry = result.op, result.op.text.strip(), result.entry
            if op.kind in (OpKind.UPDATE, OpKind.DELETE):
                stands = entry in self._state.entries and (op.kind is OpKind.DELETE or text)
            else:
                stands = self._judge(op, text, set())[0] is Outcome.OK
            if stands:
                self._carry_out(op, text, entry, vectors)

    @property
    def _full(self) -> bool:
        return self._max_entries is not None and self.written >= self._max_entries

    @property
    def written(self) -> int:
        """Entries that there are now, without noise that nobody has changed."""
        return len(self._state.entries) - len(self._given)

    def fill(self, vectors: Mapping[Text, Vector]) -> None:
        """Put `noise` into the store; `vectors` are those of its texts. Nobody has seen it yet."""
        for entry in self.noise:
            self._edit(Edit("add", "entries", entry.id, entry.text), vectors)
        self._given = {entry.id for entry in self.noise}
        self._seen -= self._given
        self.peak = 0

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
                if self._full:
                    return Outcome.OVER_BUDGET, None
                return Outcome.OK, self._created + 1
            case OpKind.UPDATE | OpKind.DELETE:
                return self._address(op, text, touched)
            case _:
                raise ValueError(f"{op.kind} is no operation on a memory")

    def _address(self, op: MemoryOp, text: str, touched: set[int]) -> tuple[Outcome, int | None]:
        if self._addressing == "seen":
            if op.target not in self._seen or op.target not in self._state.entries:
                return Outcome.INVALID_TARGET, None
            entry = op.target
        elif op.target is None or not 1 <= op.target <= len(self.shown):
            return Outcome.INVALID_TARGET, None
        else:
            entry = self.shown[op.target - 1].id
            if entry in touched or entry not in self._state.entries:
                return Outcome.STALE_TARGET, entry
        same = text == self._state.entries[entry] and op.meta in ((), self._meta.get(entry, ()))
        if op.kind is OpKind.UPDATE and (not text or same):
            return Outcome.NOOP, entry
        touched.add(entry)
        return Outcome.OK, entry

    def _carry_out(self, op: MemoryOp, text: str, entry: int | None, vectors: Mapping[Text, Vector]) -> None:
        for edit in EFFECTS[op.kind](Done(text, entry, meta=op.meta)):
            self._edit(edit, vectors)

    def _edit(self, edit: Edit, vectors: Mapping[Text, Vector]) -> None:
        """Carry out one edit, and keep up what follows from the state: digest, vectors, counts, the store's share."""
        old, text = self._state.edit(edit), edit.text
        self._digest.changed()
        match edit.part:
            case "scratchpad":
                self._digest.note(text)
            case "query":
                self._query_vector = vectors[Text(text, True)]
                self.reads += 1
            case "entries":
                assert edit.id is not None
                self._rewrite(edit.id, edit, old, None if edit.verb == "remove" else vectors[Text(text, False)])

    def _rewrite(self, entry: int, edit: Edit, old: str, vector: Vector | None) -> None:
        """Keep up with one entry that was added, replaced or removed."""
        meta = self._meta.pop(entry, ())
        now = edit.meta or meta
        if edit.verb != "add":
            self._digest.remove(entry, old, meta)
        if edit.verb != "remove":
            self._digest.add(entry, edit.text, now)
            if now:
                self._meta[entry] = now
        self.pending.append(Change(self.episode, MemoryEntry(entry, edit.text or old, now), vector))
        self._seen.add(entry)
        self._given.discard(entry)
        self._created = max(self._created, entry)
        self.peak = max(self.peak, self.written)
