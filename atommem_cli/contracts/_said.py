"""What is written and read again: for agents and for dialects."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from atommem_cli.contracts._replies import operations
from atommem_cli.contracts.promises import ContractBroken, insist, raised
from atommem_cli.core.safe_text import cut, shown, visible
from atommem_cli.core.types import MemoryOp, OpKind

R = TypeVar("R")

_TRIES = 40


def insist_inverse(
    write: Callable[[list[MemoryOp]], str], parse: Callable[[str], Sequence[MemoryOp]], kinds: Sequence[OpKind]
) -> None:
    """Insist that operations come back as they were written.

    Raises:
        ContractBroken: some do not.
    """
    for ops in [
        [],
        *(operations([kind], seed=1) for kind in kinds),
        *(operations(kinds, seed) for seed in range(_TRIES)),
    ]:
        reply = write(ops)
        found = tuple(parse(reply))
        insist(
            found == tuple(ops),
            f"write puts {_short(ops, found)} into {shown(reply)}, and parse reads {_short(found, ops)} out of it: let "
            "one be the inverse of the other",
        )


def quietly(read: Callable[[str], R], reply: str, name: str) -> R:
    """What is read out of a reply.

    Raises:
        ContractBroken: reading raises.
    """
    try:
        return read(reply)
    except Exception as error:
        sentence = f"{name} raises {raised(error)} for the reply {shown(reply)}: what a model writes is data"
        raise ContractBroken(sentence) from error


def _short(some: Sequence[MemoryOp], others: Sequence[MemoryOp]) -> str:
    """The first operation in which two lists differ."""
    for one, other in zip(some, [*others, *[None] * len(some)], strict=False):
        if one != other:
            parts = (one.kind, one.target, one.text and repr(one.text), one.defect)
            return visible(cut(" ".join(str(part) for part in parts if part not in (None, "")), 80))
    return "nothing" if not some else f"{len(some)} operations"
