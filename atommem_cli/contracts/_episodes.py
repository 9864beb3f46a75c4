"""Memories of made-up episodes on a store, without an agent: for what a store promises."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from atommem_cli.contracts.promises import ContractBroken, insist
from atommem_cli.core.memory import Memory
from atommem_cli.core.store import Change, Store
from atommem_cli.core.types import MemoryEntry, MemoryOp, OpKind, OpResult
from atommem_cli.embedders import hashing
from atommem_cli.models.embedding_cache import CachedEmbedder

if TYPE_CHECKING:
    from numpy.typing import NDArray

Script = Sequence[Sequence[MemoryOp]]
"""The operations of each step of one episode."""
Played = tuple[list[tuple[OpResult, ...]], list[tuple[MemoryEntry, ...]], tuple[MemoryEntry, ...], str]
"""Results and shown entries of each step; entries and digest at the end."""

_DIMENSION = 8


def unit(n: int, dimension: int = _DIMENSION, seed: int = 0) -> NDArray[np.float32]:
    """Vectors of unit length, shape (n, dimension)."""
    vectors = np.random.default_rng(seed).standard_normal((n, dimension)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors


def put(episode: str, entry: int, vector: NDArray[np.float32], text: str = "") -> Change:
    """To write an entry."""
    return Change(episode, MemoryEntry(entry, text or f"entry {entry}"), vector)


def drop(episode: str, entry: int) -> Change:
    """To remove one."""
    return Change(episode, MemoryEntry(entry, ""), None)


def script(seed: int, steps: int = 6) -> Script:
    """A random episode; a seed always gives the same one."""
    dice = random.Random(seed)
    return [[_op(dice) for _ in range(dice.randint(0, 4))] for _ in range(steps)]


def play(store: Store, scripts: Mapping[str, Script]) -> dict[str, Played]:
    """All episodes in lock-step, as the driver does it: one embedding call and one write per round."""
    vectors = CachedEmbedder(hashing.build(hashing.Options(dimension=_DIMENSION)))
    store.begin(list(scripts))
    memories = {name: Memory(name, store, k=3) for name in scripts}
    results: dict[str, list[tuple[OpResult, ...]]] = {name: [] for name in scripts}
    shown: dict[str, list[tuple[MemoryEntry, ...]]] = {name: [] for name in scripts}
    for step in range(max(map(len, scripts.values()), default=0)):
        live = {name: ops[step] for name, ops in scripts.items() if step < len(ops)}
        for name in live:
            shown[name].append(_shown(memories[name]))
        found = vectors.vectors_for([text for name, ops in live.items() for text in memories[name].texts(ops)])
        changes: list[Change] = []
        for name, ops in live.items():
            results[name].append(memories[name].apply(ops, found))
            changes += memories[name].pending
            memories[name].pending = []
        store.write(changes)
    for name, memory in memories.items():
        insist(
            store.entries(name) == list(memory.entries),
            f"entries gives something else of {name} than was written to it: what is held now, by id",
        )
    store.end(list(scripts))
    return {name: (results[name], shown[name], m.entries, m.digest) for name, m in memories.items()}


def _shown(memory: Memory) -> tuple[MemoryEntry, ...]:
    try:
        return memory.show()
    except KeyError as error:
        sentence = f"nearest gives the id {error}, which is no entry of that episode: keep the entries of each apart"
        raise ContractBroken(sentence) from error


_WORDS = ("Ada", "Bo", "lives", "in", "Velt", "Dorn", "works", "at", "Ulm")


def _op(dice: random.Random) -> MemoryOp:
    kind = dice.choice([OpKind.CREATE, OpKind.CREATE, OpKind.READ, OpKind.UPDATE, OpKind.DELETE])
    text = " ".join(dice.choices(_WORDS, k=2))
    return MemoryOp(kind, text, dice.randint(0, 4) if kind in (OpKind.UPDATE, OpKind.DELETE) else None)
