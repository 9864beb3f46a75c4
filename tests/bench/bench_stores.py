"""Stores against the peers' pattern, side by side in one run: `python tests/bench/bench_stores.py`.

What counts are the ratios; seconds depend on the machine.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import psutil

from atommem_cli.config import plugins
from atommem_cli.core.store import Change, Store
from atommem_cli.core.types import MemoryEntry

ROLLOUTS, ENTRIES, DIMENSION, K = 64, 200, 384, 6
FETCH = 40_000
"""AtomMem's fetch_k: hits that LangChain takes from FAISS before it filters them in Python (papers.md 1.3)."""


def main() -> None:
    """Print all comparisons."""
    compare_retrieval()
    compare_writes()
    watch_memory()


def compare_retrieval() -> None:
    """One query of one rollout among 64 x 200 entries."""
    vectors = _unit(ROLLOUTS * ENTRIES).reshape(ROLLOUTS, ENTRIES, DIMENSION)
    queries = _unit(ROLLOUTS, seed=1)
    name, shared = _shared_index(vectors.reshape(-1, DIMENSION))
    stores = {"chroma": _build("chroma"), "exact": _build("exact")}
    for store in stores.values():
        store.begin(_names())
        store.write([_put(r, e, vectors[r, e]) for r in range(ROLLOUTS) for e in range(ENTRIES)])
    peer = _median(lambda r: shared(r, queries[r]), rounds=64)
    print(f"retrieval, {ROLLOUTS} rollouts x {ENTRIES} entries x {DIMENSION} dimensions, k = {K}")
    print(f"  peers' pattern ({name}): {1e3 * peer:9.3f} ms a query")
    for kind, store in stores.items():

        def ask(r: int, store: Store = store) -> list[int]:
            return store.nearest(f"task#{r}", queries[r], K)

        agree = sum(ask(r) == shared(r, queries[r]) for r in range(ROLLOUTS))
        ours = _median(ask, rounds=2_000)
        print(f"  {kind} store: {1e3 * ours:9.4f} ms a query, {peer / ours:,.0f}x; {agree}/{ROLLOUTS} same answers")
        store.close()


def compare_writes() -> None:
    """One round of 64 rollouts, 2 new entries each: in one call, and in one call per rollout."""
    seconds = {}
    for how in ("one call a round", "one call a rollout"):
        store = _build("chroma")
        store.begin(_names())
        began = time.perf_counter()
        for turn in range(10):
            vectors = _unit(2 * ROLLOUTS, seed=turn)
            changes = [_put(i // 2, 2 * turn + i % 2, vector) for i, vector in enumerate(vectors)]
            size = len(changes) if how == "one call a round" else 2
            for start in range(0, len(changes), size):
                store.write(changes[start : start + size])
        seconds[how] = (time.perf_counter() - began) / 10
        store.close()
    print(f"writes to chroma, {ROLLOUTS} rollouts x 2 entries a round")
    for how, spent in seconds.items():
        print(f"  {how}: {1e3 * spent:.1f} ms")
    print(f"  ratio: {seconds['one call a rollout'] / seconds['one call a round']:.1f}x")


def watch_memory() -> None:
    """10,000 short episodes on the Chroma store, 10 entries each."""
    process, store = psutil.Process(), _build("chroma")
    print("memory of this process over 10,000 episodes of 10 entries on the chroma store, waves of 50")
    vectors = _unit(500)
    for start in range(0, 10_000, 50):
        if start % 1_000 == 0:
            print(f"  {start:6,} episodes: {process.memory_info().rss / 2**20:6.0f} MiB")
        names = [f"short {i}" for i in range(start, start + 50)]
        store.begin(names)
        store.write(
            [Change(n, MemoryEntry(e, "text"), vectors[10 * i + e]) for i, n in enumerate(names) for e in range(10)]
        )
        store.end(names)
    print(f"  10,000 episodes: {process.memory_info().rss / 2**20:6.0f} MiB")
    store.close()


def _shared_index(vectors: np.ndarray[Any, Any]) -> tuple[str, Callable[[int, Any], list[int]]]:
    """The peers' pattern: one exact L2 index over all rollouts, every hit looked up and filtered in Python."""
    metadata = [{"rollout": r, "entry": e} for r in range(ROLLOUTS) for e in range(ENTRIES)]
    fetch = min(FETCH, len(vectors))
    try:
        import faiss
    except ImportError:
        name = "faiss is not installed: the scan is numpy's, a stand-in"
        norms = np.einsum("ij,ij->i", vectors, vectors)

        def scan(query: np.ndarray[Any, Any]) -> list[int]:
            distances = norms - 2 * (vectors @ query)
            return [int(i) for i in np.argsort(distances, kind="stable")[:fetch]]
    else:
        name = "faiss IndexFlatL2"
        index = faiss.IndexFlatL2(vectors.shape[1])
        index.add(vectors)

        def scan(query: np.ndarray[Any, Any]) -> list[int]:
            return [int(i) for i in index.search(query[None], fetch)[1][0]]

    docstore = {str(i): data for i, data in enumerate(metadata)}

    def search(rollout: int, query: np.ndarray[Any, Any]) -> list[int]:
        hits = [docstore[str(i)] for i in scan(query)]
        return [hit["entry"] for hit in hits if all(hit.get(k) == v for k, v in {"rollout": rollout}.items())][:K]

    return name, search


def _median(ask: Callable[[int], object], rounds: int) -> float:
    """Seconds per call, the median."""
    seconds = []
    for i in range(rounds):
        began = time.perf_counter()
        ask(i % ROLLOUTS)
        seconds.append(time.perf_counter() - began)
    return float(np.median(seconds))


def _build(name: str) -> Store:
    module = plugins.load("stores", name)
    store: Store = module.build(module.Options())
    return store


def _names() -> list[str]:
    return [f"task#{r}" for r in range(ROLLOUTS)]


def _put(rollout: int, entry: int, vector: np.ndarray[Any, Any]) -> Change:
    return Change(f"task#{rollout}", MemoryEntry(entry, f"entry {entry} of {rollout}"), vector)


def _unit(n: int, seed: int = 0) -> np.ndarray[Any, Any]:
    vectors = np.random.default_rng(seed).standard_normal((n, DIMENSION)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


if __name__ == "__main__":
    main()
