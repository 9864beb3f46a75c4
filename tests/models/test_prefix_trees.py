"""Rows as prefix trees, against the plain definition of one."""

from __future__ import annotations

import random

import numpy as np
import pytest

from atommem_cli.models.prefix_trees import Tree, grow, in_order, nodes, shared


def rows_of(dice: random.Random) -> list[list[int]]:
    return [[dice.randrange(3) for _ in range(dice.randint(1, 9))] for _ in range(dice.randint(1, 20))]


def ancestors(tree: Tree, node: int) -> list[int]:
    found = []
    while node >= 0:
        found.append(node)
        node = tree.parents[node]
    return found[::-1]


@pytest.mark.parametrize("knee", [float("inf"), 4.0, 20.0])
def test_every_row_is_a_path_and_ancestors_are_told_by_their_numbers(knee: float) -> None:
    dice = random.Random(3)
    for _ in range(60):
        rows = rows_of(dice)
        trees = list(grow(((number, rows[number]) for number in in_order(rows)), knee))
        assert sorted(number for tree in trees for number in tree.paths) == list(range(len(rows)))
        for tree in trees:
            for number, path in tree.paths.items():
                assert [tree.tokens[node] for node in path] == rows[number]
                assert ancestors(tree, int(path[-1])) == path.tolist()
                assert [tree.depths[node] for node in path] == list(range(len(path)))
            for node in range(tree.size):
                expected = [i for i in range(tree.size) if i <= node < tree.ends[i]]
                assert ancestors(tree, node) == expected


def test_one_tree_has_one_node_for_each_different_beginning() -> None:
    dice = random.Random(4)
    for _ in range(60):
        rows = rows_of(dice)
        beginnings = {tuple(row[:end]) for row in rows for end in range(1, len(row) + 1)}
        (tree,) = grow(((number, rows[number]) for number in in_order(rows)), float("inf"))
        assert tree.size == nodes(rows[number] for number in in_order(rows)) == len(beginnings)


def test_pieces_are_maximal_without_a_branch_and_know_what_is_above() -> None:
    dice = random.Random(5)
    for _ in range(60):
        rows = rows_of(dice)
        (tree,) = grow(((number, rows[number]) for number in in_order(rows)), float("inf"))
        children = [tree.parents.count(node) for node in range(tree.size)]
        covered = []
        for start, end, above in tree.runs():
            covered += range(start, end)
            assert above.tolist() == ancestors(tree, start)[:-1]
            assert all(children[node] == 1 for node in range(start, end - 1))
            assert children[end - 1] != 1
        assert covered == list(range(tree.size))


def test_a_row_that_would_make_the_mask_too_dear_begins_a_new_tree() -> None:
    alike = [[1] * 50 + [n] * 40 for n in range(10)]
    rows = [(number, alike[number]) for number in in_order(alike)]
    sizes = {knee: [tree.size for tree in grow(rows, knee)] for knee in (float("inf"), 60.0, 1.0)}
    # A third row adds 40 + (170^2 - 130^2) / 60 = 240 to a tree of two, and costs 90 + 90^2 / 60 = 225 by itself.
    assert sizes == {float("inf"): [450], 60.0: [130] * 5, 1.0: [90] * 10}


def test_what_two_rows_share() -> None:
    first = np.array([1, 2, 3])
    assert [shared(first, np.array(other)) for other in ([1, 2, 4], [1, 2], [1, 2, 3, 4], [5], [])] == [2, 2, 3, 0, 0]
