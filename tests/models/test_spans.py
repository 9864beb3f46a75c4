"""Which sampled tokens a stretch of a reply is made of, whatever they were cut into."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from random import Random

import pytest

from atommem_cli.models.spans import tokens_of

TEXT = "Nöted. <create>Zoë lives in Ørsta 🏔</create>\n<delete>Memory 1</delete> done"


def decode(pieces: Sequence[bytes]) -> str:
    return b"".join(pieces).decode(errors="replace")


@pytest.mark.parametrize("seed", range(20))
def test_every_token_with_a_character_of_it_and_no_other(seed: int) -> None:
    """Tokens of bytes, as models have them: they end anywhere, within a character, too."""
    whole, dice = TEXT.encode(), Random(seed)
    cuts = sorted({0, len(whole), *dice.sample(range(1, len(whole)), 25)})
    pieces = [whole[a:b] for a, b in itertools.pairwise(cuts)]
    spans = [(TEXT.index("<create>"), TEXT.index("\n")), (TEXT.index("<delete>"), TEXT.index(" done")), (0, len(TEXT))]
    for start, end in spans:
        first, last = len(TEXT[:start].encode()), len(TEXT[:end].encode())
        inside = [at for at, (a, b) in enumerate(itertools.pairwise(cuts)) if a < last and b > first]

        def made(ids: Sequence[int], pieces: list[bytes] = pieces) -> str:
            return decode([pieces[at] for at in ids])

        begin, stop = tokens_of(range(len(pieces)), TEXT, start, end, made)
        assert list(range(begin, stop)) == inside


def test_tokens_that_say_nothing_belong_to_nobody() -> None:
    pieces = ["<a>x</a>", "", " <b>", "y</b>", ""]

    def made(ids: Sequence[int]) -> str:
        return "".join(pieces[at] for at in ids)

    assert tokens_of(range(5), made(range(5)), 9, 17, made) == (2, 4)
    assert tokens_of(range(5), made(range(5)), 0, 8, made) == (0, 1)
