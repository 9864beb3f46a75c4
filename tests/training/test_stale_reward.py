"""GRPO by Supersede's reward: an update runs, and the metrics have its mean in its own range."""

from __future__ import annotations

import json
from pathlib import Path

import training_recipes
import training_runs

from atommem_cli.data import preparation
from atommem_cli.training import grpo


def test_a_training_by_it_runs_and_is_validated_by_it(tmp_path: Path) -> None:
    for split, limit in (("train", 4), ("validation", 2)):
        options = {"docs": 4, "people": 2, "hinges": {"supersede": 1.0}, "hops": {1: 1.0}}
        preparation.prepare("stream", out=tmp_path / "data", split=split, options=options, limit=limit, seed=1)
    given = training_recipes.recipe(
        f"task.folder={tmp_path / 'data'}",
        "grpo.rewards={stale: 1.0, format: 0.5}",
        "grpo.validation=2",
        "eval.scorers=[em, stale]",
        "grpo.keep_rollouts=1",
        max_steps=1,
    )
    grpo.train(given, tmp_path / "g")
    lines = training_runs.metrics(tmp_path / "g")
    (learned,) = [line for line in lines if line["kind"] == "train"]
    mean = learned["rewards/stale/mean"]
    assert -1 <= mean <= 1
    assert abs(learned["reward"] - mean - 0.5 * learned["rewards/format/mean"]) < 1e-6
    assert all("rewards/stale/mean" in line for line in lines if line["kind"] == "validation")
    (kept,) = (tmp_path / "g" / "rollouts").iterdir()
    named = json.loads((kept / "summary.json").read_text())["named"]["all"]
    assert abs(named["current"]["mean"] - named["stale"]["mean"] - mean) < 1e-6
