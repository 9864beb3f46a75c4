"""Calls of many lengths into batches that fit the memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PromptRow:
    """One call, ready to run."""

    index: int
    """Of the call in its batch."""
    prompt: list[int]
    most: int
    """Most new tokens."""
    seed: int

    @property
    def tokens(self) -> int:
        return len(self.prompt) + self.most


def prompt_batches(rows: Sequence[PromptRow], most_tokens: int, window: int | None) -> Iterator[list[PromptRow]]:
    """The rows by length, longest first, in parts of at most `most_tokens` padded tokens.

    No row of a part may run beyond the window either, while it waits for the others to finish.
    """
    part: list[PromptRow] = []
    width = most = 0
    for row in sorted(rows, key=lambda row: len(row.prompt), reverse=True):
        longest, new = max(width, len(row.prompt)), max(most, row.most)
        tokens = longest + new
        if part and ((len(part) + 1) * tokens > most_tokens or (window is not None and tokens > window)):
            yield part
            part, longest, new = [], len(row.prompt), row.most
        part.append(row)
        width, most = longest, new
    if part:
        yield part
