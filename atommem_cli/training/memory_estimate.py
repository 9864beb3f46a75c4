"""Memory of a training on each of its devices, from the model's configuration alone; no weights are read.

What persists, in bytes per trained parameter (ZeRO, arXiv 1910.02054, section 3.1; AdamW keeps two moments):

    float32 weights, bf16 arithmetic     weight 4, gradient 4, moments 8    = 16
    pure bf16                            weight 2, gradient 2, moments 4    =  8
    FSDP2 or ZeRO-3, bf16 arithmetic     16, whatever `policy.dtype` says: accelerate raises the weights that are
                                         trained to float32 for FSDP2; DeepSpeed has 2 + 2 and a float32 copy, 12

Sharded training divides this by the number of processes, and gathers two layers at a time and the output head.

Of GRPO a token that rows share counts once (`grpo.share_prefixes`), and only what is scored goes through the head.

What comes and goes: with gradient checkpointing every layer keeps its input, and one layer at a time is
computed again (Chen et al., arXiv 1604.06174); `_LAYER` says what that one takes. TRL 1.16 never holds the
logits of all tokens: it projects 4,096 tokens x 32,768 words at a time (`trl.kernels.chunked_logprob`), but
holds the head's gradient in float32 and the gradient of the hidden states.

How far it can be trusted: `_LAYER` and `_KEPT` are least-squares fits to allocations that torch's profiler saw
on the CPU, Qwen3 layers of width 128 to 256 with padding and SDPA, each of seven shapes within 7 %; held-out
models of 6 and 12 layers, width 320 and 384: -2 % to +6 %. On a GPU it was not measured: kernels keep other
buffers, and allocator, NCCL and CUDA context add 1 to 3 GiB. Mixtures of experts are underestimated. The embedder,
which lies on every device, is not in it.
"""

from __future__ import annotations

from typing import Any

from atommem_cli.config.recipe import Recipe
from atommem_cli.core.errors import MissingExtra
from atommem_cli.models import tiny, words
from atommem_cli.models.loading import load_config
from atommem_cli.training import learners
from atommem_cli.training.plan_tables import DeviceMemory, Part
from atommem_cli.training.trl_config import Command

_Shape = tuple[float, float, float, float]

_LAYER: dict[str, _Shape] = {
    "float32": (29.3, 22.3, 29.5, 25.2),
    "bfloat16": (21.7, 10.1, 17.9, 19.4),
    "mixed": (30.2, 10.7, 17.6, 17.3),
}
"""Bytes per token of one layer that is computed again and differentiated, per unit of: hidden size, MLP size, width
of all query heads, width of all key heads. `mixed` is float32 weights under bf16 autocast."""
_KEPT: dict[str, _Shape] = {
    "float32": (30.4, 12.8, 30.7, 21.0),
    "bfloat16": (19.2, 6.4, 17.5, 12.6),
    "mixed": (29.5, 6.9, 17.2, 11.8),
}
"""Likewise what a layer keeps for its gradient where nothing is computed again; 28 bytes per unit of hidden size
come on top, once."""
_TILE = (4096, 32_768)
"""Tokens and words of TRL's projection tile (`TOKEN_CHUNK_SIZE`, `_CHUNKED_LOGPROB_CHUNK_SIZE`)."""
_WIDTH = {"float32": 4, "bfloat16": 2, "float16": 2}


def estimate(
    recipe: Recipe,
    command: Command,
    *,
    tokens: int,
    scored: int | None = None,
    processes: int = 1,
    sharded: bool = False,
) -> DeviceMemory:
    """Memory per device.

    Args:
        tokens: of one forward and backward pass: padding included, or each that rows share once.
        scored: those of them that go through the head; None is all.
        sharded: weights, gradients and optimiser states are shared out (FSDP2, ZeRO-3).

    Raises:
        MissingExtra: the model's config.json is not here and cannot be had; or peft is not installed.
        RecipeError: the LoRA section is wrong.
    """
    learners.check(recipe)
    options = recipe.policy.model_extra or {}
    section = recipe.sft if command == "sft" else recipe.grpo
    given, lora = section.trainer, section.lora
    model = _bare(recipe)
    config = model.config.get_text_config()
    parameters = _count(model)
    trained = parameters
    if lora is not None:
        adapted = _adapted(model, learners.adapters(lora, f"{command}.lora"))
        trained = sum(parameter.numel() for parameter in adapted.parameters() if parameter.requires_grad)
    stored = _stored(options["dtype"], model)
    bf16 = bool(given.get("bf16", options["device"] != "cpu" and not given.get("use_cpu")) or given.get("fp16"))
    learned = 4 if bf16 and (sharded or lora is not None) else _WIDTH[stored]
    shares = processes if sharded else 1
    frozen = _WIDTH[stored] * (parameters - trained if lora is None else parameters)
    regime = stored if not bf16 else "mixed" if stored == "float32" and not sharded else "bfloat16"
    width = 2 if regime != "float32" else 4
    # TRL's default; the second is the older name, which every version in our range knows.
    recomputed = bool(given.get("activation_checkpointing", given.get("gradient_checkpointing", True)))
    head = config.vocab_size * config.hidden_size
    parts = [
        Part("weights", (learned * trained + frozen) / shares, "always"),
        Part("optimiser states (AdamW)", 2 * learned * trained / shares, "always"),
        Part("gradients", learned * trained / shares, "update"),
        Part("activations", tokens * _activations(config, regime, recomputed=recomputed), "update"),
        Part("output head", _head(config, tokens if scored is None else scored, width, trained=lora is None), "update"),
    ]
    if sharded:
        parts.append(Part("gathered layers", 2 * width * _largest_layer(model) + 4 * head, "update"))
    elif regime == "mixed":
        parts.append(Part("weights cast to bf16", 2 * parameters, "update"))
    if command == "grpo":
        if given.get("beta") and lora is None:
            parts.append(Part("reference model", _WIDTH[stored] * parameters / shares, "always"))
        if not given.get("use_vllm"):
            cached = 2 * config.num_hidden_layers * _sizes(config)[3] * width * options["micro_batch_tokens"]
            parts.append(Part("key-value cache", cached, "play"))
    colocated = command == "grpo" and given.get("use_vllm") and given.get("vllm_mode", "colocate") == "colocate"
    vllm = float(given.get("vllm_gpu_memory_utilization", 0.3)) if colocated else 0.0
    return DeviceMemory(parameters, trained, tuple(parts), vllm, bool(given.get("vllm_enable_sleep_mode")))


def attempt(recipe: Recipe, command: Command, **given: Any) -> tuple[DeviceMemory | None, str]:
    """As `estimate`, or why that cannot be."""
    try:
        return estimate(recipe, command, **given), ""
    except MissingExtra as error:
        return None, f"memory is not estimated, the model's configuration is needed: {error}"


def outline(recipe: Recipe, command: Command) -> Any:
    """The model that would be trained, with its adapters, without its weights.

    Raises:
        MissingExtra, RecipeError: as `estimate`.
    """
    lora = (recipe.sft if command == "sft" else recipe.grpo).lora
    return _bare(recipe) if lora is None else _adapted(_bare(recipe), learners.adapters(lora, f"{command}.lora"))


def _bare(recipe: Recipe) -> Any:
    """The policy's model without its weights."""
    import torch
    from transformers import AutoModelForCausalLM

    _, options = recipe.plugin("policy")
    if options.model in tiny.VOCABULARIES:
        return words.load(options)[0]
    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(load_config(options.model), trust_remote_code=False)


def _count(model: Any) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def _adapted(model: Any, config: Any) -> Any:
    import torch
    from peft import get_peft_model

    with torch.device("meta"):
        return get_peft_model(model, config)


def _stored(asked: str, model: Any) -> str:
    """The dtype that the weights are loaded in."""
    own = str(getattr(model.config, "dtype", None) or "float32").removeprefix("torch.")
    name = own if asked == "auto" else asked
    return name if name in _WIDTH else "float32"


def _sizes(config: Any) -> tuple[int, int, int, int]:
    """Hidden size, MLP size, width of all query heads, width of all key heads."""
    heads, hidden = config.num_attention_heads, config.hidden_size
    size = getattr(config, "head_dim", None) or hidden // heads
    key_heads = getattr(config, "num_key_value_heads", None) or heads
    return hidden, getattr(config, "intermediate_size", None) or 4 * hidden, heads * size, key_heads * size


def _activations(config: Any, regime: str, *, recomputed: bool) -> float:
    """Bytes per token."""
    layers, sizes = config.num_hidden_layers, _sizes(config)
    layer = sum(factor * size for factor, size in zip((_LAYER if recomputed else _KEPT)[regime], sizes, strict=True))
    if not recomputed:
        return float(layers * layer + 28 * sizes[0])
    stream = 2 if regime == "bfloat16" else 4  # autocast leaves the residual stream in float32
    return float(layers * stream * sizes[0] + layer)


def _head(config: Any, tokens: int, width: int, *, trained: bool) -> float:
    tile = min(tokens, _TILE[0]) * min(config.vocab_size, _TILE[1]) * width
    gradient = 4 * config.vocab_size * config.hidden_size if trained else 0
    return float(tile + gradient + 4 * tokens * config.hidden_size)


def _largest_layer(model: Any) -> int:
    """Parameters of the largest module that FSDP wraps as one."""
    names = set(model._no_split_modules or ())
    return max((_count(module) for module in model.modules() if type(module).__name__ in names), default=0)
