"""An encoder without weights: words and pairs of neighbouring words, hashed into signed features.

For tests, demonstrations and lower bounds: it knows no synonyms, and only what shares words is near. Words
are runs of letters and digits, so a sentence of a script without spaces is one word.
"""

from __future__ import annotations

import functools
import hashlib
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from atommem_cli.config.schema import Section

if TYPE_CHECKING:
    from numpy.typing import NDArray

_words = re.compile(r"\w+").findall


class Options(Section):
    """Keys of the recipe's `embedder` section."""

    dimension: int = Field(256, ge=1, le=65_536)
    """Features; the fewer, the more words share one."""


def build(options: Options) -> HashingEmbedder:
    """The embedder."""
    return HashingEmbedder(options.dimension)


class HashingEmbedder:
    """See `memory.Embedder`. The same text has the same vector on every machine."""

    def __init__(self, dimension: int) -> None:
        self.dimension = dimension

    def embed(self, texts: Sequence[str], *, is_query: bool) -> NDArray[np.float32]:
        """Shape (len(texts), dimension); a text without words is the first unit vector."""
        hashes = [[_hash(word) for word in _words(text.lower())] for text in texts]
        lengths = np.array([len(words) for words in hashes], np.int64)
        words = np.array([h for text in hashes for h in text], np.uint64)
        row = np.repeat(np.arange(len(texts)), lengths)
        neighbours = row[:-1] == row[1:]
        pairs = _mix(words[:-1] * np.uint64(3) + words[1:])[neighbours]
        features = np.concatenate([words, pairs])
        rows = np.concatenate([row, row[:-1][neighbours]])
        column = (features % np.uint64(self.dimension)).astype(np.int64)
        sign = 1.0 - 2.0 * (features >> np.uint64(63)).astype(np.float64)
        size = len(texts) * self.dimension
        counts = np.bincount(rows * self.dimension + column, sign, size).astype(np.float64)
        vectors = counts.reshape(len(texts), self.dimension)
        vectors[~vectors.any(axis=1), 0] = 1.0  # no words, or words that cancel each other
        norms = np.sqrt(np.square(vectors).sum(axis=1, keepdims=True))
        unit: NDArray[np.float32] = (vectors / norms).astype(np.float32)
        return unit

    def describe(self) -> dict[str, str]:
        """Its name and dimension."""
        return {"name": "hashing (no weights)", "dimension": str(self.dimension)}


@functools.lru_cache(200_000)
def _hash(word: str) -> int:
    digest = hashlib.blake2b(word.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "little")


def _mix(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Spreads every bit over the whole word (splitmix64's finaliser)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))
