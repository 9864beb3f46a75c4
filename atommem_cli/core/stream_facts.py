"""The arithmetic of `stream` worlds: events in, the state at the end and the answers out.

Pure functions, so that the generator, the scripted policies and the tests share one truth.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence

from atommem_cli.core.types import Document, Event, OpKind

UNKNOWN = "unknown"
"""The answer where a fact was never stated, was retracted or has expired."""

Key = tuple[str, str]
"""Subject and relation; a relation has one value at a time."""
State = dict[Key, str | None]
"""The value of each fact that was ever stated; None where nothing is known any more."""


def final_state(
    documents: Iterable[Document],
    without: Collection[OpKind] = (),
    *,
    cascading: bool = True,
    updates: int | None = None,
) -> State:
    """The state of the world after the last document.

    Args:
        without: operations that a reader lacks. Without UPDATE the oldest value of a fact stays; without
            DELETE what was retracted, has expired or went in a cascade stays. Other kinds make no difference here.
        cascading: whether a reader lets go what goes with a value, though no statement names whose it was.
        updates: how often a reader changes the value of a fact at most; None is no limit.
    """
    state: State = {}
    changed: Counter[Key] = Counter()
    for document in documents:
        event = document.event
        if event is None:
            continue
        for key in concerned(state, event):
            old, new = state.get(key), None if cascades(event) else event.value
            if new is None:
                if OpKind.DELETE in without or (cascades(event) and not cascading):
                    continue
            elif old not in (None, new):
                if OpKind.UPDATE in without or changed[key] == updates:
                    continue
                changed[key] += 1
            state[key] = new
    return state


def cascades(event: Event) -> bool:
    """Whether it ends facts that it does not name: those that have its value."""
    return not event.subject


def concerned(state: State, event: Event) -> list[Key]:
    """The facts that an event is about: one, or of a cascade all that have its value."""
    if cascades(event):
        return [key for key, value in state.items() if key[1] == event.relation and value == event.value]
    return [(event.subject, event.relation)]


def concerned_by(documents: Sequence[Document]) -> list[list[Key]]:
    """The facts that each document is about."""
    state: State = {}
    found: list[list[Key]] = []
    for document in documents:
        event = document.event
        found.append(concerned(state, event) if event is not None else [])
        for key in found[-1]:
            state[key] = None if event is None or cascades(event) else event.value
    return found


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


def reached(documents: Iterable[Document], path: Sequence[str]) -> list[set[str]]:
    """Where each step of a path has led at any time, its subject first; by any mixture of old facts and new ones."""
    events = [document.event for document in documents if document.event is not None]
    found = [{*path[:1]}]
    for relation in path[1:]:
        here = (event for event in events if event.subject in found[-1] and event.relation == relation)
        found.append({event.value for event in here if event.value is not None})
    return found
