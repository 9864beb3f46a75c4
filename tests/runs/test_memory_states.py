"""The memory after every operation: the same as a copy at each step, and one text per change."""

from __future__ import annotations

import tracemalloc
from random import Random
from typing import Any

import pytest

from atommem_cli.runs.memory_states import moments


def operation(kind: str, entry: int | None, text: str, outcome: str = "ok") -> dict[str, Any]:
    return {"kind": kind, "text": text, "outcome": outcome, "entry": entry}


def test_every_moment_is_what_a_copy_of_the_memory_would_be() -> None:
    dice = Random(5)
    held: dict[int, str] = {}
    copies, steps, created = [], [], 0
    for step in range(60):
        ops = []
        for _ in range(dice.randrange(4)):
            kind = dice.choice(["create", "update", "delete", "read"])
            if kind == "create" or not held:
                created += 1
                held[created] = text = f"text {step}"
                ops.append(operation("create", created, text))
            elif kind == "update":
                entry = dice.choice([*held])
                held[entry] = f"new {step}"
                ops.append(operation("update", entry, held[entry]))
            elif kind == "delete":
                entry = dice.choice([*held])
                del held[entry]
                ops.append(operation("delete", entry, ""))
            else:
                ops.append(operation("update", None, "x", "invalid_target"))
            copies.append(dict(held))
        steps.append({"step": step, "ops": ops})
    seen = list(moments(steps))
    assert [dict(moment.entries) for moment in seen] == copies
    assert [len(moment.entries) for moment in seen] == [len(copy) for copy in copies]
    assert seen[-1].entries == copies[-1]
    with pytest.raises(KeyError):
        seen[0].entries[created]


def test_memory_grows_with_the_entries_and_not_with_their_square() -> None:
    def peak(entries: int) -> int:
        steps = [{"step": 0, "ops": [operation("create", number, f"t{number}") for number in range(1, entries + 1)]}]
        tracemalloc.start()
        kept = list(moments(steps))
        assert len(kept[-1].entries) == entries
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    assert peak(4000) < 2.5 * peak(2000)
