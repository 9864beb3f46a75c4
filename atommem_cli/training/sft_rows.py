"""Rows of supervised fine-tuning: one model call each, as token ids."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from atommem_cli.core import seeds

if TYPE_CHECKING:
    from datasets import Dataset


class Example(NamedTuple):
    """One model call."""

    task: str
    """The task's id, for the hold-out."""
    prompt: array[int]
    """Token ids; no loss on them."""
    completion: array[int]
    """Token ids, end of turn included."""

    @property
    def tokens(self) -> int:
        """Prompt and completion together."""
        return len(self.prompt) + len(self.completion)


def row(task: str, prompt: Sequence[int], completion: Sequence[int]) -> Example:
    """A row in compact form: 4 bytes a token."""
    return Example(task, array("i", prompt), array("i", completion))


def hold_out(rows: Sequence[Example], share: float, seed: int) -> tuple[list[Example], list[Example]]:
    """Rows to train on, and rows of other tasks to validate on.

    Args:
        share: of the tasks, in [0, 1); at least one task is held out unless it is 0 or there is one task only.
        seed: with the task's id alone it decides which.
    """
    tasks = sorted({row.task for row in rows}, key=lambda task: seeds.derive(seed, "hold out", task))
    count = min(max(1, round(share * len(tasks))), len(tasks) - 1) if share else 0
    held = set(tasks[:count])
    return [row for row in rows if row.task not in held], [row for row in rows if row.task in held]


def digest(*parts: Iterable[Example]) -> str:
    """sha256 over rows in their order, part by part; hexadecimal."""
    sha = hashlib.sha256()
    for rows in parts:
        for one in rows:
            sha.update(f"{len(one.prompt)} {len(one.completion)} ".encode() + one.prompt + one.completion)
        sha.update(b"|")
    return sha.hexdigest()


def dataset(rows: Iterable[Example]) -> Dataset:
    """What TRL's SFTTrainer takes: the ids, and where the loss lies."""
    import numpy as np
    from datasets import Dataset

    ids, masks = [], []
    for one in rows:
        ids.append(np.concatenate([one.prompt, one.completion], dtype=np.int32))
        masks.append(np.repeat(np.array([0, 1], np.int8), [len(one.prompt), len(one.completion)]))
    return Dataset.from_dict({"input_ids": ids, "completion_mask": masks})
