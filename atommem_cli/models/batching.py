"""Calls of many lengths into batches that fit the memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from atommem_cli.models.prefix_trees import in_order, nodes, shared


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


def prompt_batches(rows: Sequence[PromptRow], most_tokens: int, window: int | None) -> list[list[PromptRow]]:
    """The rows in parts of at most `most_tokens` padded tokens, in each of which a beginning that several prompts share
    is read once.

    By length, longest first; where fewer tokens are read then, prompts that are alike for the most part stand together:
    those of the same task and chunk (repeats, rollouts). No row of a part may run beyond the window either, while it
    waits for the others to finish.
    """
    by_length = sorted(rows, key=lambda row: len(row.prompt), reverse=True)
    parts = list(cut(by_length, most_tokens, window))
    if len(parts) <= 1:
        return parts
    families = sorted(_families(by_length), key=lambda family: len(family[0].prompt), reverse=True)
    together = list(cut([row for family in families for row in family], most_tokens, window))
    return min(parts, together, key=_read)


def _families(rows: Sequence[PromptRow]) -> list[list[PromptRow]]:
    """Rows that begin alike for half of the longer prompt or more, in the order in which they come."""
    members: list[list[int]] = []
    last = np.zeros(0, np.int64)
    for number in in_order([row.prompt for row in rows]):
        prompt = np.asarray(rows[number].prompt, np.int64)
        if members and 2 * shared(last, prompt) >= max(len(last), len(prompt)):
            members[-1].append(number)
        else:
            members.append([number])
        last = prompt
    return [[rows[number] for number in sorted(family)] for family in members]


def _read(parts: Sequence[Sequence[PromptRow]]) -> int:
    """Tokens that are read for these parts."""
    prompts = [[row.prompt for row in part] for part in parts]
    return sum(nodes(part[number] for number in in_order(part)) for part in prompts)


def cut(rows: Sequence[PromptRow], most_tokens: int, window: int | None) -> Iterator[list[PromptRow]]:
    """The rows in their order, in parts that fit (see `prompt_batches`)."""
    part: list[PromptRow] = []
    width = most = 0
    for row in rows:
        longest, new = max(width, len(row.prompt)), max(most, row.most)
        tokens = longest + new
        if part and ((len(part) + 1) * tokens > most_tokens or (window is not None and tokens > window)):
            yield part
            part, longest, new = [], len(row.prompt), row.most
        part.append(row)
        width, most = longest, new
    if part:
        yield part
