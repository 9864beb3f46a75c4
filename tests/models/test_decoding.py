"""Replies are those of transformers' own `generate`, token by token, whoever has ended before."""

from __future__ import annotations

import random
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM, Qwen3Config, Qwen3ForCausalLM

from atommem_cli.models import generation
from atommem_cli.models.batching import PromptRow
from atommem_cli.models.decodable import decodable
from atommem_cli.models.generation import Sampling, Turns, complete

SMALL: dict[str, Any] = {
    "vocab_size": 40, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 8, "max_position_embeddings": 256, "initializer_range": 0.3,
}  # fmt: skip
KINDS = ["sliding_attention", "full_attention", "full_attention"]
SLIDING = {"use_sliding_window": True, "sliding_window": 5, "layer_types": KINDS}
MADE: dict[str, Callable[[], Any]] = {
    "qwen": lambda: Qwen3ForCausalLM(Qwen3Config(**SMALL)),
    "sliding": lambda: Qwen3ForCausalLM(Qwen3Config(**SMALL, **SLIDING)),
    "llama": lambda: LlamaForCausalLM(LlamaConfig(**SMALL)),
    "gpt2": lambda: GPT2LMHeadModel(
        GPT2Config(vocab_size=40, n_embd=32, n_layer=2, n_head=4, n_positions=256, bos_token_id=0, eos_token_id=0)
    ),
}


def turns(*ends: int) -> Turns:
    words: Any = SimpleNamespace(tokenizer=SimpleNamespace(pad_token_id=0), chat=None, ends=ends, window=None)
    return Turns(words)


def model(kind: str) -> Any:
    torch.manual_seed(0)
    return MADE[kind]().double().eval()


def rows() -> list[PromptRow]:
    """Prompts of many lengths, some of them the same, with limits of many lengths."""
    dice = random.Random(1)
    prompts = [[dice.randrange(40) for _ in range(dice.randint(1, 30))] for _ in range(9)]
    return [PromptRow(i, prompts[i % 9], dice.choice([1, 4, 70]), i) for i in range(24)]


class Steps:
    """Tokens of each call of a model."""

    def __init__(self, made: Any) -> None:
        self.tokens: list[int] = []
        made.register_forward_pre_hook(self, with_kwargs=True)

    def __call__(self, _: Any, given: Any, named: Any) -> None:
        self.tokens.append(named["input_ids"].numel())


@pytest.mark.parametrize("known", [turns(), turns(*range(0, 40, 9))], ids=["no end", "ends"])
@pytest.mark.parametrize("sampling", [Sampling(0.0), Sampling(1.0), Sampling(0.8, 0.9)], ids=str)
@pytest.mark.parametrize("kind", MADE)
def test_replies_are_those_of_generate(
    kind: str, sampling: Sampling, known: Turns, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, asked = model(kind), rows()
    assert decodable(made)
    written = complete(made, asked, known, sampling, 10**6)
    monkeypatch.setattr(generation, "decodable", lambda _: False)
    assert complete(made, asked, known, sampling, 10**6) == written
    ended = [ids[-1] in known.ends for ids in written.values()]
    assert any(ended) or not known.ends
    assert not all(ended)
    assert len({len(ids) for ids in written.values()}) >= 3


def test_who_has_ended_takes_no_further_part_and_the_same_prompt_is_read_once() -> None:
    made = model("qwen")
    assert decodable(made)
    steps = Steps(made)
    prompts = [[1, 2, 3], [4, 5]]
    asked = [PromptRow(i, prompts[i % 2], [2, 2, 2, 6][i % 4], i) for i in range(8)]
    written = complete(made, asked, turns(), Sampling(1.0), 10**6)
    assert [len(written[i]) for i in range(8)] == [2, 2, 2, 6, 2, 2, 2, 6]
    assert steps.tokens == [5 + 1, 8, 2, 2, 2, 2]  # two sequences of three


def test_adapters_are_part_of_the_model() -> None:
    peft = pytest.importorskip("peft")
    made = peft.get_peft_model(model("qwen"), peft.LoraConfig(r=4, init_lora_weights=False, task_type="CAUSAL_LM"))
    assert decodable(made.base_model.model)
    steps = Steps(made.base_model.model)
    asked = [PromptRow(i, [i, 5, 6], 5, i) for i in range(4)]
    adapted = complete(made, asked, turns(), Sampling(0.0), 10**6)
    assert steps.tokens == [4 * 3] + [4] * 4
    with made.disable_adapter():
        assert complete(made, asked, turns(), Sampling(0.0), 10**6) != adapted
    assert complete(made.merge_and_unload(), asked, turns(), Sampling(0.0), 10**6) == adapted


@pytest.mark.parametrize(
    "change",
    [
        lambda made: setattr(made.config, "layer_types", ["linear_attention", *KINDS[1:]]),
        lambda made: setattr(made.config, "_attn_implementation", "eager"),
        lambda made: setattr(made, "_is_stateful", True),
        lambda made: made.config.update({"layer_types": None, "sliding_window": 5}),
        lambda made: made.config.update({"num_kv_shared_layers": 1}),
    ],
    ids=["state", "attention", "stateful", "unknown window", "shared layers"],
)
def test_models_of_another_kind_are_left_to_generate(change: Callable[[Any], None]) -> None:
    made = model("qwen")
    change(made)
    assert not decodable(made)


@pytest.mark.parametrize("form", ["read", "step", "fault"])
def test_a_model_that_reads_trees_otherwise_is_left_to_generate(form: str) -> None:
    """As one would whose attention takes more than is known here."""

    def other(made: Any, given: Any, named: Any) -> Any:
        mask = named.get("attention_mask")
        if (
            mask is None
            or mask.dim() != 4
            or (form == "read" and mask.shape[-2] == 1)
            or (form == "step" and mask.shape[-2] > 1)
        ):
            return None
        if form == "fault":
            raise ValueError("what is this?")
        return given, {**named, "position_ids": named["position_ids"] + 9 * (named["position_ids"] % 2)}

    made = model("llama")
    assert decodable(made)
    strange = model("llama")
    strange.register_forward_pre_hook(other, with_kwargs=True)
    assert not decodable(strange)
    assert generation.complete(strange, rows()[:3], turns(), Sampling(0.0), 10**6)
