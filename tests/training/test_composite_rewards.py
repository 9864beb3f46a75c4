"""A training whose recipe names a composite tells how each of its parts does."""

from __future__ import annotations

from pathlib import Path

import pytest
import training_recipes
import training_runs

from atommem_cli.scoring import rewards
from atommem_cli.training import grpo


def test_the_metrics_have_the_mean_of_every_part(tmp_path: Path) -> None:
    given = training_recipes.recipe(
        "agent={name: agemem, dialect: tiny, context_tokens: 150}",
        "policy.model=tiny_agemem",
        "grpo.rewards={agemem_coded: 1.0, agemem_maintenance: 0.5}",
        "grpo.validation=2",
        max_steps=1,
    )
    grpo.train(given, tmp_path / "g")
    lines = training_runs.metrics(tmp_path / "g")
    (learned,) = [line for line in lines if line["kind"] == "train"]
    mean = {name: learned[f"rewards/{name}/mean"] for name in rewards.with_parts(given.grpo.rewards)}
    assert mean.keys() == {"agemem_coded", "agemem_maintenance", *rewards.PARTS["agemem_coded"]}
    assert learned["reward"] == pytest.approx(mean["agemem_coded"] + 0.5 * mean["agemem_maintenance"], abs=1e-6)
    # No sum of this batch is clipped: means are weighed as the sums are.
    context = sum(mean[f"agemem_coded_{name}"] for name in ("compression", "preventive", "preservation")) / 3
    memory = sum(mean[f"agemem_coded_{name}"] for name in ("storage", "maintenance", "relevance")) / 3
    parts = 0.5 * mean["agemem_task"] + 0.2 * mean["agemem_coded_tool"] + 0.15 * context + 0.15 * memory
    assert mean["agemem_coded"] == pytest.approx(parts + mean["budget"], abs=1e-6)
    (held_out,) = [line for line in lines if line["kind"] == "validation"]
    assert mean.keys() <= {name.removeprefix("rewards/").removesuffix("/mean") for name in held_out}
