"""What an ablation can take from an agent."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from builders import agent

from atommem_cli.core import components
from atommem_cli.core.types import OpKind

C, R, U, D, S = OpKind.CREATE, OpKind.READ, OpKind.UPDATE, OpKind.DELETE, OpKind.SCRATCHPAD


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("atommem", {"create", "read", "update", "delete", "scratchpad", "storage"}),
        ("memagent", {"scratchpad"}),
        ("rag", {"create", "read", "storage"}),
        ("full_context", set()),
        ("closed_book", set()),
    ],
)
def test_an_agent_has_the_components_of_its_operations(name: str, expected: set[str]) -> None:
    found = components.of(agent(name))
    assert found.keys() == expected
    assert all(kinds == (OpKind(word),) for word, kinds in found.items() if word != "storage")
    assert found.get("storage", (C, R, U, D)) == (C, R, U, D)


def test_one_that_declares_none_has_those_of_its_operations_and_one_that_does_has_its_own() -> None:
    assert components.of(SimpleNamespace(operations=(S,))) == {"scratchpad": (S,)}
    assert components.of(SimpleNamespace(operations=(S, C), components={"notebook": (S, C)})) == {"notebook": (S, C)}
    assert components.of(SimpleNamespace(operations=(S,), components={})) == {}
