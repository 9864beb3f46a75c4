"""Shared prefixes on this device: are they exact, how fast are they, and what memory do they take.

    python tests/device/sharing.py [--small] [--json FILE]

Exact: log-probabilities and gradients of a small model in float32 and bfloat16, against padded rows in float32. Speed:
a model of Qwen3-0.6B's shape with random weights in bfloat16, forward and backward over whole groups, median of five;
the shapes are G rollouts, a shared prefix, and a private part with a reply each. The ways are those of
`models/tree_reading.py`: padded rows, trees under a dense mask, piece by piece, and in blocks (FlexAttention, which
has no backward pass on the CPU). With --small everything is little, for a trial on the CPU.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor
from transformers import Qwen3Config, Qwen3ForCausalLM
from trl.trainer.utils import add_fused_lm_head

from atommem_cli.models import tree_reading
from atommem_cli.training.shared_forward import RowScorer

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
WAYS = ("padded", "dense", "pieces", *(("blocks",) if DEVICE == "cuda" else ()))
LITTLE = Qwen3Config(
    hidden_size=256, intermediate_size=512, num_hidden_layers=4, num_attention_heads=4, num_key_value_heads=2,
    head_dim=64, vocab_size=1000, max_position_embeddings=4096,
)  # fmt: skip
LARGE = Qwen3Config(
    hidden_size=1024, intermediate_size=3072, num_hidden_layers=28, num_attention_heads=16, num_key_value_heads=8,
    head_dim=128, vocab_size=151_936, max_position_embeddings=40_960, tie_word_embeddings=True,
)  # fmt: skip
SHAPES = ((16, 1000, 250, 100), (16, 4000, 400, 300), (8, 500, 150, 50))
"""Rollouts, tokens of the prefix, of the private part, and of the reply."""
Group = tuple[Tensor, Tensor, int]
"""Ids and mask as `RowScorer` takes them, and the tokens of a reply."""


def model(config: Any, dtype: torch.dtype) -> Any:
    """Random weights, the same in every type."""
    torch.manual_seed(0)
    made = Qwen3ForCausalLM(config).to(DEVICE, dtype).train()
    add_fused_lm_head(made, outputs=("log_probs", "entropy"))
    return made


def group(rollouts: int, prefix: int, private: int, reply: int, words: int) -> Group:
    dice = torch.Generator().manual_seed(1)
    start = torch.randint(words, (1, prefix), generator=dice).expand(rollouts, -1)
    ids = torch.cat([start, torch.randint(words, (rollouts, private + reply), generator=dice)], 1).to(DEVICE)
    return ids, torch.ones_like(ids), reply


def scorer(made: Any, way: str) -> RowScorer:
    """One that goes this way with whatever it is given."""
    found = RowScorer(made, share=way != "padded")
    found.blocks = 0 if way == "blocks" else None
    tree_reading.LONG = sys.maxsize if way == "dense" else 0
    if found._reader:
        found._reader._knee = float("inf")  # a dense tree is not cut
    return found


def step(made: Any, score: RowScorer, given: Group, weights: Tensor) -> Tensor:
    """Forward and backward; the log-probabilities."""
    made.zero_grad(set_to_none=True)
    found, _ = score(made, *given)
    (found.float() * weights).sum().div(weights.numel()).backward()
    return found.detach()


def gradients(made: Any) -> Tensor:
    return torch.cat([part.grad.float().flatten() for part in made.parameters()])


def apart(one: Tensor, other: Tensor) -> float:
    """Relative."""
    return float((one.float() - other.float()).norm() / other.float().norm())


def exactness(shape: tuple[int, int, int, int]) -> Iterator[dict[str, Any]]:
    """How far each way and type is from padded rows in float32."""
    torch.backends.cuda.matmul.allow_tf32 = False
    given = group(*shape, LITTLE.vocab_size)
    weights = torch.rand(shape[0], shape[3], generator=torch.Generator().manual_seed(2)).to(DEVICE)
    plain = model(LITTLE, torch.float32)
    expected = step(plain, scorer(plain, "padded"), given, weights)
    wanted = gradients(plain)
    for dtype in (torch.float32, torch.bfloat16):
        for way in WAYS:

            def one(dtype: torch.dtype = dtype, way: str = way) -> dict[str, float]:
                made = model(LITTLE, dtype)
                found = step(made, scorer(made, way), given, weights)
                return {"log_probs": apart(found, expected), "gradients": apart(gradients(made), wanted)}

            yield tried({"what": "exact", "way": way, "dtype": str(dtype).removeprefix("torch.")}, one)


def speed(shape: tuple[int, int, int, int], config: Any, times: int) -> Iterator[dict[str, Any]]:
    """Milliseconds and GiB of forward and backward, each way."""
    rollouts, prefix, *own = shape
    rows, nodes = rollouts * (prefix + sum(own)), prefix + rollouts * sum(own)
    given = group(*shape, config.vocab_size)
    weights = torch.rand(rollouts, shape[3], generator=torch.Generator().manual_seed(2)).to(DEVICE)
    for way in WAYS:

        def one(way: str = way) -> dict[str, float]:
            made = model(config, torch.bfloat16)
            score = scorer(made, way)
            first = timed(lambda: step(made, score, given, weights))
            step(made, score, given, weights)
            if DEVICE == "cuda":
                torch.cuda.reset_peak_memory_stats()
            found = [timed(lambda: step(made, score, given, weights)) for _ in range(times)]
            most = torch.cuda.max_memory_allocated() / 2**30 if DEVICE == "cuda" else 0.0
            return {"ms": 1000 * median(found), "least_ms": 1000 * min(found), "peak_gib": most, "first_s": first}

        named = {"what": "speed", "shape": list(shape), "row_tokens_per_node": round(rows / nodes, 2), "way": way}
        yield tried(named, one)
        if DEVICE == "cuda":
            torch.cuda.empty_cache()


def timed(what: Callable[[], Any]) -> float:
    """Seconds, the device's work included."""
    started = time.perf_counter()
    what()
    if DEVICE == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - started


def tried(named: dict[str, Any], what: Callable[[], dict[str, float]]) -> dict[str, Any]:
    """What came of it, or why nothing did: one way that fails does not end the others."""
    try:
        return {**named, **what()}
    except Exception as error:
        return {**named, "failed": f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"}


def main(arguments: list[str]) -> list[dict[str, Any]]:
    parser = argparse.ArgumentParser()
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(arguments)
    name = torch.cuda.get_device_name() if DEVICE == "cuda" else "CPU"
    found: list[dict[str, Any]] = [{"what": "device", "name": name, "torch": torch.__version__}]
    print(json.dumps(found[0]), flush=True)
    small = options.small
    measured = [exactness((2, 20, 6, 3) if small else (8, 100, 30, 20))]
    measured += [speed((2, 20, 6, 3), LITTLE, 1)] if small else [speed(shape, LARGE, 5) for shape in SHAPES]
    for lines in measured:
        for line in lines:
            found.append(line)
            print(json.dumps(line), flush=True)
            if options.json:
                options.json.write_text("".join(json.dumps(each) + "\n" for each in found))
    return found


if __name__ == "__main__":
    main(sys.argv[1:])
