"""Stand-ins behave as the parts that they stand for, as far as a play needs them."""

from __future__ import annotations

import builders
import pytest

from atommem_cli.core.calls import Generation
from atommem_cli.core.chunking import WordTokenizer
from atommem_cli.core.memory import Memory, Text
from atommem_cli.core.types import MemoryOp, OpKind
from atommem_cli.running.stubs import StubPolicy, StubStore, blind


def test_a_policy_replies_what_it_is_told_and_is_never_asked_otherwise() -> None:
    where = builders.store()
    numbered = StubPolicy(WordTokenizer(), on_calls=lambda calls: [Generation("says so") for _ in calls])
    (played,) = builders.rollout(where).play(numbered, [builders.episode(builders.task(), where)])
    assert {step.generation.text for step in played.transitions} == {"says so"}
    with pytest.raises(AssertionError, match="never asked"):
        list(builders.rollout(where).play(StubPolicy(WordTokenizer()), [builders.episode(builders.task(), where)]))


def test_a_store_finds_what_its_subclass_says_whatever_the_vectors() -> None:
    class Second(StubStore):
        def nearest(self, episode: str, query: object, k: int) -> list[int]:
            return [2]

    memory = Memory("a", Second(), k=1)
    ops = [MemoryOp(OpKind.CREATE, "one"), MemoryOp(OpKind.CREATE, "two"), MemoryOp(OpKind.READ, "one")]
    memory.apply(ops, blind().vectors_for(memory.texts(ops)))
    assert [entry.text for entry in memory.show()] == ["two"]
    assert blind().vectors_for([Text("one", False)])[Text("one", False)].tolist() == [0.0]
