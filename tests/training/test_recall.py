"""Exercises in recall: what is asked can be known from the prompt."""

from __future__ import annotations

import demos
import pytest

from atommem_cli.core.errors import UsageError
from atommem_cli.models.words import Words
from atommem_cli.training import learners, recall


@pytest.fixture(scope="module")
def tiny_words() -> Words:
    return learners.load(demos.recipe()).words


def split(tiny_words: Words, ids: list[int]) -> list[str]:
    return [str(word) for word in tiny_words.tokenizer.convert_ids_to_tokens(ids)]


def test_first_segments_are_said_again_then_statements_are_told_in_another_order(tiny_words: Words) -> None:
    made = recall.rows(tiny_words, 50, seed=3)
    orders = 0
    for number, row in enumerate(made):
        prompt, said = split(tiny_words, list(row.prompt)), split(tiny_words, list(row.completion))
        assert prompt[0] == "user"
        assert prompt[-2:] == ["<end>", "assistant"]
        shown = prompt[1:-2]
        assert said.pop() == "<end>"
        if number < 30:
            assert 4 <= len(shown) <= 16
            assert said == [shown[i % len(shown)] for i in range(24)]
        else:
            told, again = ([words[i : i + 4] for i in range(0, len(words), 4)] for words in (shown, said))
            assert sorted(told) == sorted(again)
            assert len({(subject, relation) for subject, relation, _, _ in told}) == 4
            assert {statement[3] for statement in told} == {"."}
            orders += told != again
    assert orders > 15


def test_the_whole_vocabulary_is_used_but_for_special_tokens(tiny_words: Words) -> None:
    made = recall.rows(tiny_words, 400, seed=0)
    used = {token for row in made for token in row.completion[:-1]}
    special = set(tiny_words.tokenizer.all_special_ids)
    assert used == set(tiny_words.tokenizer.get_vocab().values()) - special


def test_the_seed_alone_decides(tiny_words: Words) -> None:
    assert recall.rows(tiny_words, 20, seed=1) == recall.rows(tiny_words, 20, seed=1)
    first, other = recall.rows(tiny_words, 20, seed=1), recall.rows(tiny_words, 20, seed=2)
    assert all(a != b for a, b in zip(first, other, strict=True))
    assert len({tuple(row.prompt) for row in first}) == 20


def test_pretrained_models_need_it_not() -> None:
    recall.check(demos.recipe("sft.recall={rows: 8}"))
    recall.check(demos.recipe("policy.model=some/model"))
    with pytest.raises(UsageError, match=r"tiny and tiny_agemem alone, and policy.model is some/model"):
        recall.check(demos.recipe("sft.recall={rows: 8}", "policy.model=some/model"))


def test_the_words_of_tiny_are_refused_where_the_agent_has_tools_that_they_cannot_say() -> None:
    with pytest.raises(UsageError, match=r"tiny has no words for the tools of the agent agemem: set policy"):
        learners.load(demos.recipe("agent={name: agemem, dialect: tiny}"))
    learner = learners.load(demos.recipe("agent={name: agemem, dialect: tiny}", "policy.model=tiny_agemem"))
    assert "<filter>" in learner.words.tokenizer.get_vocab()
