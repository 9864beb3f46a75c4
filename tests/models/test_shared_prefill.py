"""What prompts begin with in common is read once; every reply is the one that it was."""

from __future__ import annotations

import random
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from transformers import DynamicCache, LlamaConfig, LlamaForCausalLM, Qwen3Config, Qwen3ForCausalLM

from atommem_cli.models import generation, shared_prefill
from atommem_cli.models.batching import PromptRow
from atommem_cli.models.decodable import decodable
from atommem_cli.models.generation import Sampling, Turns, complete

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
    assert decodable(made)
    read, turns = Read(made), Turns(words)
    together = complete(made, rows(), turns, Sampling(temperature), 10**6)
    spent, read.tokens = read.tokens, 0
    monkeypatch.setattr(generation, "decodable", lambda _: False)
    assert complete(made, rows(), turns, Sampling(temperature), 10**6) == together
    assert spent < 0.35 * read.tokens


@pytest.mark.parametrize("long", [False, True], ids=["short", "long"])
@pytest.mark.parametrize("kind", ["qwen", "llama", "sliding"])
def test_caches_and_logits_are_those_of_each_prompt_alone(kind: str, long: bool) -> None:
    made = model(kind)
    prompts = [row.prompt if long else row.prompt[140:170] or row.prompt[:5] for row in rows()]
    prompts.append(list(prompts[0]))  # the same again
    prompts.append(prompts[1][:9])  # the beginning of another one
    with torch.no_grad():
        cache, logits = shared_prefill.read(made, made, prompts)
        assert cache.get_seq_length() == max(map(len, prompts))
        for at, prompt in enumerate(prompts):
            alone = DynamicCache()
            expected = made(torch.tensor([prompt]), past_key_values=alone).logits[0, -1]
            assert torch.allclose(logits[at], expected, atol=1e-5)
            for mine, theirs in zip(cache.layers, alone.layers, strict=True):
                assert torch.allclose(mine.keys[at, :, -len(prompt) :], theirs.keys[0], atol=1e-5)
                assert torch.allclose(mine.values[at, :, -len(prompt) :], theirs.values[0], atol=1e-5)
