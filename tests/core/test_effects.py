"""What each kind of operation does to the state, and that the table is whole."""

from __future__ import annotations

from dataclasses import fields
from typing import get_args

import pytest

from atommem_cli.core.effects import EFFECTS, Done, Edit, Part, State, Verb
from atommem_cli.core.types import OpKind


def fold(*ops: tuple[OpKind, str, int | None]) -> tuple[State, list[str]]:
    """The state after operations that took effect, and the texts that they replaced."""
    state = State()
    return state, [state.edit(edit) for kind, text, entry in ops for edit in EFFECTS[kind](Done(text, entry))]


def test_operations_make_the_state() -> None:
    state, old = fold(
        (OpKind.CREATE, "Ada lives in Velt", 1),
        (OpKind.CREATE, "Bo lives in Dorn", 2),
        (OpKind.SCRATCHPAD, "plan", None),
        (OpKind.UPDATE, "Ada lives in Ulm", 1),
        (OpKind.READ, "Ada", None),
        (OpKind.DELETE, "", 2),
        (OpKind.SCRATCHPAD, "", None),
        (OpKind.READ, "Bo", None),
    )
    assert state == State({1: "Ada lives in Ulm"}, "", "Bo")
    assert old == ["", "", "", "Ada lives in Velt", "", "Bo lives in Dorn", "plan", "Ada"]


def test_every_kind_has_an_effect_and_every_part_its_place() -> None:
    assert set(EFFECTS) == set(OpKind)
    assert list(get_args(Part)) == [field.name for field in fields(State)]


@pytest.mark.parametrize("verb", ["replace", "remove"])
def test_what_is_not_there_is_neither_replaced_nor_removed(verb: Verb) -> None:
    with pytest.raises(KeyError):
        State({1: "Ada"}).edit(Edit(verb, "entries", 2, "Bo"))
