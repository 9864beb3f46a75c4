"""Tables that are wider than a terminal."""

from __future__ import annotations

from atommem_cli.cli.terminal import pieces
from atommem_cli.runs.tables import Table

WIDE = Table("t", ("run", *(f"column {i}" for i in range(6))), (("base", *("[91.2, 100.0]" for _ in range(6))),))


def test_a_table_that_fits_is_one() -> None:
    assert pieces(WIDE, 200) == [WIDE]


def test_a_wide_one_is_cut_between_columns_and_keeps_the_first() -> None:
    found = pieces(WIDE, 60)
    assert [len(piece.headers) for piece in found] == [4, 4]
    assert all(piece.headers[0] == "run" and piece.rows[0][0] == "base" for piece in found)
    assert [header for piece in found for header in piece.headers[1:]] == list(WIDE.headers[1:])
    assert [piece.title for piece in found] == ["t", ""]


def test_a_column_wider_than_the_terminal_stands_alone() -> None:
    table = Table("t", ("run", "a", "b"), (("base", "x" * 500, "y"),))
    assert [piece.headers for piece in pieces(table, 30)] == [("run", "a"), ("run", "b")]
