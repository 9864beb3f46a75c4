"""Rows that begin alike as trees in which every shared token stands once.

The rows of a memory agent share their prompts' beginnings: rollouts of one task begin with the same manual, questions
and chunk, and each prompt of a conversation begins with the one before it. Laid out as a prefix tree, a token that
several rows share is a node that is computed once.

Nodes are numbered in preorder, so that `i` is an ancestor of `j`, or `j` itself, just if `i <= j < ends[i]`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.int64]
"""Token ids or node numbers, shape (N,)."""
Run = tuple[int, int, Ids]
"""First node, one past the last, and the path that leads to the first."""


@dataclass(slots=True)
class Tree:
    """Rows as a prefix tree."""

    tokens: list[int] = field(default_factory=list)
    """Of each node, in preorder."""
    depths: list[int] = field(default_factory=list)
    """Of each node: its position in every row that it is part of."""
    parents: list[int] = field(default_factory=list)
    """Of each node; -1 for a first token."""
    ends: list[int] = field(default_factory=list)
    """Of each node: one past the last of its descendants."""
    paths: dict[int, Ids] = field(default_factory=dict)
    """Of each row, by its number: the nodes that its tokens are."""

    @property
    def size(self) -> int:
        """Nodes."""
        return len(self.tokens)

    def add(self, number: int, row: Ids, shared: int, before: Ids) -> None:
        """Put a row in that comes after all others in the order of token ids.

        Args:
            shared: tokens that it has in common with the row before it.
            before: the path of that row.
        """
        first, new = self.size, len(row) - shared
        for node in before[shared:]:
            self.ends[node] = first
        self.tokens += row[shared:].tolist()
        self.depths += range(shared, len(row))
        self.parents += [int(before[shared - 1]) if shared else -1, *range(first, first + new - 1)][:new]
        self.ends += [0] * new
        self.paths[number] = np.concatenate([before[:shared], np.arange(first, first + new)])

    def close(self) -> None:
        """No more rows come."""
        self.ends = [end or self.size for end in self.ends]

    def runs(self) -> list[Run]:
        """Maximal pieces without a branch, in order."""
        children = np.bincount(np.array(self.parents) + 1, minlength=self.size + 1)[1:]
        starts = [i for i, parent in enumerate(self.parents) if parent != i - 1 or parent < 0 or children[parent] > 1]
        found, above = [], np.zeros(0, np.int64)
        paths: dict[int, Ids] = {}
        for start, end in zip(starts, [*starts[1:], self.size], strict=True):
            parent = self.parents[start]
            above = paths[parent] if parent >= 0 else np.zeros(0, np.int64)
            found.append((start, end, above))
            paths[end - 1] = np.concatenate([above, np.arange(start, end)])
        return found


def shared(first: Ids, second: Ids) -> int:
    """How many tokens two rows begin with in common."""
    most = min(len(first), len(second))
    if not most:
        return 0
    differ = first[:most] != second[:most]
    at = int(differ.argmax())
    return at if differ[at] else most


def in_order(rows: Sequence[Sequence[int]]) -> list[int]:
    """The numbers of rows in the order of their token ids, in which rows that begin alike stand together."""
    return sorted(range(len(rows)), key=lambda number: tuple(rows[number]))


def grow(rows: Iterable[tuple[int, Sequence[int] | Ids]], knee: float) -> Iterator[Tree]:
    """Trees of rows that come in the order of their token ids (`in_order`), cut where one more row costs too much.

    A tree of N nodes whose attention is a dense mask costs N (1 + N / knee): a row joins the tree as long as that is
    not dearer than a tree of its own.

    Args:
        knee: nodes at which attention costs as much as everything else; infinity where there is no mask.
    """
    tree, path, last = Tree(), np.zeros(0, np.int64), np.zeros(0, np.int64)
    for number, tokens in rows:
        row = np.asarray(tokens, np.int64)
        common = shared(last, row)
        size, new = tree.size, len(row) - common
        if size and _cost(size + new, knee) > _cost(size, knee) + _cost(len(row), knee):
            tree.close()
            yield tree
            tree, path, common = Tree(), np.zeros(0, np.int64), 0
        tree.add(number, row, common, path)
        path, last = tree.paths[number], row
    if tree.size:
        tree.close()
        yield tree


def nodes(rows: Iterable[Sequence[int] | Ids]) -> int:
    """Nodes of rows that come in the order of their token ids, as one tree."""
    count, last = 0, np.zeros(0, np.int64)
    for tokens in rows:
        row = np.asarray(tokens, np.int64)
        count += len(row) - shared(last, row)
        last = row
    return count


def _cost(size: int, knee: float) -> float:
    return size * (1 + size / knee)
