"""What `--plan` says of tokens that rows share, against prompts that are really written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from training_recipes import data, recipe
from transformers import Qwen3Config

from atommem_cli.config.recipe import Recipe
from atommem_cli.core.types import Trajectory
from atommem_cli.data.files import read_tasks
from atommem_cli.models import tiny
from atommem_cli.running.build import assemble
from atommem_cli.training import plan_grpo, plan_tables
from atommem_cli.training.plan_tables import GrpoPlan

GROWING = str(Path(__file__).parents[1] / "support" / "growing.py")


def planned(*changes: str) -> GrpoPlan:
    return plan_grpo.grpo(recipe(*changes))


def prefixes(given: Recipe, played: list[Trajectory]) -> int:
    """Nodes, counted as the different beginnings of prompts and replies."""
    spans, found = given.tokenizer().spans, set()
    for trajectory in played:
        for step in trajectory.transitions:
            texts = [*(f"{m.role} : {m.content}" for m in step.observation.messages), step.generation.text]
            row = tuple(text[a:b] for text in texts for a, b in spans(text))
            found |= {row[:end] for end in range(1, len(row) + 1)}
    return len(found)


def test_the_plan_bounds_the_nodes_of_what_is_really_played() -> None:
    given = recipe("eval.repeats=4", "policy.temperature=1.0")
    plan = plan_grpo.grpo(given)
    parts = assemble(given)
    try:
        groups = [list(parts.play(parts.episodes([task]))) for task in read_tasks(data() / "train")]
    finally:
        parts.close()
    assert {len(group) for group in groups} == {plan.rollouts} == {4}
    nodes = sum(prefixes(given, group) for group in groups) / len(groups) * plan.trajectories / plan.rollouts
    assert plan.nodes
    assert plan.nodes.low <= nodes <= plan.nodes.high
    assert plan.nodes.low < plan.tokens.low
    assert plan.nodes.high < plan.tokens.high


def test_prompts_that_nothing_changes_are_shared_whole() -> None:
    plan = planned("agent.name=closed_book")
    assert plan.nodes
    assert plan.beginning == plan.prompt.low
    groups = plan.trajectories / plan.rollouts
    assert plan.nodes.low == groups * plan.prompt.low
    assert plan.nodes.high == pytest.approx(groups * plan.prompt.low + plan.replies)


def test_the_order_of_a_prompt_decides_what_there_is_to_share() -> None:
    usual, early = (planned(f"agent.dialect={name}") for name in ("paper", "paper_shared"))
    assert usual.prompt.low == pytest.approx(early.prompt.low, rel=0.01)
    assert usual.beginning
    assert early.beginning
    assert early.beginning > usual.beginning + 9  # the chunk
    assert usual.nodes
    assert early.nodes
    assert early.nodes.high < usual.nodes.high


def test_a_conversation_shares_its_own_beginning_too() -> None:
    grown = planned(f"agent.name={GROWING}")
    assert grown.nodes
    assert grown.tokens.high / grown.nodes.high > 1.5 * _ratio(planned())


def _ratio(plan: GrpoPlan) -> float:
    assert plan.nodes
    return plan.tokens.high / plan.nodes.high


def model(folder: Path, **changes: Any) -> str:
    tokenizer = tiny.build_tokenizer(tiny.MARKS)
    tokenizer.save_pretrained(folder)
    Qwen3Config(vocab_size=99, hidden_size=8, num_hidden_layers=1, **changes).save_pretrained(folder)
    return f"policy.model={folder}"


@pytest.mark.parametrize(
    ("config", "changes", "why"),
    [
        ({}, ["grpo.share_prefixes=false"], "grpo.share_prefixes is off"),
        ({"attention_dropout": 0.1}, [], "its attention drops out at random"),
        (
            {},
            ["grpo.lora={r: 2, lora_dropout: 0.1, target_modules: [q_proj]}"],
            "it drops out at random (base_model.model.model.layers.0.self_attn.q_proj.lora_dropout.default)",
        ),
    ],
    ids=["off", "dropout", "adapters"],
)
def test_where_nothing_is_shared_the_plan_says_why(
    config: dict[str, Any], changes: list[str], why: str, tmp_path: Path
) -> None:
    named = model(tmp_path, **config)
    plan = planned(named, *changes)
    assert (plan.nodes, plan.beginning, plan.apart) == (None, None, why)
    shown = plan_tables.tables(plan)[0].markdown()
    assert f"| tokens per generation that are computed | all: {why} |" in shown
    assert planned(model(tmp_path)).apart == ""


def test_the_table_says_what_sharing_saves_in_tokens_hours_and_micro_batches() -> None:
    plan = planned()
    shown = plan_tables.tables(plan, plan_tables.Rates((1000, 500)))[0].markdown()
    assert plan.nodes
    assert f"| {plan.nodes.low:,.0f} to {plan.nodes.high:,.0f} |" in shown
    assert f"| {_ratio(plan):,.1f} to {plan.tokens.low / plan.nodes.low:,.1f} |" in shown
    assert "| likewise, what prompts share read once | " in shown
    assert plan.micro_batches.high == -(-plan.nodes.high // 600)
    apart = planned("grpo.share_prefixes=false")
    assert apart.micro_batches.high == -(-apart.tokens.high // 600)
