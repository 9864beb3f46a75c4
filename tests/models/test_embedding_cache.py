"""The cache in front of an embedder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from atommem_cli.core.memory import Text
from atommem_cli.models.embedding_cache import CachedEmbedder


class Counting:
    """A real, if simple, embedder that remembers its calls: the vector says text length and kind."""

    dimension = 3

    def __init__(self) -> None:
        self.calls: list[tuple[list[str], bool]] = []

    def embed(self, texts: Sequence[str], *, is_query: bool) -> np.ndarray[Any, np.dtype[np.float32]]:
        self.calls.append((list(texts), is_query))
        return np.array([[len(text), ord((text or " ")[0]), is_query] for text in texts], np.float32)

    def describe(self) -> dict[str, str]:
        return {"name": "counting"}


def test_one_call_per_kind_for_unique_missing_texts_in_order() -> None:
    inner = Counting()
    cached = CachedEmbedder(inner)
    wanted = [Text("b", False), Text("a", True), Text("a", False), Text("b", False)]
    found = cached.vectors_for(iter(wanted))
    assert inner.calls == [(["a", "b"], False), (["a"], True)]
    assert {text: vector.tolist() for text, vector in found.items()} == {
        Text("a", False): [1, 97, 0],
        Text("b", False): [1, 98, 0],
        Text("a", True): [1, 97, 1],
    }
    assert cached.embedded == 3
    cached.vectors_for([Text("b", False), Text("cc", False)])
    assert inner.calls[2:] == [(["cc"], False)]
    assert cached.embedded == 4
    assert cached.vectors_for([]) == {}
    assert (cached.dimension, cached.describe()) == (3, {"name": "counting"})


@given(
    rounds=st.lists(st.lists(st.tuples(st.text("ab", max_size=2), st.booleans())), max_size=8), most=st.integers(1, 9)
)
def test_it_answers_like_its_inner_embedder_and_stays_small(rounds: list[list[tuple[str, bool]]], most: int) -> None:
    cached, plain = CachedEmbedder(Counting(), most=most), Counting()
    for pairs in rounds:
        texts = [Text(*pair) for pair in pairs]
        found = cached.vectors_for(texts)
        assert found.keys() == set(texts)
        for text, vector in found.items():
            assert vector.tolist() == plain.embed([text.text], is_query=text.is_query)[0].tolist()
        assert len(cached._vectors) <= most


def test_the_least_recently_used_goes_first() -> None:
    inner = Counting()
    cached = CachedEmbedder(inner, most=2)
    for text in ("a", "b", "a", "c", "a", "b"):
        cached.vectors_for([Text(text, False)])
    assert [texts for texts, _ in inner.calls] == [["a"], ["b"], ["c"], ["b"]]


def test_vectors_are_read_only_and_do_not_hold_their_batch() -> None:
    vector = CachedEmbedder(Counting()).vectors_for([Text(str(i), False) for i in range(9)])[Text("3", False)]
    assert vector.base is None
    with pytest.raises(ValueError, match="read-only"):
        vector[0] = 1.0
