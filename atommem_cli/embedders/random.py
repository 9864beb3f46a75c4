"""Directions that know nothing of their text: k entries at random, the same ones for the same query.

The control of AtomMem v3's Table 4 ("random selection"): what a real encoder scores above it is what retrieval by
meaning is worth.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from atommem_cli.config.schema import Section

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Options(Section):
    """Keys of the recipe's `embedder` section."""

    dimension: int = Field(32, ge=2, le=65_536)
    """Numbers in a vector."""
    seed: int = Field(0, ge=0)
    """Another seed, another choice."""


def build(options: Options) -> RandomEmbedder:
    """The embedder."""
    return RandomEmbedder(options)


class RandomEmbedder:
    """See `memory.Embedder`. The same text has the same vector on every machine, another one as a query."""

    def __init__(self, options: Options) -> None:
        self.dimension = options.dimension
        self._seed = options.seed

    def embed(self, texts: Sequence[str], *, is_query: bool) -> NDArray[np.float32]:
        """Shape (len(texts), dimension), uniform on the sphere."""
        vectors = np.zeros((len(texts), self.dimension))
        for row, text in enumerate(texts):
            key = f"{self._seed} {is_query} {text}".encode("utf-8", "surrogatepass")
            draw = np.random.default_rng(int.from_bytes(hashlib.sha256(key).digest(), "big"))
            vectors[row] = draw.standard_normal(self.dimension)
        unit: NDArray[np.float32] = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
        return unit

    def describe(self) -> dict[str, str]:
        """Its name, dimension and seed."""
        return {"name": "random (no weights)", "dimension": str(self.dimension), "seed": str(self._seed)}
