"""What operations do to the state of an episode, as one table: for the memory, for readers of its journal, for pages.

Whether an operation takes effect is judged elsewhere (`memory`). One that does is a few edits, each of one part of the
state. A new kind of operation is a line of `EFFECTS`; where it acts on something new, a word of `Part` and a field of
`State` as well.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from atommem_cli.core.types import Meta, OpKind

Part = Literal["entries", "scratchpad", "query", "context"]
"""What a state consists of: the fields of `State`."""

AUTOMATIC: Meta = (("automatic", "true"),)
"""Metadata of an operation that an agent runs by itself, and no policy wrote."""

Verb = Literal["add", "replace", "remove", "set"]
"""What happens to a part: its texts by id are added, replaced or removed; one that is a single text is set."""


class Edit(NamedTuple):
    """One change of one part."""

    verb: Verb
    part: Part
    id: int | None
    """None: the part is a single text."""
    text: str
    """Empty where something is removed."""
    meta: Meta = ()
    """Of an entry; empty keeps what it has."""


class Done(NamedTuple):
    """An operation that took effect, as far as the table asks about it."""

    text: str
    """Without white space around it."""
    entry: int | None
    """Id of the entry that it created, changed or deleted, or of the message that it put into the context."""
    targets: tuple[int, ...] = ()
    """Ids of the messages that it took out of the context."""
    meta: Meta = ()


def _gone(op: Done) -> tuple[Edit, ...]:
    return tuple(Edit("remove", "context", target, "") for target in op.targets)


Effect = Callable[[Done], tuple[Edit, ...]]

EFFECTS: Mapping[OpKind, Effect] = {
    OpKind.CREATE: lambda op: (Edit("add", "entries", op.entry, op.text, op.meta),),
    OpKind.READ: lambda op: (Edit("set", "query", None, op.text),),
    OpKind.UPDATE: lambda op: (Edit("replace", "entries", op.entry, op.text, op.meta),),
    OpKind.DELETE: lambda op: (Edit("remove", "entries", op.entry, ""),),
    OpKind.SCRATCHPAD: lambda op: (Edit("set", "scratchpad", None, op.text),),
    OpKind.SUMMARIZE: lambda op: (*_gone(op), Edit("add", "context", op.entry, op.text)),
    OpKind.FILTER: _gone,
    OpKind.CLEAR: _gone,
}


@dataclass(slots=True)
class State:
    """What operations act on. The mappings may be of any kind: one that remembers what it held, for instance."""

    entries: MutableMapping[int, str] = field(default_factory=dict)
    """Text by id, in the order in which they were created."""
    scratchpad: str = ""
    query: str = ""
    """The persistent query; empty before the first Read."""
    context: MutableMapping[int, str] = field(default_factory=dict)
    """Messages of the conversation by id, where an agent keeps one; of operations alone (see `context.Context`)."""

    def edit(self, edit: Edit) -> str:
        """Carry one edit out.

        Returns:
            The text that was there before; empty where something is added.

        Raises:
            KeyError: it replaces or removes what is not there.
        """
        verb, part, key, text, _ = edit
        held: Any = getattr(self, part)
        if verb == "set":
            setattr(self, part, text)
            return str(held)
        old: str = "" if verb == "add" else held[key]
        if verb == "remove":
            del held[key]
        else:
            held[key] = text
        return old
