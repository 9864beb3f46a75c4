"""Shared tokens computed once: log-probabilities and gradients are those of separate rows, in float64."""

from __future__ import annotations

import random
import types
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM, MixtralConfig, MixtralForCausalLM, Qwen3Config, Qwen3ForCausalLM
from transformers.models.llama import modeling_llama
from transformers.models.qwen3 import modeling_qwen3
from trl.kernels import chunked_logprob

from atommem_cli.models import tree_attention, tree_reading
from atommem_cli.models.tree_reading import Reader, knee
from atommem_cli.training import shared_forward
from atommem_cli.training.row_scoring import Scorers, refusal
from atommem_cli.training.shared_forward import RowScorer

SMALL: dict[str, Any] = {
    "vocab_size": 50, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 8, "max_position_embeddings": 512,
}  # fmt: skip
SLIDING = {
    "use_sliding_window": True,
    "sliding_window": 6,
    "layer_types": ["sliding_attention", "full_attention", "sliding_attention"],
}


@pytest.fixture(autouse=True)
def in_float64(monkeypatch: pytest.MonkeyPatch) -> None:
    """RMSNorm as shipped computes in float32, which would hide what is compared here."""

    def exact(self: Any, hidden: torch.Tensor) -> torch.Tensor:
        spread = hidden.pow(2).mean(-1, keepdim=True)
        return self.weight * hidden * torch.rsqrt(spread + self.variance_epsilon)

    monkeypatch.setattr(modeling_qwen3.Qwen3RMSNorm, "forward", exact)
    monkeypatch.setattr(modeling_llama.LlamaRMSNorm, "forward", exact)


def model(kind: str) -> Any:
    torch.manual_seed(0)
    if kind == "llama":
        made: Any = LlamaForCausalLM(LlamaConfig(**SMALL))
    else:
        made = Qwen3ForCausalLM(Qwen3Config(**SMALL, **(SLIDING if kind == "sliding" else {})))
    return made.double().train()


def headed(made: Any) -> Any:
    """With a head like TRL's, which computes in float32, in float64."""
    whole = made.forward

    def forward(self: Any, *args: Any, fused_lm_head: bool = False, shift_labels: Any = None, **kwargs: Any) -> Any:
        if not fused_lm_head:
            return whole(*args, **kwargs)
        hidden = self.base_model(*args, use_cache=False, **kwargs).last_hidden_state
        logits = self.get_output_embeddings()(hidden).log_softmax(-1)
        chosen = logits.gather(-1, shift_labels[..., None])[..., 0]
        return types.SimpleNamespace(log_probs=chosen, entropy=-(logits.exp() * logits).sum(-1))

    made.forward = types.MethodType(forward, made)
    return made


def rows(long: bool) -> list[tuple[list[int], int]]:
    """Rows that share beginnings in several ways, and how many of their last tokens are scored."""
    dice = random.Random(7)

    def words(count: int) -> list[int]:
        return [dice.randrange(50) for _ in range(count)]

    start, found = words(60 if long else 4), []
    for _ in range(3):
        middle = start + words(30 if long else 2)
        found += [middle + words(dice.randint(20, 40) if long else dice.randint(1, 3)) for _ in range(3)]
    found.append(list(found[0]))  # the same row again
    found.append(found[1] + words(9))  # a later turn, whose prompt holds an earlier reply
    found.append(words(7))  # one of its own
    return [(row, dice.randint(1, len(row) - 1)) for row in found]


def padded(made: list[tuple[list[int], int]]) -> tuple[torch.Tensor, torch.Tensor, int]:
    most = max(length for _, length in made)
    before = max(len(row) - length for row, length in made)
    ids = torch.zeros(len(made), before + most, dtype=torch.long)
    mask = torch.zeros_like(ids)
    for at, (row, length) in enumerate(made):
        where = slice(before - (len(row) - length), before + length)
        ids[at, where], mask[at, where] = torch.tensor(row), 1
    return ids, mask, most


def alone(made: Any, given: list[tuple[list[int], int]]) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Log-probabilities and entropies of each row by itself."""
    for row, length in given:
        logits = made(input_ids=torch.tensor([row])).logits[0].log_softmax(-1)[-length - 1 : -1]
        yield logits[torch.arange(length), torch.tensor(row[-length:])], -(logits.exp() * logits).sum(-1)


def gradients(made: Any) -> dict[str, torch.Tensor]:
    found = {name: part.grad.clone() for name, part in made.named_parameters()}
    made.zero_grad()
    return found


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("long", [False, True], ids=["short", "long"])
@pytest.mark.parametrize("kind", ["qwen", "llama", "sliding"])
def test_log_probabilities_and_gradients_are_those_of_separate_rows(kind: str, long: bool, checkpointing: bool) -> None:
    given, made = rows(long), model(kind)
    if checkpointing:
        made.gradient_checkpointing_enable({"use_reentrant": False})
    weights = [torch.rand(length, dtype=torch.float64) for _, length in given]
    apart = list(alone(made, given))
    sum((values * weight).sum() for (values, _), weight in zip(apart, weights, strict=True)).backward()  # type: ignore[union-attr]
    expected = gradients(made)
    ids, mask, most = padded(given)
    assert refusal(headed(made)) is None
    for share in (True, False):
        found, entropies = RowScorer(made, share=share)(made, ids, mask, most)
        assert entropies is not None
        for at, ((values, entropy), (_, length)) in enumerate(zip(apart, given, strict=True)):
            assert torch.allclose(found[at, :length], values, atol=1e-12 if share else 1e-5)
            assert torch.allclose(entropies[at, :length], entropy, atol=1e-12 if share else 1e-5)
            assert not found[at, length:].any()
        sum((found[at, : len(weight)] * weight).sum() for at, weight in enumerate(weights)).backward()  # type: ignore[union-attr]
        for name, gradient in gradients(made).items():
            scale = expected[name].abs().max()
            assert (gradient - expected[name]).abs().max() <= (1e-11 if share else 1e-4) * scale, name


def test_both_forms_of_attention_are_tried_above(monkeypatch: pytest.MonkeyPatch) -> None:
    made, forms = headed(model("qwen")), []
    scorer = RowScorer(made, share=True)
    for form in ("_masked", "_pieces"):
        plain = getattr(Reader, form)
        monkeypatch.setattr(Reader, form, lambda *a, form=form, plain=plain: forms.append(form) or plain(*a))
    for long in (False, True):
        scorer(made, *padded(rows(long)))
    assert forms == ["_masked", "_pieces"]


@pytest.mark.parametrize("long", [False, True], ids=["short", "long"])
@pytest.mark.parametrize("kind", ["llama", "sliding"])
def test_large_trees_may_attend_under_a_mask_of_blocks(kind: str, long: bool) -> None:
    """Forward alone, and not compiled: there is no more of FlexAttention on the CPU."""
    given, made = rows(long), model(kind)
    expected = list(alone(made, given))
    scorer = RowScorer(headed(made), share=True)
    assert scorer.blocks is None
    scorer.blocks = 0
    with torch.no_grad(), torch.compiler.set_stance("force_eager"):
        found, _ = scorer(made, *padded(given))
    for at, ((values, _), (_, length)) in enumerate(zip(expected, given, strict=True)):
        assert torch.allclose(found[at, :length], values, atol=1e-12)


def test_the_head_works_in_small_tiles_on_the_cpu() -> None:
    assert {chunked_logprob.TOKEN_CHUNK_SIZE} <= {4096, shared_forward.TILE}  # it is there, and is that of TRL or ours
    RowScorer(model("qwen"), share=False)
    assert chunked_logprob.TOKEN_CHUNK_SIZE == shared_forward.TILE


def test_only_what_is_scored_goes_through_the_head(monkeypatch: pytest.MonkeyPatch) -> None:
    made, seen = headed(model("qwen")), []
    made.get_output_embeddings().register_forward_hook(lambda _, given, __: seen.append(given[0].shape[1]))
    given = rows(True)
    for share in (True, False):
        RowScorer(made, share=share)(made, *padded(given))
    assert seen == [sum(length for _, length in given)] * 2


def test_models_for_which_it_is_not_exact_are_refused_in_words() -> None:
    odd = model("qwen")
    odd.config.layer_types = ["linear_attention", *odd.config.layer_types[1:]]
    assert refusal(odd) == "it has layers of linear attention, which carry a state from token to token"
    eager = model("qwen")
    eager.config._attn_implementation = "eager"
    assert refusal(eager) == "its attention is eager, not sdpa"
    dropping = model("qwen")
    dropping.config.attention_dropout = 0.1
    assert refusal(dropping) == "its attention drops out at random"
    dropping = model("qwen")
    dropping.add_module("adapter", torch.nn.Dropout(0.1))
    assert refusal(dropping) == "it drops out at random (adapter)"
    sliding = model("llama")
    sliding.config.sliding_window = 6
    assert refusal(sliding) == "its configuration does not say which layers have its sliding window"
    balanced = MixtralForCausalLM(MixtralConfig(**SMALL, num_local_experts=2, output_router_logits=True))
    assert refusal(balanced) == "its router is balanced over tokens, and shared ones would count once"


def test_the_first_use_is_compared_with_padded_rows_and_what_differs_is_not_shared(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given, said = padded(rows(False)), []
    made = headed(model("qwen"))
    good = Scorers(made, share=True, say=said.append)
    right, _ = good.score(made, made, *given)
    assert (good.share, said) == (True, [])
    monkeypatch.setattr(Reader, "_mapping", lambda _, masks: masks["full_attention"].logical_not())
    wrong = Scorers(made, share=True, say=said.append)
    found, _ = wrong.score(made, made, *given)
    assert not wrong.share
    assert len(said) == 1
    assert said[0].startswith("rows do not share their tokens: log-probabilities differ by ")
    assert torch.allclose(found, right, atol=1e-5)
    refused = Scorers(made, share=False, say=said.append)
    assert (refused.share, len(said)) == (False, 1)


def test_a_mask_of_blocks_is_tried_before_large_trees_have_one(monkeypatch: pytest.MonkeyPatch) -> None:
    given, said = padded(rows(False)), []
    made = headed(model("qwen"))
    monkeypatch.setattr(shared_forward, "BLOCKS_ON", "cpu")
    with torch.compiler.set_stance("force_eager"):
        good = Scorers(made, share=True, say=said.append)
        with torch.no_grad():
            right, _ = good.score(made, made, *given)
        assert (good.share, good._made[id(made)].blocks, said) == (True, tree_reading.LARGE, [])
        monkeypatch.setattr(
            tree_reading, "block_mask", lambda ends, depths, _: tree_attention.block_mask(ends, depths, 1)
        )
        blind = Scorers(made, share=True, say=said.append)
        found, _ = blind.score(made, made, *given)
        assert (blind.share, blind._made[id(made)].blocks) == (True, None)
    assert said[0].startswith(
        "large trees attend under a dense mask or piece by piece, not in blocks: log-probabilities"
    )
    assert torch.allclose(found, right)
    monkeypatch.setattr(tree_reading, "block_mask", lambda *_: 1 / 0)
    Scorers(made, share=True, say=said.append).score(made, made, *given)
    assert said[1].endswith("not in blocks: division by zero")


def test_the_knee_is_that_of_the_shapes() -> None:
    shape = {**SMALL, "hidden_size": 512, "intermediate_size": 2048, "num_attention_heads": 8, "num_key_value_heads": 4}
    assert knee(Qwen3ForCausalLM(Qwen3Config(**{**shape, "head_dim": 64}))) == 3840  # counted from its parameters
