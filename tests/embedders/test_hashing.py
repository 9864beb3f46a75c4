"""The encoder without weights."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from atommem_cli.embedders import hashing


def embed(*texts: str, dimension: int = 256) -> np.ndarray:  # type: ignore[type-arg]
    return hashing.build(hashing.Options(dimension=dimension)).embed(texts, is_query=False)


@given(texts=st.lists(st.text(st.characters(), max_size=40), max_size=8), dimension=st.sampled_from([1, 8, 256]))
def test_every_text_has_a_unit_vector_of_its_own(texts: list[str], dimension: int) -> None:
    together = embed(*texts, dimension=dimension)
    assert together.shape == (len(texts), dimension)
    assert together.dtype == np.float32
    assert np.allclose(np.linalg.norm(together, axis=1), 1.0, atol=1e-6)
    for text, vector in zip(texts, together, strict=True):
        assert embed(text, dimension=dimension)[0].tobytes() == vector.tobytes()


def test_a_vector_is_the_same_on_every_machine() -> None:
    (vector,) = embed("Ada lives in Velt", dimension=8)
    assert np.round(3 * vector).tolist() == [0, -1, -1, 1, 0, 2, -1, 1]


def test_what_shares_words_is_near() -> None:
    near, far, query = embed("Ada Berg lives in Velt.", "Quantum field theory", "where does ADA BERG live")
    assert near @ query > 0.3 > abs(far @ query)


def test_word_order_counts() -> None:
    one, other = embed("Ada follows Bo", "Bo follows Ada")
    assert 0.3 < one @ other < 0.9


def test_pairs_do_not_cross_texts() -> None:
    assert embed("a b", "c")[1].tolist() == embed("c")[0].tolist()


@pytest.mark.parametrize("text", ["", " ", "...", "\ud800"])
def test_no_words_is_the_first_unit_vector(text: str) -> None:
    assert embed(text)[0].tolist() == [1.0] + [0.0] * 255


def test_describe() -> None:
    assert hashing.build(hashing.Options()).describe() == {"name": "hashing (no weights)", "dimension": "256"}
