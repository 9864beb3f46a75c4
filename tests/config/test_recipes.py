"""The shipped recipes: they load, say what their sources say, and speak TRL's and accelerate's own keywords."""

from __future__ import annotations

import dataclasses
import itertools
import re
import shlex
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from training_recipes import staged

from atommem_cli.config import recipe as recipes
from atommem_cli.config.recipe import Recipe
from atommem_cli.scoring import metrics, rewards
from atommem_cli.training import plan_grpo, trl_config

FOLDER = recipes.shipped()["tiny"].parent
LAUNCHERS = sorted((FOLDER / "accelerate").glob("*.yaml"))
TRAINED = {
    "agemem-4b": (8, 16, 8),
    "agemem-7b": (8, 16, 8),
    "agemem-coded": (8, 16, 8),
    "agemem-tiny": (1, 8, 8),
    "memory-r1-tiny": (1, 16, 8),
    "0.6b": (1, 8, 8),
    "8b": (8, 16, 16),
    "8b-script": (8, 8, 8),
    "smoke": (1, 2, 2),
    "small-cpu-grpo": (1, 8, 8),
}
"""Processes that a recipe is written for; tasks and rollouts per update that it says it has."""
SFT_ROWS = {"agemem-4b": 64, "agemem-7b": 64, "agemem-coded": 64, "agemem-tiny": 32}  # of the large ones none is known
SFT_ROWS |= {"0.6b": 16, "8b": 16, "8b-script": 16, "smoke": 8, "small-cpu-grpo": 8, "memory-r1-tiny": 32}


def local(name: str, *changes: str) -> Recipe:
    """A recipe without vLLM, which is not installed everywhere."""
    return recipes.load(name, ["grpo.trainer.use_vllm=false", *changes])


@pytest.mark.parametrize("name", recipes.shipped())
def test_every_recipe_loads_by_its_name_and_round_trips(name: str, tmp_path: Path) -> None:
    recipe = recipes.load(name)
    assert recipe.name == name
    (tmp_path / "again.yaml").write_text(recipe.dump())
    assert recipes.load(str(tmp_path / "again.yaml")) == recipe
    never = metrics.never(recipe.agent.model_extra)
    rewards.check(recipe.grpo.rewards, "grpo.rewards", never)
    rewards.check(recipe.sft.rewards, "sft.rewards", never)


@pytest.mark.parametrize("name", TRAINED)
def test_trl_takes_a_recipe_and_makes_the_documented_batches_of_it(name: str, tmp_path: Path) -> None:
    recipe = local(name)
    processes, tasks, rollouts = TRAINED[name]
    config = trl_config.grpo(recipe, tmp_path, validated=recipe.grpo.validation or 0, processes=processes)
    at_once = config.per_device_train_batch_size * config.steps_per_generation * processes
    assert (at_once / config.num_generations, config.num_generations) == (tasks, rollouts)
    assert config.steps_per_generation * config.num_iterations == config.gradient_accumulation_steps, "on-policy"
    sft = trl_config.sft(recipe, tmp_path, recipe.sft.trainer)
    assert sft.per_device_train_batch_size * sft.gradient_accumulation_steps * processes == SFT_ROWS[name]
    if recipe.sft.recall is not None:
        trl_config.sft(recipe, tmp_path, {**recipe.sft.trainer, **recipe.sft.recall.trainer})
    if recipes.load(name).grpo.trainer.get("use_vllm"):
        room = recipe.chunk.tokens + 2 * recipe.chunk.overlap + recipe.limits.reply
        assert recipe.grpo.trainer["vllm_max_model_length"] > room


def test_8b_is_table_7(tmp_path: Path) -> None:
    """Papers.md 1.7, first column."""
    recipe = local("8b")
    trl = trl_config.grpo(recipe, tmp_path, validated=64, processes=8)
    policy, embedder = recipe.policy.model_extra or {}, recipe.embedder.model_extra or {}
    assert (recipe.seed, policy["model"]) == (42, "Qwen/Qwen3-8B")
    assert (trl.learning_rate, trl.epsilon, trl.epsilon_high) == (1e-6, 0.2, 0.28)
    assert (trl.beta, trl.entropy_coef, trl.scale_rewards, trl.num_iterations) == (0.0, 0.0, "none", 1)
    assert (trl.loss_type, recipe.grpo.unit, trl.max_steps) == ("dapo", "token", 100)
    assert (recipe.chunk.tokens, recipe.chunk.overlap, recipe.chunk.most, recipe.memory.retrieve_k) == (
        4000,
        100,
        40,
        6,
    )
    assert (policy["temperature"], policy["top_p"], recipe.limits.reads) == (0.7, 1.0, 3)
    assert (embedder["model"], embedder["pooling"]) == ("Qwen/Qwen3-Embedding-0.6B", "last")
    assert embedder["query_instruction"].endswith("\nQuery:")
    assert recipe.agent.model_extra == {"dialect": "paper"}
    sft = trl_config.sft(recipe, tmp_path, recipe.sft.trainer)
    assert (sft.num_train_epochs, sft.learning_rate, recipe.sft.min_reward) == (3, 2e-5, 0.5)


def test_8b_script_is_the_released_script(tmp_path: Path) -> None:
    """Papers.md 1.7, second column."""
    recipe = local("8b-script")
    trl = trl_config.grpo(recipe, tmp_path, validated=64, processes=8)
    assert (trl.learning_rate, trl.warmup_steps, trl.lr_scheduler_type.value) == (1e-6, 20, "constant_with_warmup")
    assert (trl.weight_decay, trl.max_grad_norm, trl.epsilon, trl.epsilon_high) == (0.01, 1.0, 0.2, 0.28)
    assert (trl.delta, trl.beta, trl.scale_rewards, trl.loss_type) == (3.0, 0.001, "none", "dapo")
    assert (trl.temperature, trl.top_p, trl.max_completion_length) == (1.0, 0.99, 4096)
    assert (trl.save_steps, trl.eval_steps, trl.num_train_epochs) == (10, 20, 5)
    assert recipe.agent.model_extra == {"dialect": "released"}
    assert recipe.grpo.rewards == {"boxed_em": 1.0}


@pytest.mark.parametrize(("name", "model"), [("agemem-7b", "Qwen2.5-7B-Instruct"), ("agemem-4b", "Qwen3-4B-Instruct")])
def test_agemem_is_the_paper(name: str, model: str, tmp_path: Path) -> None:
    """Papers.md 2.1 to 2.4; where it is silent, 2.5."""
    recipe = local(name)
    trl = trl_config.grpo(recipe, tmp_path, validated=64, processes=8)
    agent, policy = recipe.agent.model_extra or {}, recipe.policy.model_extra or {}
    assert model in policy["model"]
    assert (recipe.limits.reply, agent["context_tokens"], agent["filter_threshold"]) == (2048, 8192, 0.6)
    assert (agent["filter"], agent["summary"], agent["retrieval"]) == ("embedder", "policy", "first")
    assert (recipe.memory.retrieve_k, recipe.chunk.tokens, recipe.chunk.by) == (3, 1, "documents")
    assert (trl.num_generations, trl.beta, trl.scale_rewards, trl.max_steps) == (8, 0.1, "group", 100)
    assert (recipe.grpo.rewards, recipe.grpo.lora) == ({"agemem_paper": 1.0}, None)


def test_agemem_coded_is_the_code(tmp_path: Path) -> None:
    """Papers.md 2.5."""
    recipe = local("agemem-coded")
    trl = trl_config.grpo(recipe, tmp_path, validated=64, processes=8)
    agent, policy = recipe.agent.model_extra or {}, recipe.policy.model_extra or {}
    assert (agent["version"], agent["retrieval"], agent["filter"], agent["summary"]) == (
        "coded",
        "never",
        *["helper"] * 2,
    )
    assert (agent["context_tokens"], agent["context_share"], agent["counting"]) == (8192, 0.8, "characters")
    assert (agent["again"], recipe.limits.reads + 1, agent["sentences"]) == ("calls", 5, 10)
    assert {*recipe.helpers} == {"filter", "summary"}
    assert (trl.beta, trl.epsilon, trl.learning_rate, trl.num_train_epochs) == (0.001, 0.2, 1e-5, 20)
    assert (trl.temperature, policy["temperature"], recipe.seed, recipe.limits.reply) == (0.6, 0.8, 42, 2048)
    assert recipe.grpo.lora == {"r": 32, "lora_alpha": 32}
    assert recipe.grpo.rewards == {"agemem_coded": 1.0}


def test_agemem_tiny_is_scored_on_tasks_that_neither_taught_nor_chose_its_model() -> None:
    """By its header: the scored tasks are of another seed, in a folder of their own."""
    recipe = local("agemem-tiny")
    commands = _commands(FOLDER / "agemem-tiny.yaml", "atommem")
    made = {_after(words, "--out"): words for words in commands if words[1] == "prepare"}
    learned = {recipe.task.folder, *(_folder(words) for words in commands if "task.split=train" in words)}
    [scored] = {_folder(words) for words in commands if words[1] == "eval" and "--recipe" not in words}
    assert learned < made.keys(), "learned from and chosen by"
    assert scored in made.keys() - learned
    assert _after(made[scored], "--seed") not in {str(recipe.seed), *_seeds(made[folder] for folder in learned)}


@pytest.mark.parametrize("name", ["agemem-4b", "agemem-7b", "agemem-coded"])
def test_an_agemem_training_can_be_planned(name: str) -> None:
    here = ("policy.model=tiny_agemem", "embedder={name: hashing}", f"task.folder={staged()}", "grpo.lora=null")
    plan = plan_grpo.grpo(local(name, *here), processes=8, sharded=True)
    assert (plan.trajectories, plan.rollouts) == (128, 8)
    stages = {"agemem-coded": 1}.get(name, 4) + 2  # messages of stage 1, the two distractors
    assert plan.rows.low == stages + 1
    assert plan.memory is not None


@pytest.mark.parametrize(("advantage", "capped"), [(1.0, False), (-1.0, True)])
def test_trls_delta_is_verls_dual_clip(advantage: float, capped: bool) -> None:
    """As 8b-script.yaml claims; both losses written out, over ratios on both sides of every bound."""
    import torch

    ratio = torch.arange(0.15, 8, 0.1, dtype=torch.float64).requires_grad_()  # no kink is hit exactly
    clipped = ratio.clamp(0.8, 1.28)
    trl = -torch.min(ratio.clamp(max=3.0) * advantage, clipped * advantage)
    plain = torch.max(-ratio * advantage, -clipped * advantage)
    verl = torch.min(plain, torch.full_like(plain, -3.0 * advantage)) if advantage < 0 else plain
    assert torch.equal(trl, verl)
    gradients = [torch.autograd.grad(loss.sum(), ratio, retain_graph=True)[0] for loss in (trl, verl)]
    assert torch.equal(*gradients)
    assert bool((plain > verl).any()) is capped


# --- recipes/accelerate


@pytest.mark.parametrize("path", LAUNCHERS, ids=lambda path: path.stem)
def test_accelerate_reads_its_own_files(path: Path) -> None:
    from accelerate.commands.config.config_args import load_config_from_file

    config = load_config_from_file(str(path))
    assert (config.mixed_precision, config.num_processes) == ("bf16", {"nodes": 16}.get(path.stem, 8))
    assert path.stem not in recipes.shipped()


@pytest.mark.parametrize("path", LAUNCHERS, ids=lambda path: path.stem)
def test_the_commands_in_their_comments_are_what_accelerate_launches(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every `accelerate launch` line is parsed by accelerate's own parser, up to the environment of a process."""
    from accelerate.commands.launch import _validate_launch_command, launch_command_parser
    from accelerate.utils import FullyShardedDataParallelPlugin
    from accelerate.utils.launch import prepare_deepspeed_cmd_env, prepare_multi_gpu_env

    monkeypatch.chdir(FOLDER.parent)
    commands = [words for words in _commands(path) if "accelerate" in words]
    assert commands
    for words in commands:
        start = words.index("accelerate") + 2
        args, config, _ = _validate_launch_command(launch_command_parser().parse_args(words[start:]))
        assert args.module
        assert args.training_script == "atommem_cli.cli"
        assert Path(_after(args.training_script_args, "--recipe")).is_file()
        if args.use_deepspeed:
            args.deepspeed_fields_from_accelerate_config = ",".join(config.deepspeed_config)  # as `launch` does
            _, environment = prepare_deepspeed_cmd_env(args)
            assert environment["ACCELERATE_DEEPSPEED_ZERO_STAGE"] == "3"
            continue
        assert args.use_fsdp
        for key, value in prepare_multi_gpu_env(args).items():
            if key.startswith("FSDP_"):
                monkeypatch.setenv(key, value)
        plugin = FullyShardedDataParallelPlugin()
        assert (plugin.fsdp_version, plugin.reshard_after_forward) == (2, True)
        assert plugin.state_dict_type.name == "FULL_STATE_DICT"
        assert plugin.cpu_ram_efficient_loading


@pytest.mark.parametrize("path", LAUNCHERS, ids=lambda path: path.stem)
def test_the_changes_in_their_comments_are_keys_and_keep_the_batch(path: Path, tmp_path: Path) -> None:
    for words in _commands(path):
        if "grpo" not in words:
            continue
        changes = [after for word, after in itertools.pairwise(words) if word == "--set"]
        recipe = local("8b", *changes, "grpo.trainer.use_vllm=false")
        machines = {"nodes": 16}.get(path.stem, 8)
        processes = int(_after(words, "--num_processes")) if "--num_processes" in words else machines
        config = trl_config.grpo(recipe, tmp_path, validated=64, processes=processes)
        assert config.per_device_train_batch_size * config.steps_per_generation * processes == 256


def test_the_vllm_server_is_started_as_trls_trainer_wants_it() -> None:
    from trl.scripts.vllm_serve import ScriptArguments, build_command

    [words] = [words for words in _commands(FOLDER / "accelerate" / "node.yaml") if "serve" in words]
    wanted = build_command(ScriptArguments(model="Qwen/Qwen3-8B"))
    for option in ("--weight-transfer-config", "--logprobs-mode", "--max-logprobs"):
        assert _after(words, option) == _after(wanted, option)
    assert "VLLM_SERVER_DEV_MODE=1" in words
    from trl.trainer.grpo_config import GRPOConfig

    text = (FOLDER / "accelerate" / "nodes.yaml").read_text()
    named = set(re.findall(r"grpo\.trainer\.(\w+)=", text))
    assert named <= {field.name for field in dataclasses.fields(GRPOConfig)}


def _folder(words: list[str]) -> str:
    """That a command names for its tasks."""
    return next(word.removeprefix("task.folder=") for word in words if word.startswith("task.folder="))


def _seeds(commands: Iterable[list[str]]) -> set[str]:
    return {_after(words, "--seed") for words in commands if "--seed" in words}


def _commands(path: Path, *starts: str) -> list[list[str]]:
    """The commands in a file's comments, continued lines joined."""
    lines = [line[1:].strip() for line in path.read_text().splitlines() if line.startswith("#")]
    text = "\n".join(lines).replace("\\\n", " ")
    begin = starts or ("accelerate launch", "CUDA_VISIBLE_DEVICES=")
    return [shlex.split(line) for line in text.splitlines() if line.startswith(begin)]


def _after(words: list[str] | Any, option: str) -> str:
    return str(words[list(words).index(option) + 1])


@pytest.mark.parametrize(("said", "temperature"), [("", 0.0), (", temperature: 0.3", 0.3)])
def test_a_judge_is_greedy_unless_it_is_told_otherwise_and_a_policy_is_as_its_plug_in_says(
    said: str, temperature: float
) -> None:
    served = "name: openai_server, url: 'http://localhost:1/v1', model: m"
    recipe = recipes.load("smoke", [f"policy={{{served}}}", f"eval.judge={{{served}{said}}}"])
    assert recipe.eval.judge is not None
    assert (recipe.eval.judge.model_extra or {})["temperature"] == temperature
    assert (recipe.policy.model_extra or {})["temperature"] == 0.7
