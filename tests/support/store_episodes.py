"""Stores, vectors and whole episodes for the tests of this folder."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from atommem_cli.config import plugins
from atommem_cli.core.memory import Memory
from atommem_cli.core.store import Change, Store
from atommem_cli.core.types import MemoryEntry, MemoryOp, OpKind, OpResult
from atommem_cli.models.embedding_cache import CachedEmbedder

Vectors = np.ndarray[Any, np.dtype[np.float32]]


def chroma(**options: object) -> Store:
    module = plugins.load("stores", "chroma")
    store: Store = module.build(module.Options(**options))
    return store


def embedder() -> CachedEmbedder:
    module = plugins.load("embedders", "hashing")
    return CachedEmbedder(module.build(module.Options(dimension=8)))


def unit(n: int, dimension: int = 8, seed: int = 0) -> Vectors:
    vectors = np.random.default_rng(seed).standard_normal((n, dimension)).astype(np.float32)
    unit: Vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit


def put(episode: str, entry: int, vector: Vectors, text: str = "") -> Change:
    return Change(episode, MemoryEntry(entry, text or f"entry {entry}"), vector)


def drop(episode: str, entry: int) -> Change:
    return Change(episode, MemoryEntry(entry, ""), None)


def texts(store: Store, episode: str) -> dict[int, str]:
    return {entry.id: entry.text for entry in store.entries(episode)}


Script = Sequence[Sequence[MemoryOp]]
"""The operations of each step of one episode."""
Played = tuple[list[tuple[OpResult, ...]], list[tuple[MemoryEntry, ...]], tuple[MemoryEntry, ...], str]


def play(store: Store, scripts: dict[str, Script]) -> dict[str, Played]:
    """All episodes in lock-step, as the driver does it: one embedding call and one write per round."""
    vectors = embedder()
    store.begin(list(scripts))
    memories = {name: Memory(name, store, k=3) for name in scripts}
    results: dict[str, list[tuple[OpResult, ...]]] = {name: [] for name in scripts}
    shown: dict[str, list[tuple[MemoryEntry, ...]]] = {name: [] for name in scripts}
    for step in range(max(map(len, scripts.values()), default=0)):
        live = {name: script[step] for name, script in scripts.items() if step < len(script)}
        for name in live:
            shown[name].append(memories[name].show())
        found = vectors.vectors_for([text for name, ops in live.items() for text in memories[name].texts(ops)])
        changes: list[Change] = []
        for name, ops in live.items():
            results[name].append(memories[name].apply(ops, found))
            changes += memories[name].pending
            memories[name].pending = []
        store.write(changes)
    for name, memory in memories.items():
        assert store.entries(name) == list(memory.entries)
    store.end(list(scripts))
    return {name: (results[name], shown[name], m.entries, m.digest) for name, m in memories.items()}


WORDS = ("Ada", "Bo", "lives", "in", "Velt", "Dorn", "works", "at", "Ulm")


def script(seed: int, steps: int = 6) -> Script:
    """A random episode; a seed always gives the same one."""
    dice = random.Random(seed)
    return [[_op(dice) for _ in range(dice.randint(0, 4))] for _ in range(steps)]


def _op(dice: random.Random) -> MemoryOp:
    kind = dice.choice([OpKind.CREATE, OpKind.CREATE, OpKind.READ, OpKind.UPDATE, OpKind.DELETE])
    text = " ".join(dice.choices(WORDS, k=2))
    return MemoryOp(kind, text, dice.randint(0, 4) if kind in (OpKind.UPDATE, OpKind.DELETE) else None)


def run(code: str, *arguments: str, before: Sequence[str] = ()) -> subprocess.CompletedProcess[str]:
    """A Python program in a process of its own, from the top of the checkout."""
    return subprocess.run(
        [*before, sys.executable, "-c", code, *arguments],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
