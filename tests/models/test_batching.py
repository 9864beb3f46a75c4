"""Calls in batches: all of them, within bounds, and what they share read once."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from atommem_cli.models.batching import PromptRow, prompt_batches

TASK = {name: [100 * number + i for i in range(60)] for number, name in enumerate("abcd")}
"""What the prompts of a task begin with."""


def rows(prompts: Sequence[list[int]], most: int = 1) -> list[PromptRow]:
    return [PromptRow(i, prompt, most, 0) for i, prompt in enumerate(prompts)]


def indices(parts: Sequence[Sequence[PromptRow]]) -> list[list[int]]:
    return [[row.index for row in part] for part in parts]


def read(parts: Sequence[Sequence[PromptRow]]) -> int:
    """Tokens to be read where each different beginning of a batch is read once."""
    beginnings = [{tuple(row.prompt[: i + 1]) for row in part for i in range(len(row.prompt))} for part in parts]
    return sum(map(len, beginnings))


def test_repeats_of_a_task_meet_in_a_batch_whatever_their_lengths() -> None:
    # Of each task one prompt of every length, so that by length each batch has all tasks.
    prompts = [TASK[task] + [1_000 * sample] * (1 + sample) for sample in range(4) for task in "abcd"]
    parts = prompt_batches(rows(prompts), most_tokens=4 * 66, window=None)
    assert {tuple(sorted({prompts[i][0] for i in part})) for part in indices(parts)} == {(0,), (100,), (200,), (300,)}
    assert read(parts) == 4 * 60 + 4 * (1 + 2 + 3 + 4)
    by_length = sorted(rows(prompts), key=lambda row: -len(row.prompt))
    assert read([by_length[i : i + 4] for i in range(0, 16, 4)]) == 16 * 60 + 4 * (1 + 2 + 3 + 4)


def test_what_fits_one_batch_or_shares_nothing_is_ordered_by_length() -> None:
    shared = [TASK["a"] + [i] * (i % 5) for i in range(10)]
    (whole,) = prompt_batches(rows(shared), most_tokens=100_000, window=None)
    assert whole == sorted(rows(shared), key=lambda row: -len(row.prompt))
    apart = rows([[1_000 * i] * (1 + 7 * i % 11) for i in range(20)])
    parts = prompt_batches(apart, most_tokens=30, window=None)
    assert len(parts) > 1
    assert [row for part in parts for row in part] == sorted(apart, key=lambda row: -len(row.prompt))


@given(
    st.lists(st.tuples(st.sampled_from("abcd"), st.integers(1, 60), st.integers(0, 9), st.integers(1, 9)), max_size=24),
    st.integers(40, 400),
)
def test_every_row_once_within_budget_and_window(made: list[tuple[str, int, int, int]], budget: int) -> None:
    given_rows = [
        PromptRow(i, TASK[task][:stem] + [i] * own, most, 0) for i, (task, stem, own, most) in enumerate(made)
    ]
    parts = prompt_batches(given_rows, budget, window=90)
    assert sorted(row.index for part in parts for row in part) == list(range(len(made)))
    for part in parts:
        tokens = max(len(row.prompt) for row in part) + max(row.most for row in part)
        assert len(part) == 1 or len(part) * tokens <= budget
        assert len(part) == 1 or tokens <= 90
