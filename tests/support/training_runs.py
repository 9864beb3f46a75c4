"""Training runs: folders as `atommem sft` and `atommem grpo` leave them, made up, and what such folders hold."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np


def folder(
    path: Path, lines: Sequence[Mapping[str, Any]], *, command: str = "grpo", recipe: Mapping[str, Any] | None = None
) -> Path:
    """A training folder with these lines of metrics."""
    path.mkdir(parents=True)
    identity = {"schema": 1, "command": command, "recipe": recipe or {"seed": 42}}
    (path / "run.json").write_text(json.dumps(identity))
    (path / "recipe.yaml").write_text("name: tiny\nseed: 42\n")
    (path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def metrics(path: Path) -> list[dict[str, Any]]:
    """The lines of metrics of a training."""
    return [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]


def grpo(path: Path, *, steps: int = 100, seed: int = 0) -> Path:
    """A run whose metrics move like those of the paper's Figures 3 and 4."""
    rng = np.random.default_rng(seed)
    lines: list[dict[str, Any]] = []
    for step in range(steps + 1):
        share = step / max(1, steps)
        seconds = {"seconds": 31.0 * step}
        if step % 10 == 0:
            lines.append(
                {"step": step, "kind": "validation", **seconds, **_scores(0.03 + share, rng.normal(0, 0.01))}
                | _operations(share, rng, 0.02)
            )
        if step:
            lines.append(
                {"step": step, "kind": "train", **seconds, **_scores(share, rng.normal(0, 0.05))}
                | _operations(share, rng, 0.1)
                | _housekeeping(share, rng)
            )
    return folder(path, lines, recipe={"seed": seed})


def sft(path: Path, *, steps: int = 60, seed: int = 0) -> Path:
    """A run whose loss falls."""
    rng = np.random.default_rng(seed)
    lines: list[dict[str, Any]] = []
    for step in range(1, steps + 1):
        loss = 0.4 + 1.8 * np.exp(-step / 12)
        if step % 12 == 0:
            scores = {"loss": loss + 0.05, "mean_token_accuracy": 0.97 - 0.2 * loss}
            lines.append({"step": step, "kind": "validation", "seconds": 2.0 * step, **scores})
        noisy = loss * float(rng.lognormal(0, 0.08))
        rest = {"entropy": 0.6 * loss, "learning_rate": 1e-5 * (1 - step / steps), "grad_norm": 2 * noisy}
        scores = {"loss": noisy, "mean_token_accuracy": 0.98 - 0.2 * noisy, "num_tokens": 4096 * step}
        lines.append({"step": step, "kind": "train", "seconds": 2.0 * step, **scores, **rest})
    return folder(path, lines, command="sft")


def _scores(share: float, noise: float) -> dict[str, float]:
    exact = 0.30 + 0.36 * (1 - float(np.exp(-2.2 * share))) + noise
    shape = 0.72 + 0.24 * (1 - float(np.exp(-6 * share))) + noise / 3
    return {"reward": exact + 0.1 * shape, "rewards/em/mean": exact, "rewards/format/mean": shape}


def _operations(share: float, rng: np.random.Generator, noise: float) -> dict[str, float]:
    levels = {
        "create": (3.2 + share, "over_budget", 0.2),
        "read": (0.36 - 0.4 * share + 0.27 * share**2, "noop", 0.05),
        "update": (0.2 + 0.16 * share, "invalid_target", 0.25 * (1 - share) ** 2),
        "delete": (0.017 + 0.01 * share, "stale_target", 0.012 * (1 - share)),
        "scratchpad": (0.9, "malformed", 0.2 * (1 - share) ** 3),
    }
    lines = {}
    for kind, (level, outcome, failed) in levels.items():
        lines[f"ops/{kind}/ok"] = level * float(rng.lognormal(0, noise))
        lines[f"ops/{kind}/{outcome}"] = failed * float(rng.lognormal(0, noise))
    return lines


def _housekeeping(share: float, rng: np.random.Generator) -> dict[str, float]:
    wobble = [float(value) for value in rng.lognormal(0, 0.08, 16)]
    return {
        "reward_std": 0.2 * (1 - 0.5 * share) * wobble[0],
        "frac_reward_zero_std": min(1.0, (0.1 + 0.3 * share) * wobble[1]),
        "loss": 0.002 * (wobble[2] - 1),
        "grad_norm": 0.8 * wobble[3],
        "entropy": 0.9 * float(np.exp(-share)) * wobble[4],
        "learning_rate": 1e-6 * min(1.0, 10 * share),
        "memory/entries": (24 + 10 * share) * wobble[5],
        "memory/scratchpad_tokens": 220 * wobble[6],
        "memory/reads_again": 0.4 * wobble[7],
        "trajectory/rows": 9.5 * wobble[8],
        "trajectory/prompt_tokens": 48_000 * wobble[9],
        "trajectory/new_tokens": 2_900 * wobble[10],
        "trajectory/answered": min(1.0, (0.85 + 0.15 * share) * wobble[11]),
        "batch/rows": 610 * wobble[12],
        "batch/padding": 0.18 * wobble[13],
        "batch/skipped": 0.12 * wobble[14],
        "batch/shared": 1.6 * wobble[5],
        "time/generate": 19 * wobble[15],
        "time/environment": 2.2 * wobble[2],
        "time/train": 9.5 * wobble[3],
    }
