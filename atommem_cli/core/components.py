"""Components of a memory: what an ablation can take from an agent, by name, and the operations that go with each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from atommem_cli.core.types import OpKind

STORAGE = "storage"
STORED = (OpKind.CREATE, OpKind.READ, OpKind.UPDATE, OpKind.DELETE)
"""Operations of the store: they go together under the name `STORAGE`."""

Components = Mapping[str, tuple[OpKind, ...]]


def of_operations(operations: Iterable[OpKind]) -> Components:
    """The components of an agent that says no more than which operations it may run.

    Each operation under its own name, and `STORAGE`, which takes along every operation of the store: what the agent
    does not use of them changes nothing.
    """
    kinds = tuple(operations)
    stored = {STORAGE: STORED} if set(STORED) & set(kinds) else {}
    return {**{kind.value: (kind,) for kind in kinds}, **stored}


def of(agent: Any) -> Components:
    """What an agent declares as `components`, or what follows from its `operations`."""
    declared: Components | None = getattr(agent, "components", None)
    return of_operations(agent.operations) if declared is None else declared


WORDS = of_operations(OpKind)
"""What the components of any agent may be called, if it does not say otherwise."""
