"""Stores against the peers' pattern, side by side in one run: `python tests/bench/bench_stores.py`.

What counts are the ratios; seconds depend on the machine.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from peers import environment

from atommem_cli.config import plugins
from atommem_cli.core.store import Change, Store
from atommem_cli.core.types import MemoryEntry
from atommem_cli.stores import chroma

ROLLOUTS, ENTRIES, DIMENSION, K = 64, 200, 384, 6
FETCH = 40_000
"""AtomMem's fetch_k: hits that LangChain takes from FAISS before it filters them in Python (papers.md 1.3)."""


def main() -> None:
    """Print all comparisons."""
    compare_retrieval()
    compare_writes()
    watch_memory()


def compare_retrieval() -> None:
    """One query of one rollout among 64 x 200 entries: here and by faiss, one process after the other."""
    vectors = _unit(ROLLOUTS * ENTRIES).reshape(ROLLOUTS, ENTRIES, DIMENSION)
    queries = _unit(ROLLOUTS, seed=1)
    print(f"retrieval, {ROLLOUTS} rollouts x {ENTRIES} entries x {DIMENSION} dimensions, k = {K}")
    with tempfile.TemporaryDirectory() as folder:
        np.savez(Path(folder, "asked.npz"), vectors=vectors, queries=queries)
        peer = environment.ask("ask_faiss.py", Path(folder, "asked.npz"), K, FETCH)
    if peer:
        for name, what in (("pattern", "faiss, the peers' pattern"), ("alone", "faiss, an index for each rollout")):
            print(f"  {what}: {1e3 * peer[name]['seconds']:.4f} ms a query")
    for kind in ("chroma", "exact"):
        store = _build(kind)
        store.begin(_names())
        store.write([_put(r, e, vectors[r, e]) for r in range(ROLLOUTS) for e in range(ENTRIES)])

        def ask(r: int, store: Store = store) -> list[int]:
            return store.nearest(f"task#{r}", queries[r], K)

        ours = _median(ask, rounds=2_000)
        print(f"  {kind} store: {1e3 * ours:.4f} ms a query")
        for name, its in (peer or {}).items():
            agree = sum(ask(r) == ids for r, ids in enumerate(its["ids"]))
            print(f"    {name}: {its['seconds'] / ours:,.1f}x our time, {agree}/{ROLLOUTS} same answers")
        store.close()


def compare_writes() -> None:
    """Rounds of 64 rollouts, 2 new entries each, in a folder: Chroma told every time, and about once a second."""
    print(f"writes to chroma in a folder, {ROLLOUTS} rollouts x 2 entries a round, 20 rounds")
    for how, every in (("told about once a second", chroma._EVERY), ("told every round", 0.0)):
        chroma._EVERY = every
        with tempfile.TemporaryDirectory() as folder:
            store = chroma.build(chroma.Options(path=folder))
            store.begin(_names())
            began = time.perf_counter()
            for turn in range(20):
                vectors = _unit(2 * ROLLOUTS, seed=turn)
                store.write([_put(i // 2, 2 * turn + i % 2, vector) for i, vector in enumerate(vectors)])
            store.end(_names())
            print(f"  {how}: {1e3 * (time.perf_counter() - began) / 20:.1f} ms a round")
            store.close()


def watch_memory() -> None:
    """10,000 short episodes on the Chroma store, 10 entries each, all of which it is told."""
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
        store.entries(names[0])  # else Chroma in memory is told nothing
        store.end(names)
    print(f"  10,000 episodes: {process.memory_info().rss / 2**20:6.0f} MiB")
    store.close()


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
