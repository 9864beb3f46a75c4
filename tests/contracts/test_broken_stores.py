"""Each promise of a store and of an embedder, broken once: the contract says so in a sentence that helps."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from sentences import pattern

from atommem_cli.contracts import ContractBroken, embedders, promises, stores
from atommem_cli.core.store import Change
from atommem_cli.core.types import MemoryEntry
from atommem_cli.embedders import hashing


class Shelf:
    """Keeps every promise: a dictionary to each episode."""

    def __init__(self) -> None:
        self.episodes: dict[str, dict[int, tuple[MemoryEntry, Any]]] = {}

    def begin(self, episodes: Sequence[str]) -> None:
        self.episodes.update((episode, {}) for episode in episodes)

    def write(self, changes: Sequence[Change]) -> None:
        for change in changes:
            self.put(self.episodes[change.episode], change)

    def put(self, entries: dict[int, tuple[MemoryEntry, Any]], change: Change) -> None:
        if change.vector is None:
            del entries[change.entry.id]
        else:
            entries[change.entry.id] = change.entry, change.vector

    def nearest(self, episode: str, query: Any, k: int) -> list[int]:
        entries = self.episodes[episode]
        return sorted(entries, key=lambda i: (-float(entries[i][1] @ query), i))[:k]

    def entries(self, episode: str) -> list[MemoryEntry]:
        return [entry for _, (entry, _) in sorted(self.episodes.get(episode, {}).items())]

    def end(self, episodes: Sequence[str]) -> None:
        for episode in episodes:
            self.episodes.pop(episode, None)

    def describe(self) -> dict[str, str]:
        return {"name": "shelf"}


class Haunted(Shelf):
    def entries(self, episode: str) -> list[MemoryEntry]:
        return super().entries(episode) or [MemoryEntry(0, "boo")]


class Farthest(Shelf):
    def nearest(self, episode: str, query: Any, k: int) -> list[int]:
        return super().nearest(episode, -np.asarray(query), k)


class Approximate(Shelf):
    """Misses some where there are many, as an index does."""

    def nearest(self, episode: str, query: Any, k: int) -> list[int]:
        found = super().nearest(episode, query, 2 * k)
        return found[:k] if len(self.episodes[episode]) < 100 else sorted(random.Random(1).sample(found, k))


class Youngest(Shelf):
    def nearest(self, episode: str, query: Any, k: int) -> list[int]:
        entries = self.episodes[episode]
        return sorted(entries, key=lambda i: (-float(entries[i][1] @ query), -i))[:k]


class First(Shelf):
    """Never replaces."""

    def put(self, entries: dict[int, tuple[MemoryEntry, Any]], change: Change) -> None:
        if change.vector is None or change.entry.id not in entries:
            super().put(entries, change)


class Grouping(Shelf):
    """Removes before it puts."""

    def write(self, changes: Sequence[Change]) -> None:
        gone = [change for change in changes if change.vector is None]
        for change in gone:
            self.episodes[change.episode].pop(change.entry.id, None)
        super().write([change for change in changes if change.vector is not None])


class Keeping(Shelf):
    def put(self, entries: dict[int, tuple[MemoryEntry, Any]], change: Change) -> None:
        if change.vector is not None:
            super().put(entries, change)


class Lenient(Shelf):
    def put(self, entries: dict[int, tuple[MemoryEntry, Any]], change: Change) -> None:
        if change.vector is not None or change.entry.id in entries:
            super().put(entries, change)


class Welcoming(Shelf):
    def write(self, changes: Sequence[Change]) -> None:
        for change in changes:
            self.put(self.episodes.setdefault(change.episode, {}), change)


class Remembering(Shelf):
    def begin(self, episodes: Sequence[str]) -> None:
        for episode in episodes:
            self.episodes.setdefault(episode, {})


class Strict(Shelf):
    def end(self, episodes: Sequence[str]) -> None:
        for episode in episodes:
            del self.episodes[episode]


class Utf8(Shelf):
    def put(self, entries: dict[int, tuple[MemoryEntry, Any]], change: Change) -> None:
        text = change.entry.text.encode("utf-8", "replace").decode()
        super().put(entries, Change(change.episode, MemoryEntry(change.entry.id, text), change.vector))


class Small(Shelf):
    def write(self, changes: Sequence[Change]) -> None:
        super().write(changes[:1000])


class Shared(Shelf):
    """One shelf for all episodes."""

    def begin(self, episodes: Sequence[str]) -> None:
        one = next(iter(self.episodes.values()), {})
        self.episodes.update((episode, one) for episode in episodes)

    def put(self, entries: dict[int, tuple[MemoryEntry, Any]], change: Change) -> None:
        if change.vector is not None or change.entry.id in entries:
            super().put(entries, change)


class Filtering(Shelf):
    """Searches everything, and keeps of what it found what is of the episode."""

    def nearest(self, episode: str, query: Any, k: int) -> list[int]:
        every = [(name, i) for name, entries in self.episodes.items() for i in entries]
        every.sort(key=lambda at: (-float(self.episodes[at[0]][at[1]][1] @ query), at[1]))
        return [i for name, i in every[:k] if name == episode]


class Unnamed(Shelf):
    def describe(self) -> Any:
        return "shelf"


class Hashing:
    """Keeps every promise."""

    dimension = 16

    def __init__(self) -> None:
        self.inner = hashing.build(hashing.Options(dimension=16))

    def embed(self, texts: Sequence[str], *, is_query: bool) -> Any:
        return self.inner.embed(texts, is_query=is_query)

    def describe(self) -> dict[str, str]:
        return {"name": "hashing"}


class Lists(Hashing):
    def embed(self, texts: Sequence[str], *, is_query: bool) -> Any:
        return super().embed(texts, is_query=is_query).tolist()


class Double(Hashing):
    def embed(self, texts: Sequence[str], *, is_query: bool) -> Any:
        return super().embed(texts, is_query=is_query).astype(np.float64)


class Late(Hashing):
    dimension = None  # type: ignore[assignment]


class Long(Hashing):
    def embed(self, texts: Sequence[str], *, is_query: bool) -> Any:
        return 3 * super().embed(texts, is_query=is_query)


class Centred(Hashing):
    """Takes the mean of a batch away."""

    def embed(self, texts: Sequence[str], *, is_query: bool) -> Any:
        vectors = super().embed(texts, is_query=is_query)
        if len(vectors) > 1:
            vectors = vectors - vectors.mean(0)
            vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        return vectors


class Stacking(Hashing):
    def embed(self, texts: Sequence[str], *, is_query: bool) -> Any:
        return np.stack([super(Stacking, self).embed([text], is_query=is_query)[0] for text in texts])


class Encoding(Hashing):
    def embed(self, texts: Sequence[str], *, is_query: bool) -> Any:
        return super().embed([text.encode().decode() for text in texts], is_query=is_query)


class Loose(Hashing):
    def describe(self) -> Any:
        return {"name": "loose", "dimension": 16}


BROKEN = [
    (
        stores.an_empty_episode_shows_nothing,
        Haunted,
        "entries gives [MemoryEntry(id=0, text='boo', meta=())], and [] is right",
    ),
    (stores.the_nearest_come_first, Farthest, "nearest gives the ids [4, 2] for k = 2, and [1, 3] is right: by cosine"),
    (stores.retrieval_is_exact, Approximate, "nearest gives the ids .* for k = 6, and .* is right"),
    (
        stores.equal_vectors_go_by_id,
        Youngest,
        "nearest gives the ids [9, 7, 5, 2] for k = 4, and [1, 2, 5, 7] is right",
    ),
    (stores.writing_again_replaces, First, "nearest gives the ids [1] for k = 1, and [2] is right"),
    (
        stores.the_last_change_counts,
        Grouping,
        "text='entry 2', .*, and [MemoryEntry(id=1, text='new', meta=())] is right",
    ),
    (stores.what_is_removed_is_gone, Keeping, "nearest gives the ids [1] for k = 3, and [] is right"),
    (stores.what_is_not_there_is_an_error, Lenient, "write removes an entry that is not there: raise a KeyError there"),
    (stores.what_is_not_there_is_an_error, Welcoming, "write takes an entry of an episode that has not begun: raise a"),
    (stores.begin_empties_and_end_forgets, Remembering, "nearest gives the ids [1] for k = 3, and [] is right"),
    (
        stores.nothing_to_do_costs_nothing,
        Strict,
        "it raises KeyError: 'contract/never begun' .* where this is promised:",
    ),
    (stores.any_text_comes_back, Utf8, "entries gives .*, and .* is right: what is held now, by id"),
    (stores.many_changes_fit_one_call, Small, "entries gives other ids than those of the 1,500 entries that were writ"),
    (
        stores.episodes_do_not_see_each_other,
        Shared,
        "nearest gives the id .* is no entry of that episode: keep the entries of each",
    ),
    (
        stores.episodes_do_not_see_each_other,
        Filtering,
        "an episode among 18 others comes out otherwise than alone: keep",
    ),
    (promises.describes_itself, Unnamed, "describe() gives 'shelf': a mapping of text to text is wanted"),
    (embedders.vectors_have_a_shape, Lists, "embed gives a list for 6 texts: an array of shape (6, 16) is wanted"),
    (embedders.vectors_have_a_shape, Double, "embed gives numbers of type float64: end with .astype(np.float32)"),
    (embedders.vectors_have_a_shape, Late, "dimension is None: the numbers of a vector are wanted, known before"),
    (embedders.vectors_have_unit_length, Long, "the vector of 'Ada lives in Velt.' has the length 3: divide it by its"),
    (embedders.a_vector_is_that_of_its_text, Centred, "'Ada lives in Velt.' has another vector among other texts than"),
    (embedders.no_text_is_no_work, Stacking, "it raises ValueError: need at least one array to stack .* is promised"),
    (embedders.any_text_is_taken, Encoding, "embed raises UnicodeEncodeError: .* for the text '\\ud83d': entries hold"),
    (promises.describes_itself, Loose, "describe() gives {'name': 'loose', 'dimension': 16}: a mapping of text to"),
]


@pytest.mark.parametrize(("promise", "broken", "sentence"), BROKEN, ids=[broken.__name__ for _, broken, _ in BROKEN])
def test_a_broken_promise_is_one_sentence(promise: Any, broken: Any, sentence: str) -> None:
    with pytest.raises(ContractBroken, match=pattern(sentence)) as caught:
        promises.check([promise], broken())
    assert "\n" not in str(caught.value)


def test_every_promise_is_broken_once_and_kept_without_the_fault() -> None:
    assert {promise for promise, _, _ in BROKEN} == {*stores.PROMISES, *embedders.PROMISES}
    stores.check(Shelf())  # type: ignore[arg-type]
    embedders.check(Hashing())
