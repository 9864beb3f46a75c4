"""What shared prefixes save: seconds of one core and memory of a training step, side by side in one run.

    python tests/bench/bench_sharing.py

A model of 46 M parameters (Qwen3, 4 layers, hidden 512, 30,000 words); the shapes of AtomMem (16 rollouts, a shared
prompt of 1,000 tokens, 250 of one's own, 100 written) and of a conversation of 12 turns of 100 tokens with replies of
50. Generation: the prompts of AtomMem's shape, and 50 new tokens.
"""

from __future__ import annotations

import random
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

WORDS = 30_000
Row = tuple[list[int], int]


def atommem() -> list[Row]:
    dice = random.Random(0)
    start = [dice.randrange(WORDS) for _ in range(1000)]
    return [(start + [dice.randrange(WORDS) for _ in range(350)], 100) for _ in range(16)]


def conversation() -> list[Row]:
    dice = random.Random(1)
    said = [dice.randrange(WORDS) for _ in range(300)]
    rows = []
    for _ in range(12):
        said = said + [dice.randrange(WORDS) for _ in range(150)]
        rows.append((said, 50))
    return rows


WAYS = {"generation": ("apart", "together")}
SHAPES = {"atommem": (atommem, 8192), "conversation": (conversation, 4096)}


def batches(rows: list[Row], most: int, share: bool) -> Iterator[list[Row]]:
    from atommem_cli.training.grpo_rows import TrainingRow, micro_batches

    made = [TrainingRow(tuple(row[:-length]), tuple(row[-length:]), 1.0) for row, length in rows]
    for batch in micro_batches(made, most, share=share):
        yield [([*row.prompt, *row.completion], len(row.completion)) for row in batch]


def measured(shape: str, how: str) -> None:
    """One way, in a process of its own: seconds of CPU, and MB above model and gradients."""
    import torch
    from transformers import Qwen3Config, Qwen3ForCausalLM
    from trl.trainer.utils import add_fused_lm_head

    from atommem_cli.training.shared_forward import RowScorer

    torch.set_num_threads(1)
    torch.manual_seed(0)
    config = Qwen3Config(
        vocab_size=WORDS, hidden_size=512, intermediate_size=2048, num_hidden_layers=4, num_attention_heads=8,
        num_key_value_heads=4, head_dim=64, max_position_embeddings=8192, tie_word_embeddings=False,
    )  # fmt: skip
    model = Qwen3ForCausalLM(config).train()
    for part in model.parameters():
        part.grad = torch.zeros_like(part)
    add_fused_lm_head(model, outputs=("log_probs", "entropy"))
    if how in ("apart", "together"):
        generated(model, how)
        return
    scorer = RowScorer(model, share=how == "shared") if how != "TRL" else None
    make, most = SHAPES[shape]
    before, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    total = 0.0
    for batch in batches(make(), most, how == "shared"):
        wide, longest = max(len(row) - n for row, n in batch), max(n for _, n in batch)
        ids = torch.zeros(len(batch), wide + longest, dtype=torch.long)
        mask = torch.zeros_like(ids)
        for at, (row, length) in enumerate(batch):
            where = slice(wide - len(row) + length, wide + length)
            ids[at, where], mask[at, where] = torch.tensor(row), 1
        if scorer is None:
            labels = ids.masked_fill(mask == 0, -100)
            labels[:, :-longest] = -100
            logps = model(input_ids=ids, attention_mask=mask, labels=labels, fused_lm_head=True).log_probs
        else:
            logps, _ = scorer(model, ids, mask, longest)
        logps.sum().backward()
        total += float(logps.detach().sum())
    spent = time.process_time() - started
    most_used = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    norm = float(torch.stack([part.grad.norm() for part in model.parameters() if part.grad is not None]).norm())
    print(spent, most_used, total, norm)


def generated(model: Any, how: str) -> None:
    """Greedy replies: by `generate` of transformers, or with a shared beginning read once."""
    from types import SimpleNamespace

    from atommem_cli.models import generation
    from atommem_cli.models.batching import PromptRow

    words: Any = SimpleNamespace(tokenizer=SimpleNamespace(pad_token_id=0), chat=None, ends=(), window=None)
    rows = [PromptRow(at, row[:-length], 50, at) for at, (row, length) in enumerate(atommem())]
    if how == "apart":
        generation.decodable = lambda _: False  # by transformers itself
    before, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    said = generation.complete(model.eval(), rows, generation.Turns(words), generation.Sampling(0.0), 10**6)
    spent = time.process_time() - started
    most_used = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    print(spent, most_used, sum(map(sum, said.values())), len(said))


def main() -> None:
    print("| shape | way | CPU s | ratio | MB above the model | sum of log-probabilities | gradient |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for shape in (*SHAPES, *WAYS):
        first = None
        for how in WAYS.get(shape, ("TRL", "padded", "shared")):
            done = subprocess.run(
                [sys.executable, __file__, shape, how], capture_output=True, text=True, check=True, timeout=900
            )
            spent, most, total, norm = map(float, done.stdout.split())
            first = spent if how in ("padded", "apart") else first
            ratio = f"{first / spent:.2f}" if first else ""
            print(f"| {shape} | {how} | {spent:.1f} | {ratio} | {most:.0f} | {total:.2f} | {norm:.3f} |")


if __name__ == "__main__":
    if sys.argv[1:]:
        measured(sys.argv[1], sys.argv[2])
    else:
        main()
