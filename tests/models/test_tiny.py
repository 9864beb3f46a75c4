"""The tiny model: what it reads, what it sees, and that it is a model folder like any other."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from builders import agent
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast, Qwen3ForCausalLM

from atommem_cli.core.calls import Expects
from atommem_cli.core.types import MEMORY_OPS, MemoryEntry, MemoryOp, OpKind
from atommem_cli.dialects.dialect import load
from atommem_cli.models import tiny

WORDS = (*tiny.MARKS, "mara", "home", "velt")


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    return tiny.build_tokenizer(WORDS)


@pytest.fixture(scope="module")
def model(tokenizer: PreTrainedTokenizerFast) -> Qwen3ForCausalLM:
    return tiny.build_model(tokenizer, seed=1)


def ids(tokenizer: PreTrainedTokenizerFast, text: str) -> list[int]:
    return tokenizer(text, add_special_tokens=False)["input_ids"]


@settings(deadline=None)
@given(words=st.lists(st.sampled_from(WORDS)))
def test_its_own_words_come_back(tokenizer: PreTrainedTokenizerFast, words: list[str]) -> None:
    text = " ".join(words)
    assert len(ids(tokenizer, text)) == len(words)
    assert tokenizer.decode(ids(tokenizer, text)) == text


def test_words_need_no_spaces_between_them_and_unknown_ones_are_one_token(
    tokenizer: PreTrainedTokenizerFast,
) -> None:
    assert tokenizer.decode(ids(tokenizer, "mara home?\n<create>velt.</create>")) == (
        "mara home ? <create> velt . </create>"
    )
    assert tokenizer.decode(ids(tokenizer, "mara's <b> größe")) == " ".join(["mara", *["<unk>"] * 4])


def test_the_words_of_agemem_come_behind_those_of_tiny_and_write_all_of_its_tools() -> None:
    assert tiny.VOCABULARIES[tiny.NAME] == tiny.MARKS == tiny.VOCABULARIES[tiny.AGEMEM][: len(tiny.MARKS)]
    fast = tiny.build_tokenizer((*tiny.VOCABULARIES[tiny.AGEMEM], "mara", "home", "velt"))
    by = agent("agemem", dialect="tiny")
    wanted = [
        MemoryOp(OpKind.CREATE, "mara home velt"), MemoryOp(OpKind.READ, "mara home"),
        MemoryOp(OpKind.UPDATE, "mara home velt", 40), MemoryOp(OpKind.DELETE, target=13),
        MemoryOp(OpKind.SUMMARIZE, "none", targets=(2, 38)), MemoryOp(OpKind.FILTER, "mara"),
    ]  # fmt: skip
    reply = by.write(Expects.OPERATIONS, wanted, "velt")
    assert fast.unk_token_id not in ids(fast, reply)
    assert by.parse(Expects.OPERATIONS, fast.decode(ids(fast, reply))) == tuple(wanted)


def test_the_tiny_dialect_has_no_unknown_words(tokenizer: PreTrainedTokenizerFast) -> None:
    dialect = load("tiny")
    fields = {"chunk": "mara home velt .", "scratchpad": "", "query": "mara", "questions": "mara home ?"}
    fields |= {"memories": dialect.memories([MemoryEntry(i, "mara home velt .") for i in range(12)])}
    prompts = [
        message.content
        for section in ("reading", "notes", "reader", "closed_book")
        for message in dialect.messages(section, fields | {"documents": "velt", "question": "mara home ?"})
    ]
    ops = [MemoryOp(kind, "velt", 12 if kind in (OpKind.UPDATE, OpKind.DELETE) else None) for kind in MEMORY_OPS]
    prompts.append(dialect.write(Expects.ANSWER, ops, "velt"))
    for prompt in prompts:
        assert tokenizer.unk_token_id not in ids(tokenizer, prompt), prompt


def test_a_conversation_is_a_prefix_of_the_longer_one(tokenizer: PreTrainedTokenizerFast) -> None:
    turns = [{"role": "user", "content": "mara home ?"}]
    prompt = tokenizer.apply_chat_template(turns, add_generation_prompt=True, return_dict=False)
    whole = tokenizer.apply_chat_template([*turns, {"role": "assistant", "content": "velt"}], return_dict=False)
    assert tokenizer.decode(prompt) == "user mara home ? <end> assistant"
    assert whole == [*prompt, *ids(tokenizer, "velt"), tokenizer.eos_token_id]


def test_the_first_layer_sees_a_few_tokens_and_the_second_one_all(model: Qwen3ForCausalLM) -> None:
    text = torch.randint(3, model.config.vocab_size, (1, 16), generator=torch.Generator().manual_seed(0))  # (1, 16)

    def last(hidden: int, changed: int | None) -> torch.Tensor:
        """What layer `hidden` makes of the last token, with another token at `changed`."""
        other = text.clone()
        if changed is not None:
            other[0, changed] = 3 + (other[0, changed] - 2) % (model.config.vocab_size - 3)
        with torch.no_grad():
            return model(other, output_hidden_states=True).hidden_states[hidden][0, -1]

    seen = [not torch.equal(last(1, None), last(1, at)) for at in range(16)]
    assert seen == [False] * (16 - tiny.FIRST_WINDOW) + [True] * tiny.FIRST_WINDOW
    assert 2 * (tiny.FIRST_WINDOW - 1) < 13, "as far as two windows would reach"
    assert not torch.equal(last(2, None), last(2, 2))  # thirteen back


def test_generation_with_its_cache_equals_generation_without(model: Qwen3ForCausalLM) -> None:
    text = torch.randint(3, model.config.vocab_size, (1, 9), generator=torch.Generator().manual_seed(0))  # (1, P)
    settings = {"do_sample": False, "max_new_tokens": 12, "eos_token_id": None}
    cached = model.generate(text, attention_mask=torch.ones_like(text), **settings)
    with torch.no_grad():
        for _ in range(12):
            text = torch.cat([text, model(text).logits[:, -1:].argmax(dim=-1)], dim=1)
    assert torch.equal(cached, text)


def test_the_seed_alone_decides_the_weights(tokenizer: PreTrainedTokenizerFast) -> None:
    torch.manual_seed(3)
    before = torch.get_rng_state()
    first = tiny.build_model(tokenizer, seed=7).state_dict()
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(1)
    again, other = (tiny.build_model(tokenizer, seed=seed).state_dict() for seed in (7, 8))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


def test_a_saved_model_comes_back(tmp_path: Path, model: Qwen3ForCausalLM, tokenizer: PreTrainedTokenizerFast) -> None:
    tiny.save(tmp_path, model, tokenizer)
    loaded, fast = AutoModelForCausalLM.from_pretrained(tmp_path), AutoTokenizer.from_pretrained(tmp_path)
    text = torch.tensor([ids(tokenizer, "mara home velt . mara home ?")])  # (1, P)
    assert ids(fast, "mara home velt . mara home ?") == text[0].tolist()
    assert fast.chat_template == tokenizer.chat_template
    assert torch.equal(loaded(text).logits, model(text).logits)
    assert loaded.config.layer_types == ["sliding_attention", "full_attention", "full_attention"]
