"""The mirror against a dictionary and a sort."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from store_episodes import unit

from atommem_cli.stores._mirror import Mirror

POOL = unit(12, dimension=5)
_puts = st.tuples(st.just("put"), st.integers(1, 40), st.integers(0, 11))
_removes = st.tuples(st.just("remove"), st.integers(1, 40), st.just(0))


@settings(max_examples=150, deadline=None)
@given(ops=st.lists(_puts | _removes, max_size=120), query=st.integers(0, 11), k=st.integers(1, 50))
def test_it_is_a_dictionary_that_sorts(ops: list[tuple[str, int, int]], query: int, k: int) -> None:
    mirror, model = Mirror(), dict[int, int]()
    mirror.begin(["e"])
    for kind, entry, vector in ops:
        if kind == "put":
            mirror.put("e", entry, POOL[vector])
            model[entry] = vector
        elif entry in model:
            mirror.remove("e", entry)
            del model[entry]
    score = {v: float(np.einsum("ij,j->i", POOL[v : v + 1], POOL[query])[0]) for v in range(12)}
    expected = sorted(model, key=lambda entry: (-score[model[entry]], entry))[:k]
    assert mirror.nearest("e", POOL[query], k) == expected
    assert sorted(mirror.entries("e")) == sorted(model)


@pytest.mark.parametrize("dimension", [1, 3, 17, 64, 384, 1023])
@pytest.mark.parametrize("entries", [2, 31, 700, 5000])
def test_equal_vectors_tie_wherever_they_lie(dimension: int, entries: int) -> None:
    same, query = unit(2, dimension)
    mirror = Mirror()
    mirror.begin(["e"])
    order = np.random.default_rng(0).permutation(entries).tolist()
    for entry in order:
        mirror.put("e", entry, same)
    assert mirror.nearest("e", query, 9) == list(range(min(9, entries)))
    assert mirror.nearest("e", query, entries) == list(range(entries))


@pytest.mark.parametrize("entries", [5, 700])
def test_what_is_farther_than_the_least_cosine_is_not_found(entries: int) -> None:
    vectors, (query,) = unit(entries, dimension=4), unit(1, dimension=4)
    mirror = Mirror(least=0.5)
    mirror.begin(["e"])
    for entry, vector in enumerate(vectors):
        mirror.put("e", entry, vector)
    near = {entry for entry, vector in enumerate(vectors) if sum(vector * query) >= 0.5}
    assert set(mirror.nearest("e", query, entries)) == near != set(range(entries))


@pytest.mark.parametrize("entries", [10, 600, 4000])
def test_the_best_of_many(entries: int) -> None:
    vectors = unit(entries + 20, dimension=64)
    mirror = Mirror()
    mirror.begin(["e"])
    for entry, vector in enumerate(vectors[:entries]):
        mirror.put("e", entry, vector)
    for query in vectors[entries:]:
        best = np.argsort(-(vectors[:entries].astype(np.float64) @ query), kind="stable")[:6]
        assert mirror.nearest("e", query, 6) == best.tolist()
        ranked = np.argsort(-np.einsum("ij,j->i", vectors[:entries], query), kind="stable")
        assert mirror.nearest("e", query, entries) == ranked.tolist()
