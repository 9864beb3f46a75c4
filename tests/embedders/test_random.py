"""The control without meaning: unit vectors, fixed by text, role and seed, near to nothing."""

from __future__ import annotations

from collections import Counter

import numpy as np

from atommem_cli.embedders.random import Options, build


def test_vectors_are_fixed_by_text_role_and_seed() -> None:
    texts = ["a", "b", "", "\ud800"]
    first, again = (build(Options()).embed(texts, is_query=False) for _ in range(2))
    assert np.array_equal(first, again)
    assert np.allclose(np.linalg.norm(first, axis=1), 1, atol=1e-6)
    assert np.array_equal(build(Options()).embed(["b"], is_query=False)[0], first[1])
    for other in (build(Options()).embed(texts, is_query=True), build(Options(seed=1)).embed(texts, is_query=False)):
        assert np.abs((first * other).sum(axis=1)).max() < 0.9


def test_every_entry_is_as_near_as_any_other() -> None:
    """Of 5 entries each is the nearest to a fifth of 2,000 queries, its own text too."""
    embedder = build(Options())
    entries = embedder.embed([f"entry {i}" for i in range(5)], is_query=False)
    queries = embedder.embed([f"entry {i}" for i in range(2000)], is_query=True)
    nearest = Counter((queries @ entries.T).argmax(axis=1).tolist())
    assert all(abs(nearest[i] - 400) < 80 for i in range(5)), nearest  # 4.5 standard deviations
