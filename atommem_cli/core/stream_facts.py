"""The arithmetic of `stream` worlds: events in, the state at the end and the answers out.

Pure functions, so that the generator, the scripted policies and the tests share one truth.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from atommem_cli.core.types import Document, OpKind

UNKNOWN = "unknown"
"""The answer where a fact was never stated, was retracted or has expired."""

Key = tuple[str, str]
"""Subject and relation; a relation has one value at a time."""
State = dict[Key, str | None]
"""The value of each fact that was ever stated; None where nothing is known any more."""


def final_state(documents: Iterable[Document], without: Collection[OpKind] = ()) -> State:
    """The state of the world after the last document.

    Args:
        without: operations that a reader lacks. Without UPDATE the oldest value of a fact stays; without
            DELETE what was retracted or has expired stays. Other kinds make no difference here.
    """
    state: State = {}
    for document in documents:
        event = document.event
        if event is None:
            continue
        key = (event.subject, event.relation)
        old = state.get(key)
        if event.value is None:
            if OpKind.DELETE in without:
                continue
        elif old not in (None, event.value) and OpKind.UPDATE in without:
            continue
        state[key] = event.value
    return state


def follow(state: State, path: Sequence[str]) -> tuple[list[Key], str | None]:
    """Walk a path (a subject, then one relation per hop).

    Returns:
        The facts that were looked up, in order, the missing one included; and the value at the end, None
        where one was missing.
    """
    at: str | None = path[0]
    keys: list[Key] = []
    for relation in path[1:]:
        if at is None:
            break
        keys.append((at, relation))
        at = state.get(keys[-1])
    return keys, at


def answer(state: State, path: Sequence[str]) -> str:
    """The answer to the question that `path` asks: a value, or `UNKNOWN`."""
    return follow(state, path)[1] or UNKNOWN
