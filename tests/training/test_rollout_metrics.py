"""The curves of a training are counts of what happened, whatever ranks they come from."""

from __future__ import annotations

import builders
import pytest

from atommem_cli.core.chunking import WordTokenizer
from atommem_cli.core.types import MEMORY_OPS, OpKind, Outcome, Trajectory
from atommem_cli.training import rollout_metrics

REPLIES = (
    "<create_memory>Ada: Velt</create_memory><read_memory>Ada</read_memory>",
    "<update_scratchpad>three words here</update_scratchpad><delete_memory>Memory 9</delete_memory>",
    "<read_memory>Bo</read_memory>",
    "<answer>Velt</answer>",
)


def trajectories(*names: str) -> list[Trajectory]:
    store = builders.store()
    episodes = [builders.episode(builders.task(name), store) for name in names]
    return list(builders.rollout(store).play(builders.Says(builders.script(*REPLIES)), episodes))


def test_operations_are_counted_per_model_call_and_the_rest_per_trajectory() -> None:
    [one] = played = trajectories("a")
    found = rollout_metrics.means(rollout_metrics.sums(played, WordTokenizer()))
    calls = len(one.transitions)
    assert calls == 5  # two chunks; a question that reads first; the other one
    assert found["ops/create/ok"] == 1 / calls
    assert found["ops/read/ok"] == 2 / calls
    assert found["ops/delete/invalid_target"] == 1 / calls
    assert found["ops/update/ok"] == 0
    assert sum(key.startswith("ops/") for key in found) == len(MEMORY_OPS) * len(Outcome)
    declared = rollout_metrics.means(rollout_metrics.sums(played, WordTokenizer()), (OpKind.READ, OpKind.FILTER))
    assert {*declared} - {*found} == {f"ops/filter/{outcome}" for outcome in Outcome}
    assert (found["memory/entries"], found["memory/scratchpad_tokens"], found["memory/reads_again"]) == (1, 3, 1)
    assert (found["trajectory/rows"], found["trajectory/answered"]) == (calls, 1)
    assert (found["trajectory/prompt_tokens"], found["trajectory/new_tokens"]) == (10 * calls, 5 * calls)


def test_a_mean_over_nothing_is_left_out() -> None:
    assert rollout_metrics.means(rollout_metrics.sums([], WordTokenizer())) == {}
    silent = rollout_metrics.means({"trajectories": 2, "calls": 0, "entries": 0})  # their budget let none of them ask
    assert silent["trajectory/rows"] == 0
    assert not any(name.startswith("ops/") for name in silent)


def test_ranks_add_up_to_the_whole() -> None:
    played = trajectories("a", "b", "c")
    whole = rollout_metrics.means(rollout_metrics.sums(played, WordTokenizer()))
    parts = [rollout_metrics.sums(part, WordTokenizer()) for part in (played[:1], played[1:], [])]
    assert rollout_metrics.means(rollout_metrics.add(parts)) == pytest.approx(whole)
