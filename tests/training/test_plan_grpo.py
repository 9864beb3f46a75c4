"""What `--plan` says of a training, against what really happens."""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from training_recipes import data, recipe
from transformers import Qwen3Config, Qwen3ForCausalLM

from atommem_cli.config.recipe import Recipe
from atommem_cli.core.errors import UsageError
from atommem_cli.data.files import read_tasks
from atommem_cli.models import tiny, words
from atommem_cli.replay import operation_prices
from atommem_cli.running import costing
from atommem_cli.running.build import assemble
from atommem_cli.runs.tables import Rates
from atommem_cli.scoring import rewards
from atommem_cli.training import memory_estimate, plan_grpo, plan_tables
from atommem_cli.training.plan_tables import DeviceMemory

QWEN = {
    "8B": {"hidden_size": 4096, "intermediate_size": 12288, "num_hidden_layers": 36, "num_attention_heads": 32},
    "0.6B": {"hidden_size": 1024, "intermediate_size": 3072, "num_hidden_layers": 28, "num_attention_heads": 16},
}
PARAMETERS = {"8B": 8_190_735_360, "0.6B": 596_049_920}
GIB = 2**30


def shaped(folder: Path, name: str) -> Recipe:
    """A recipe whose model is the configuration of a Qwen3, without weights."""
    config = Qwen3Config(
        vocab_size=151_936,
        head_dim=128,
        num_key_value_heads=8,
        tie_word_embeddings=name == "0.6B",
        dtype="bfloat16",
        architectures=["Qwen3ForCausalLM"],
        **QWEN[name],
    )
    config.save_pretrained(folder)
    return recipe(f"policy.model={folder}", gradient_checkpointing=None)


def per_parameter(memory: DeviceMemory) -> float:
    """Bytes of what persists through an update."""
    names = ("weights", "gradients", "optimiser states (AdamW)")
    return sum(part.bytes for part in memory.parts if part.name in names) / memory.parameters


def part(memory: DeviceMemory, name: str) -> float:
    return sum(part.bytes for part in memory.parts if part.name == name)


def test_parameters_are_counted_without_weights(tmp_path: Path) -> None:
    for name, count in PARAMETERS.items():
        memory = memory_estimate.estimate(shaped(tmp_path / name, name), "grpo", tokens=1000)
        assert memory.parameters == memory.trained == count


def test_bytes_per_parameter_are_those_of_zero(tmp_path: Path) -> None:
    given = shaped(tmp_path, "8B")
    full = memory_estimate.estimate(given.changed(["policy.dtype=float32"]), "grpo", tokens=1000)
    assert per_parameter(full) == 16
    assert per_parameter(memory_estimate.estimate(given, "grpo", tokens=1000)) == 8  # stored and trained in bf16
    shared = memory_estimate.estimate(given, "grpo", tokens=1000, processes=8, sharded=True)
    assert per_parameter(shared) == 16 / 8
    alone = memory_estimate.estimate(given, "grpo", tokens=1000, processes=8, sharded=False)
    assert per_parameter(alone) == 8, "data parallelism alone shares nothing"


def test_a_reference_model_lora_and_vllm_change_the_sum(tmp_path: Path) -> None:
    given = shaped(tmp_path, "0.6B")
    plain = memory_estimate.estimate(given, "grpo", tokens=1000)
    compared = memory_estimate.estimate(given.changed(["grpo.trainer.beta=0.001"]), "grpo", tokens=1000)
    assert part(compared, "reference model") == 2 * PARAMETERS["0.6B"]
    adapted = given.changed(["grpo.trainer.beta=0.001", "grpo.lora={r: 8, target_modules: [q_proj]}"])
    lora = memory_estimate.estimate(adapted, "grpo", tokens=1000)
    assert lora.trained == 28 * 8 * (1024 + 2048)
    assert part(lora, "reference model") == 0, "the base model without adapters is the reference"
    assert part(lora, "weights") == 2 * PARAMETERS["0.6B"] + 4 * lora.trained
    assert lora.peak < plain.peak
    served = given.changed(["grpo.trainer.use_vllm=true", "grpo.trainer.vllm_gpu_memory_utilization=0.4"])
    memory = memory_estimate.estimate(served, "grpo", tokens=1000)
    assert (memory.vllm, part(memory, "key-value cache")) == (0.4, 0)
    assert plain.vllm == 0
    cached = 2 * 28 * 8 * 128 * 2 * 32_768  # keys and values, layers, heads, width, bytes, tokens
    assert part(plain, "key-value cache") == cached


def test_sft_is_estimated_by_its_own_section(tmp_path: Path) -> None:
    given = shaped(tmp_path, "0.6B").changed(["grpo.trainer.beta=0.1"])
    memory = memory_estimate.estimate(given, "sft", tokens=1000)
    assert part(memory, "reference model") == part(memory, "key-value cache") == 0


SIZES = [
    {"hidden_size": 192, "intermediate_size": 576, "num_hidden_layers": 4, "num_attention_heads": 6},
    {"hidden_size": 128, "intermediate_size": 512, "num_hidden_layers": 8, "num_attention_heads": 4},
]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("dtype", "checkpointing"), [("float32", True), ("bfloat16", True), ("float32", False)])
def test_activations_are_those_that_torch_allocates(
    size: dict[str, int], dtype: str, checkpointing: bool, tmp_path: Path
) -> None:
    """The forward and backward pass of a whole backbone on the CPU, 4 rows of 512 tokens, one of them padded."""
    config = Qwen3Config(vocab_size=64, head_dim=32, num_key_value_heads=2, dtype=dtype, **size)
    model = Qwen3ForCausalLM(config).to(getattr(torch, dtype)).train()
    if checkpointing:
        model.gradient_checkpointing_enable()
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    ids = torch.randint(0, 64, (4, 512))
    mask = torch.ones_like(ids)
    mask[0, :128] = 0

    def update() -> None:
        model.model(input_ids=ids, attention_mask=mask, use_cache=False).last_hidden_state.float().sum().backward()

    update()
    config.architectures = ["Qwen3ForCausalLM"]
    config.save_pretrained(tmp_path)
    changes = [f"policy.model={tmp_path}", "policy.device=cpu"]
    memory = memory_estimate.estimate(
        recipe(*changes, gradient_checkpointing=checkpointing), "grpo", tokens=ids.numel()
    )
    assert part(memory, "activations") == pytest.approx(_peak(update), rel=0.15)


def _peak(work: Any) -> int:
    """Most bytes that were allocated at once beyond those before."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as seen:
        work()
    events = [event for event in seen.profiler.kineto_results.events() if event.name() == "[memory]"]
    now = most = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        now += event.nbytes()
        most = max(most, now)
    return most


def test_the_plan_bounds_what_is_really_played() -> None:
    given = recipe()
    plan = plan_grpo.grpo(given)
    assert (plan.tasks, plan.sampled, plan.rollouts, plan.trajectories) == (12, 12, 4, 8)
    parts = assemble(given)
    try:
        played = list(parts.play(parts.episodes(read_tasks(data() / "train"))))
    finally:
        parts.close()
    rows = sum(len(trajectory.transitions) for trajectory in played) / len(played)
    assert plan.rows.low <= rows <= plan.rows.high
    shown = sum(trajectory.usage.prompt_tokens for trajectory in played) / sum(len(t.transitions) for t in played)
    assert plan.prompt.low <= shown <= plan.prompt.high
    tokens = sum(trajectory.usage.prompt_tokens + trajectory.usage.new_tokens for trajectory in played)
    assert plan.tokens.low <= plan.trajectories * tokens / len(played) <= plan.tokens.high
    assert 1 <= plan.micro_batches.low <= plan.micro_batches.high


def test_the_plan_bounds_what_pricing_operations_really_asks() -> None:
    given = recipe("grpo.credit.name=operation")
    plan = plan_grpo.grpo(given)
    assert plan.pricing
    assert plan.pricing.calls.low == plan.pricing.prompts.low == 0
    assert plan.pricing.calls.high == pytest.approx(8 * (plan.rows.high - 1) * 2)  # one question, which may read once
    assert plan.pricing.replies == 4 * plan.pricing.calls.high
    scripted = given.changed(["policy={name: scripted, script: careful}"])
    with closing(assemble(scripted)) as parts:
        tasks = read_tasks(data() / "train")
        played = [(task, trajectory) for task in tasks for trajectory in parts.play(parts.episodes([task]))]
        calls = operation_prices.prices(parts, played, rewards.of("em")).calls
    assert 0 < calls < plan.pricing.calls.high * len(played) / 8
    shown = plan_tables.tables(plan, Rates((1 / 36, 1 / 360)))[0].markdown()
    assert f"one a reply at most | 0 to {plan.pricing.calls.high:,.0f} |" in shown
    most = (plan.pricing.prompts.high + 10 * plan.pricing.replies) * 2 / 100
    assert f"| hours of pricing operations | 0.00 to {most:,.2f} |" in shown
    assert plan_grpo.grpo(recipe()).pricing is None


def test_prices_by_likelihood_take_a_score_for_each_operation_and_one_for_the_episode() -> None:
    plan = plan_grpo.grpo(recipe("grpo.credit={name: operation, price: likelihood}"))
    assert plan.pricing
    assert (plan.pricing.calls.low, plan.pricing.replies) == (8, 0)
    assert plan.pricing.calls.high == pytest.approx(8 * plan.rows.high)
    both = plan_grpo.grpo(recipe("grpo.credit.name=operation", "grpo.rewards={em: 1.0, likelihood: 0.1}"))
    assert both.pricing
    assert both.pricing.calls.high == pytest.approx(8 * (plan.rows.high - 1) * 3)


@pytest.mark.parametrize(
    ("trainer", "processes"),
    [
        ({}, 1),
        ({"steps_per_generation": 4, "num_iterations": 3, "save_steps": 6}, 1),
        ({"generation_batch_size": 24, "gradient_accumulation_steps": 1}, 1),
        ({"gradient_accumulation_steps": 1}, 4),
    ],
)
def test_batches_and_updates_are_counted_as_trl_counts_them(
    trainer: dict[str, Any], processes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from trl.trainer.grpo_config import GRPOConfig
    from trl.trainer.utils import RepeatSampler

    keywords = {"per_device_train_batch_size": 4, "num_generations": 4, "gradient_accumulation_steps": 2, **trainer}
    monkeypatch.setattr(GRPOConfig, "world_size", processes)
    config = GRPOConfig(output_dir=str(tmp_path), bf16=False, use_cpu=True, **keywords)
    rollouts, trajectories, per_generation = plan_grpo.batches(keywords, processes)
    assert (rollouts, trajectories) == (config.num_generations, config.generation_batch_size)
    tasks, steps = 23, config.steps_per_generation
    sampler = RepeatSampler(range(tasks), rollouts, trajectories // rollouts, config.num_iterations * steps)
    loaded = len(sampler) // trajectories  # batches that the loader hands to every process
    assert tasks * rollouts // trajectories * per_generation == loaded // config.gradient_accumulation_steps


def test_updates_follow_from_epochs_where_no_limit_is_set() -> None:
    epochs = {"max_steps": None, "num_train_epochs": 2}
    assert plan_grpo.grpo(recipe(**epochs)).updates == 2 * (12 * 4 // 8)
    assert plan_grpo.grpo(recipe()).updates == 2


def test_tables_show_everything_in_words() -> None:
    shown = "\n".join(table.markdown() for table in plan_tables.tables(plan_grpo.grpo(recipe())))
    assert "8 (2 tasks x 4 rollouts)" in shown
    assert "| together, at most |" in shown
    assert "0.2 M parameters, all trained" in shown


def test_hours_are_those_of_all_generations_from_no_reply_to_the_longest() -> None:
    given = recipe()
    plan = plan_grpo.grpo(given)
    assert plan.replies == pytest.approx(8 * costing.plan(given.changed(["task.split=train"])).new_tokens_high / 12)
    low, high = 2 * plan.tokens.low, 2 * (plan.tokens.high - plan.replies) + 10 * 2 * plan.replies
    shown = plan_tables.tables(plan, Rates((1 / 36, 1 / 360)))[0].markdown()
    assert f"| hours of playing, without updates | {low / 100:,.2f} to {high / 100:,.2f} |" in shown
    assert "hours" not in plan_tables.tables(plan)[0].markdown()


def test_sentences_say_what_processes_mean_and_that_no_device_suffices(tmp_path: Path) -> None:
    small = plan_grpo.grpo(recipe())
    assert plan_tables.sentences(small, smaller="a batch") == []
    large = replace(small, memory=memory_estimate.estimate(shaped(tmp_path, "8B"), "grpo", tokens=32_768))
    (alone,) = plan_tables.sentences(large, smaller="a batch")
    assert large.memory
    assert alone.startswith(f"No device of 78 GiB holds it: {large.memory.peak / GIB:,.2f} GiB")
    assert "--processes N --sharded" in alone
    assert "a smaller a batch" in alone
    several = plan_tables.sentences(replace(large, processes=8, sharded=True), smaller="a batch")
    assert several[0].startswith("Counted for 8 processes with a device and a share of the weights")
    assert "more processes" in several[1]


def test_a_device_must_hold_the_share_of_vllm_too() -> None:
    parts = (plan_tables.Part("weights", 30, "always"), plan_tables.Part("gradients", 30, "update"))
    asleep = DeviceMemory(1, 1, parts, 0.5, vllm_sleeps=True)
    assert asleep.needed == replace(asleep, vllm=0.0).needed == 60
    assert replace(asleep, vllm=0.6).needed == pytest.approx(75)
    assert replace(asleep, vllm_sleeps=False).needed == 120


def test_without_a_configuration_rows_and_tokens_are_still_there(tmp_path: Path) -> None:
    model, found = words.load(recipe().plugin("policy")[1])
    tiny.save(tmp_path, model, found.tokenizer)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "not_known_yet"}))
    plan = plan_grpo.grpo(recipe(f"policy.model={tmp_path}"))
    assert plan.memory is None
    assert plan.rows == plan_grpo.grpo(recipe()).rows
    assert "the model's configuration is needed" in plan.missing
    assert plan.missing in plan_tables.tables(plan)[0].markdown()


def test_a_policy_without_weights_is_refused() -> None:
    with pytest.raises(UsageError, match="training needs weights"):
        plan_grpo.grpo(recipe("policy={name: scripted}"))
