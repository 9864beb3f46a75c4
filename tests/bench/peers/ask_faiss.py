"""Retrieval by real faiss: AtomMem's pattern, and an index of its own for each episode. Prints JSON.

Run by the Python of its own environment (see `environment`): ask_faiss.py FILE K FETCH

FILE holds `vectors`, shape (R, E, D): rollouts, entries, dimensions, of unit length; and `queries`, shape (R, D).
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable

import faiss
import numpy as np


def main() -> None:
    data, k, fetch = np.load(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    vectors, queries = data["vectors"], data["queries"]
    rollouts, entries, dimension = vectors.shape
    faiss.omp_set_num_threads(1)

    shared = faiss.IndexFlatL2(dimension)
    shared.add(vectors.reshape(-1, dimension))
    docstore = {str(i): {"rollout": i // entries, "entry": i % entries} for i in range(rollouts * entries)}

    def pattern(r: int) -> list[int]:
        """One index over all rollouts; every hit is looked up and filtered in Python."""
        found = shared.search(queries[r][None], min(fetch, rollouts * entries))[1][0]
        hits = [docstore[str(i)] for i in found]
        return [hit["entry"] for hit in hits if all(hit.get(key) == value for key, value in {"rollout": r}.items())][:k]

    own = [faiss.IndexFlatIP(dimension) for _ in range(rollouts)]
    for index, episode in zip(own, vectors, strict=True):
        index.add(episode)

    def alone(r: int) -> list[int]:
        return [int(i) for i in own[r].search(queries[r][None], k)[1][0]]

    def measured(ask: Callable[[int], list[int]], rounds: int) -> dict[str, object]:
        """What it finds for each rollout, and the median of the seconds that it takes."""
        seconds = []
        for i in range(rounds):
            began = time.perf_counter()
            ask(i % rollouts)
            seconds.append(time.perf_counter() - began)
        return {"seconds": float(np.median(seconds)), "ids": [ask(r) for r in range(rollouts)]}

    print(json.dumps({"pattern": measured(pattern, 64), "alone": measured(alone, 2_000)}))


main()
