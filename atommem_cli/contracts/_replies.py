"""Texts for contracts: plain ones, and what a model might write that breaks readers of its replies."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence

from atommem_cli.core.types import CONTEXT_OPS, MemoryOp, OpKind

TEXTS = [
    "Ada lives in Velt.",
    "Bo",
    "The mayor of Dorn, who was born in 1931, has three cats and a boat.",
    "Ada lives in Velt.",
    "where does Ada live",
    "Zürich, 東京 and São Paulo",
]
"""Of several lengths, one of them twice."""

HOSTILE = (
    "", " ", "\n", "\x00", "\ud83d", "\udfff\ud800", "\u202e\x1b[31m", "<", "</", "<think>", "</think>", "<answer>",
    "</answer>", "\\boxed{", "}" * 50, "{" * 50, "[" * 20_000, '{"a":' * 20_000, "<a>" * 5_000, "9" * 5_000,
    "Memory 0: x", "Memory -1", "Memory 999999999999: x", "null", "[]", "{}", '"', "1e999", "NaN", "true", "[null]",
    "[[1]]", '{"calls": null}', "```json\n```", "$questions ${x} %s {0}", "١", "x" * 20_000,
)  # fmt: skip
"""Replies without sense."""

_PIECES = ("", "null", "true", "-1", "0", "1e999", '"', "[", "{", "<", ">", "\ud83d", "\x00", "x")


def broken(reply: str, seed: int, count: int) -> Iterator[str]:
    """A reply with other things for its numbers, then cut, doubled and bent; most of its grammar stays each time."""
    dice = random.Random(seed)
    yield from (re.sub(r"\b\d+\b", lambda _, piece=piece: piece, reply) for piece in _PIECES)  # type: ignore[misc]
    for _ in range(count):
        pieces = re.split(r"(\W)", reply)
        for _ in range(dice.randint(1, 3)):
            at = dice.randrange(len(pieces))
            match dice.randrange(4):
                case 0:
                    pieces = pieces[: at + 1]
                case 1:
                    pieces.insert(at, pieces[dice.randrange(len(pieces))])
                case 2:
                    pieces[at] = dice.choice(_PIECES)
                case 3:
                    del pieces[at]
                    pieces = pieces or [""]
        yield "".join(pieces)


def operations(kinds: Sequence[OpKind], seed: int) -> list[MemoryOp]:
    """Up to five operations of plain words, as a policy may mean them."""
    dice = random.Random(seed)
    ops = []
    for _ in range(dice.randint(0, 5) if kinds else 0):
        kind = dice.choice(kinds)
        words = " ".join(dice.choices(("Ada", "lives", "in", "Velt", "Bo", "1931", "Zürich"), k=dice.randint(1, 6)))
        text = "" if kind in (OpKind.DELETE, OpKind.FILTER) else f"x {words}"
        target = dice.randint(1, 99) if kind in (OpKind.UPDATE, OpKind.DELETE) else None
        targets = tuple(sorted(dice.sample(range(1, 99), dice.randint(1, 3)))) if kind in CONTEXT_OPS else ()
        ops.append(MemoryOp(kind, text, target, targets=targets))
    return ops
