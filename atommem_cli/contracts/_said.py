"""What is written and read again: for agents and for dialects."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, TypeVar

from atommem_cli.contracts._replies import operations
from atommem_cli.contracts.promises import ContractBroken, insist, raised
from atommem_cli.core.calls import Expects
from atommem_cli.core.episode import Agent
from atommem_cli.core.safe_text import cut, shown, visible
from atommem_cli.core.types import MemoryOp, OpKind

R = TypeVar("R")

_TRIES = 40


class Speech(NamedTuple):
    """What the replies to one kind of call can mean."""

    spoken: tuple[OpKind, ...]
    """Operations that a reply means, of those that the agent declares."""
    unspoken: Mapping[OpKind, str]
    """The others: those that it runs by itself, or forgets. With what becomes of them in `write` and `parse`."""


def speech(agent: Agent, expects: Expects) -> Speech:
    """What the replies to a call of an agent can mean."""
    spoken, unspoken = [], {}
    for kind in agent.operations:
        try:
            reply = agent.write(expects, operations([kind], seed=1))
        except Exception as error:
            unspoken[kind] = f"write raises {raised(error)}"
            continue
        found = tuple(quietly(lambda text: agent.parse(expects, text), reply, "parse"))
        if any(op.kind is kind for op in found):
            spoken.append(kind)
        else:
            unspoken[kind] = f"parse reads {_short(found, ())} out of {shown(reply)}"
    return Speech(tuple(spoken), unspoken)


def insist_inverse(
    write: Callable[[list[MemoryOp]], str],
    parse: Callable[[str], Sequence[MemoryOp]],
    kinds: Sequence[OpKind],
    when: str = "",
) -> None:
    """Insist that operations come back as they were written.

    Args:
        when: in which replies, for the sentence.

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
            f"{when}write puts {_short(ops, found)} into {shown(reply)}, and parse reads {_short(found, ops)} out of "
            "it: let one be the inverse of the other",
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
