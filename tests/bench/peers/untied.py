"""An embedder that the peers' Python and ours have in common, word by word: numpy, and nothing else."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

DIMENSION = 256


class Untied:
    """Sums of random vectors of words, each text a little off, so that no two are equally near."""

    dimension = DIMENSION

    def __init__(self) -> None:
        self._words: dict[str, NDArray[np.float32]] = {}

    def embed(self, texts: Sequence[str], *, is_query: bool = False) -> NDArray[np.float32]:
        """Shape (len(texts), DIMENSION), unit length; a query is embedded as an entry is."""
        return np.stack([self._one(text.strip()) for text in texts])

    def describe(self) -> dict[str, str]:
        """Its name."""
        return {"name": "words, untied"}

    def _one(self, text: str) -> NDArray[np.float32]:
        words = [word.strip(".,?!\"'()") for word in text.lower().split()]
        moved = sum((self._word(word) for word in words), 0.01 * self._word(f"all of {text}"))
        unit: NDArray[np.float32] = (moved / np.linalg.norm(moved)).astype(np.float32)
        return unit

    def _word(self, word: str) -> NDArray[np.float32]:
        if word not in self._words:
            dice = np.random.default_rng(zlib.crc32(word.encode()))
            self._words[word] = dice.standard_normal(DIMENSION, np.float32)
        return self._words[word]
