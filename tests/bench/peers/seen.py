"""Vectors for a peer and for us, of which no two texts are equally near to anything: stores order ties as they like."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from atommem_cli.embedders import hashing
from atommem_cli.models.embedding_cache import CachedEmbedder

DIMENSION = 1024


class Hashed:
    """Hashed words, each text a little off."""

    dimension = DIMENSION

    def embed(self, texts: Sequence[str], *, is_query: bool) -> NDArray[np.float32]:
        vectors = hashing.build(hashing.Options(dimension=DIMENSION)).embed(texts, is_query=is_query)
        seeds = (zlib.crc32(text.encode()) for text in texts)
        off = [np.random.default_rng(seed).standard_normal(DIMENSION, np.float32) for seed in seeds]
        moved = vectors + 0.003 * np.stack(off)
        return moved / np.linalg.norm(moved, axis=1, keepdims=True)

    def describe(self) -> dict[str, str]:
        return {"name": "hashing, untied"}


class Seen(CachedEmbedder):
    """Remembers what was embedded."""

    def __init__(self) -> None:
        super().__init__(Hashed())
        self.texts: set[str] = set()

    def vectors_for(self, texts: Any) -> Any:
        self.texts.update(text.text for text in texts)
        return super().vectors_for(texts)
