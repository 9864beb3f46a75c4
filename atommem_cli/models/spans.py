"""Which tokens of a reply a stretch of its text is made of."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence


class _Covered(Sequence[int]):
    """How many characters of a text its first tokens make, by their number: it never falls."""

    def __init__(self, ids: Sequence[int], text: str, decode: Callable[[Sequence[int]], str]) -> None:
        self._ids, self._text, self._decode = ids, text, decode

    def __len__(self) -> int:
        return len(self._ids) + 1

    def __getitem__(self, number: int) -> int:  # type: ignore[override]
        made = self._decode(self._ids[:number])
        # Half a character is U+FFFD: it counts when the rest of it is there.
        pairs = zip(made, self._text, strict=False)
        return next((at for at, (one, other) in enumerate(pairs) if one != other), len(made))


def tokens_of(
    ids: Sequence[int], text: str, start: int, end: int, decode: Callable[[Sequence[int]], str]
) -> tuple[int, int]:
    """The tokens that hold a character of `text[start:end]`, as a slice of the ids.

    Args:
        ids: what was sampled.
        text: what they are decoded to, whole.
        start, end: of a stretch that is not empty.
        decode: the same decoder; what some first tokens make must be what the text begins with.
    """
    covered = _Covered(ids, text, decode)
    first = bisect_left(covered, start)
    return first if covered[first] == start else first - 1, bisect_left(covered, end)
