"""Prompts that begin alike are read once; every reply is the one that it was."""

from __future__ import annotations

import random
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM, Qwen3Config, Qwen3ForCausalLM

from atommem_cli.models import decoding, shared_prefill
from atommem_cli.models.batching import PromptRow
from atommem_cli.models.generation import Sampling, Turns, complete
from atommem_cli.models.shared_prefill import filled, groups

SMALL: dict[str, Any] = {
    "vocab_size": 500, "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 3, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 16, "max_position_embeddings": 2048,
}  # fmt: skip
KINDS = ["sliding_attention", "full_attention", "full_attention"]
SLIDING = {"use_sliding_window": True, "sliding_window": 20, "layer_types": KINDS}


def model(kind: str) -> Any:
    torch.manual_seed(0)
    made: Any = (
        LlamaForCausalLM(LlamaConfig(**SMALL))
        if kind == "llama"
        else Qwen3ForCausalLM(Qwen3Config(**SMALL, **(SLIDING if kind == "sliding" else {})))
    )
    return made.double().eval()


def rows() -> list[PromptRow]:
    """Twelve prompts of three beginnings of several lengths, and one of its own."""
    dice = random.Random(2)

    def words(count: int) -> list[int]:
        return [dice.randrange(500) for _ in range(count)]

    starts = [words(count) for count in (300, 200, 150)]
    made = [PromptRow(i, starts[i % 3] + words(dice.randint(1, 90)), dice.choice([5, 12]), i) for i in range(12)]
    return [*made, PromptRow(12, words(70), 8, 12)]


class Read:
    """How many tokens a model has read, padding included."""

    def __init__(self, made: Any) -> None:
        self.tokens = 0
        made.base_model.register_forward_pre_hook(self, with_kwargs=True)

    def __call__(self, _: Any, given: Any, named: Any) -> None:
        ids = named.get("input_ids", given[0] if given else None)
        self.tokens += ids.numel()


@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize("kind", ["qwen", "llama", "sliding"])
def test_replies_are_those_without_sharing(kind: str, temperature: float, monkeypatch: pytest.MonkeyPatch) -> None:
    made = model(kind)
    words: Any = SimpleNamespace(tokenizer=SimpleNamespace(pad_token_id=0), chat=None, ends=(), window=None)
    read, turns = Read(made), Turns(words)
    together = complete(made, rows(), turns, Sampling(temperature), 10**6)
    spent, read.tokens = read.tokens, 0
    monkeypatch.setattr(decoding, "filled", lambda *_: None)
    assert complete(made, rows(), turns, Sampling(temperature), 10**6) == together
    assert spent < 0.5 * read.tokens


def test_beginnings_are_found_whatever_the_order() -> None:
    prompts = [row.prompt for row in rows()]
    found = groups(prompts)
    assert sorted(number for _, members in found for number in members) == list(range(13))
    assert sorted((length, sorted(members)) for length, members in found) == [
        (0, [12]), (150, [2, 5, 8, 11]), (200, [1, 4, 7, 10]), (300, [0, 3, 6, 9]),
    ]  # fmt: skip


def test_the_same_prompt_twice_leaves_its_last_token_to_be_read() -> None:
    prompt = list(range(100))
    assert groups([prompt, prompt]) == [(99, [0, 1])]


def test_too_little_in_common_is_left_alone() -> None:
    made = model("qwen")
    apart = [[n] * 100 for n in range(4)]
    assert groups(apart) == [(0, [0]), (0, [1]), (0, [2]), (0, [3])]
    assert filled(made, apart) is None
    short = [[1] * (shared_prefill.LEAST - 1) + [n] for n in range(4)]
    assert filled(made, short) is None
    one_long = [*([1] * 70 + [n] for n in range(4)), [9] * 400]
    assert filled(made, one_long) is None  # every row would be read at its length


def test_models_that_keep_no_keys_are_left_alone() -> None:
    made = model("qwen")
    alike = [[1] * 100 + [n] for n in range(4)]
    assert filled(made, alike) is not None
    made.config.layer_types = ["linear_attention", *made.config.layer_types[1:]]
    assert filled(made, alike) is None
    made = model("qwen")
    made._is_stateful = True
    assert filled(made, alike) is None
