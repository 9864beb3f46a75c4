"""`atommem grpo` as a whole: resume, several processes, what it leaves behind, and what it refuses."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest
import torch
import warm
from commands import ATOMMEM, atommem
from ranks import free_port, together
from training_recipes import recipe

from atommem_cli.config.recipe import Recipe
from atommem_cli.core.errors import BackendError, MissingExtra, RecipeError, RunMismatch, SourceError, UsageError
from atommem_cli.core.files import read_lines
from atommem_cli.training import checkpoints, damage, grpo, trl_config


def metrics(folder: Path) -> list[dict[str, Any]]:
    """Every line without what a clock says."""
    lines = [line for _, line in read_lines(folder / "metrics.jsonl")]
    clocks = ("seconds", "time/", "step_time")
    return [{key: value for key, value in line.items() if not key.startswith(clocks)} for line in lines]


def command(given: Recipe, folder: Path) -> tuple[str, ...]:
    """What is typed behind `atommem`."""
    path = folder.parent / f"{folder.name}.yaml"
    path.write_text(given.dump())
    return ("grpo", "--recipe", str(path), "--out", str(folder), "--json")


def run(given: Recipe, folder: Path) -> Any:
    """What the command says of a training."""
    return json.loads(atommem(*command(given, folder), cwd=folder.parent).stdout)


# --- resume


@pytest.mark.timeout(900)
def test_a_training_killed_five_times_ends_with_the_same_weights(tmp_path: Path) -> None:
    given = recipe(
        "grpo.keep_rollouts=3", "chunk.tokens=18", max_steps=9, save_steps=1, save_total_limit=2, eval_on_start=True
    )
    calm = run(given, tmp_path / "calm")
    rough = tmp_path / "rough"
    for updates in (1, 2, 4, 5, 7):
        process = warm.start(command(given, rough))
        wait_for(rough, updates, process)
        process.kill()
        process.join()
    resumed = run(given, rough)
    weights = [where / "checkpoints" / "checkpoint-9" / "model.safetensors" for where in (rough, tmp_path / "calm")]
    assert weights[0].read_bytes() == weights[1].read_bytes()
    assert resumed["weights"] == calm["weights"]
    for mine, theirs in zip(metrics(rough), metrics(tmp_path / "calm"), strict=True):
        assert mine == theirs
    sessions = [line for _, line in read_lines(rough / "sessions.jsonl")]
    assert sum("begin" in line for line in sessions) == 6
    for step in ("step-00000", "step-00003", "step-00006"):
        kept = [where / "rollouts" / step / "summary.json" for where in (rough, tmp_path / "calm")]
        assert len({json.loads(file.read_text())["digest"] for file in kept}) == 1


def wait_for(folder: Path, updates: int, process: BaseProcess) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        assert process.exitcode is None, "it ended before it could be killed"
        path = folder / "metrics.jsonl"
        if path.exists() and path.read_text().count('"kind":"train"') >= updates:
            return
        time.sleep(0.01)
    raise AssertionError("no progress")


def test_a_checkpoint_that_a_kill_cut_short_is_not_resumed_from(tmp_path: Path) -> None:
    given = recipe(max_steps=3)
    calm = grpo.train(given, tmp_path / "calm")
    shutil.copytree(tmp_path / "calm", tmp_path / "cut")
    for name in ("summary.json", "model"):
        gone = tmp_path / "cut" / name
        shutil.rmtree(gone) if gone.is_dir() else gone.unlink()
    newest = tmp_path / "cut" / "checkpoints" / "checkpoint-3"
    (newest / damage.MARK).unlink()
    (newest / "trainer_state.json").write_text('{"global_')
    assert checkpoints.mend(tmp_path / "cut", best=True) == (newest.with_name("checkpoint-2"), [])
    assert grpo.train(given, tmp_path / "cut")["weights"] == calm["weights"]


@pytest.mark.parametrize("price", ["reward", "likelihood"])
def test_a_training_with_credit_goes_on_where_it_was(tmp_path: Path, price: str) -> None:
    rewarded = ("agent.name=memagent", "grpo.rewards={likelihood: 1.0}")
    given = recipe(*rewarded, f"grpo.credit={{name: operation, price: {price}}}", max_steps=3)
    calm = grpo.train(given, tmp_path / "calm")
    shutil.copytree(tmp_path / "calm", tmp_path / "cut")
    for name in ("summary.json", "model", "checkpoints/checkpoint-3"):
        gone = tmp_path / "cut" / name
        shutil.rmtree(gone) if gone.is_dir() else gone.unlink()
    assert grpo.train(given, tmp_path / "cut")["weights"] == calm["weights"]
    assert metrics(tmp_path / "cut") == metrics(tmp_path / "calm")
    assert 0 <= calm["operations_without_price"] < 1
    plain = grpo.train(recipe(*rewarded, max_steps=3), tmp_path / "plain")
    assert plain["weights"] != calm["weights"]
    assert "operations_without_price" not in plain


def test_a_finished_training_is_not_done_again(tmp_path: Path) -> None:
    given = recipe(max_steps=1)
    first = grpo.train(given, tmp_path / "run")
    before = (tmp_path / "run" / "model" / "model.safetensors").stat().st_mtime_ns
    assert grpo.train(given, tmp_path / "run") == first
    assert (tmp_path / "run" / "model" / "model.safetensors").stat().st_mtime_ns == before


# --- several processes


def launched(folder: Path, *arguments: str) -> None:
    """As the documents say it, on the CPU (gloo)."""
    flags = f"--multi_gpu --num_processes 2 --num_machines 1 --dynamo_backend no --main_process_port {free_port()}"
    launcher = (sys.executable, "-m", "accelerate.commands.launch", "--mixed_precision", "no", *flags.split())
    environment = {**os.environ, "ACCELERATE_USE_CPU": "true"}
    subprocess.run([*launcher, *ATOMMEM[1:], *arguments], env=environment, capture_output=True, check=True, timeout=240)


def warmed(folder: Path, *arguments: str) -> None:
    """What a launcher starts."""
    together(arguments, folder / "said")


@pytest.mark.parametrize(("beta", "start"), [(0.0, launched), (0.04, warmed)])
def test_two_processes_learn_what_one_does(tmp_path: Path, beta: float, start: Callable[..., None]) -> None:
    one = recipe(max_steps=2, per_device_train_batch_size=8, gradient_accumulation_steps=1, beta=beta)
    two = recipe(max_steps=2, per_device_train_batch_size=4, gradient_accumulation_steps=1, beta=beta)
    run(one, tmp_path / "one")
    start(tmp_path, *command(two, tmp_path / "two"))
    alone, together = (metrics(tmp_path / name) for name in ("one", "two"))
    assert [(line["kind"], line["step"]) for line in alone] == [(line["kind"], line["step"]) for line in together]
    for mine, theirs in zip(alone, together, strict=True):
        for key in ("loss", "grad_norm", "reward", "trajectory/rows", "trajectory/new_tokens", "batch/rows"):
            if key in mine:
                assert theirs[key] == pytest.approx(mine[key], rel=2e-4, abs=1e-7), key
    assert together[0]["trajectory/rows"] != int(together[0]["trajectory/rows"])  # unequal numbers of steps


@pytest.mark.parametrize("price", ["reward", "likelihood"])
def test_a_group_on_two_processes_has_one_centre(tmp_path: Path, price: str) -> None:
    words = (
        "agent.name=memagent",
        "grpo.rewards={likelihood: 1.0}",
        f"grpo.credit={{name: operation, price: {price}}}",
    )
    one = recipe(*words, max_steps=2, num_generations=8, per_device_train_batch_size=8, gradient_accumulation_steps=1)
    two = recipe(*words, max_steps=2, num_generations=8, per_device_train_batch_size=4, gradient_accumulation_steps=1)
    run(one, tmp_path / "one")
    warmed(tmp_path, *command(two, tmp_path / "two"))
    alone, together = (metrics(tmp_path / name) for name in ("one", "two"))
    keys = ("loss", "grad_norm", "credit/calls", "credit/priced", "credit/unknown", "credit/price/scratchpad")
    for mine, theirs in zip(alone, together, strict=True):
        if mine["kind"] == "train":
            assert mine["credit/calls"] > 0
            found, wanted = ([line[key] for key in keys] for line in (theirs, mine))
            assert found == pytest.approx(wanted, rel=2e-4, abs=1e-6)


# --- what it leaves behind


def test_checkpoints_play_by_themselves_and_kept_rollouts_are_runs(tmp_path: Path) -> None:
    out = tmp_path / "run"
    result = grpo.train(recipe("grpo.keep_rollouts=1", max_steps=2), out)
    assert result["updates"] == 2
    for policy in (out, out / "model", out / "checkpoints" / "checkpoint-1"):
        played = json.loads(atommem("eval", "--policy", str(policy), "--json", "--limit", "2", cwd=tmp_path).stdout)
        assert played["evaluated"] == 2
        assert played["setting"]["chunk"] == "9 tokens by tokens"  # from the recipe inside
    rollouts = out / "rollouts" / "step-00001"
    found = json.loads(atommem("replay", str(rollouts), "--retrieve", "--json", cwd=tmp_path).stdout)
    assert (found["episodes"], found["findings"]) == (8, [])
    assert "why questions were missed" in atommem("why", str(rollouts), cwd=tmp_path).stdout
    atommem("report", str(rollouts), cwd=tmp_path)
    assert (rollouts / "report.html").stat().st_size > 10_000
    kept = json.loads((rollouts / "summary.json").read_text())
    assert kept["evaluated"] == kept["planned"] == 8
    lines = [line for line in metrics(out) if line["kind"] == "train"]
    assert kept["steps"]["all"] / 8 == pytest.approx(lines[1]["trajectory/rows"])
    unclosed = kept["operations"].get("read", {}).get("unclosed", 0)
    assert unclosed / kept["steps"]["all"] == pytest.approx(lines[1]["ops/read/unclosed"])


def test_adapters_are_merged_into_a_model_that_plays(tmp_path: Path) -> None:
    given = recipe("grpo.lora={r: 4, lora_alpha: 8, target_modules: [q_proj, v_proj]}", max_steps=2, beta=0.01)
    result = grpo.train(given, tmp_path / "run")
    names = {file.name for file in (tmp_path / "run" / "model").iterdir()}
    assert {"model.safetensors", "config.json", "recipe.yaml"} <= names
    assert not any(name.startswith("adapter") for name in names)
    played = json.loads(
        atommem("eval", "--policy", str(tmp_path / "run"), "--json", "--limit", "2", cwd=tmp_path).stdout
    )
    assert played["policy"]["weights"] == result["weights"]


def test_adapters_on_adapters_start_from_what_the_first_ones_learned(tmp_path: Path) -> None:
    from atommem_cli.models.loading import load_model

    lora = "grpo.lora={r: 4, lora_alpha: 64, target_modules: [q_proj, v_proj]}"
    grpo.train(recipe(lora, max_steps=2, learning_rate=0.05), tmp_path / "first")
    checkpoint = tmp_path / "first" / "checkpoints" / "checkpoint-2"
    frozen = recipe(lora, f"policy.model={checkpoint}", max_steps=1, learning_rate=1e-30, beta=0.01)
    grpo.train(frozen, tmp_path / "second")
    before, after = (
        load_model(str(model), "auto").state_dict() for model in (checkpoint, tmp_path / "second" / "model")
    )
    fresh = load_model(str(tmp_path / "first" / "start"), "auto").state_dict()
    name = "model.layers.1.self_attn.q_proj.weight"
    assert torch.equal(before[name], after[name])
    assert not torch.equal(before[name], fresh[name])


def test_rewards_without_spread_are_warned_about_with_their_share(tmp_path: Path) -> None:
    result = grpo.train(recipe("grpo.rewards={em: 1.0}", max_steps=2), tmp_path / "run")  # noise answers nothing
    assert result["groups_without_spread"] == 1.0
    [warning] = grpo.warnings(result)
    assert warning.startswith("in 100% of the groups every rollout had the same reward")
    assert grpo.warnings({"groups_without_spread": 0.4}) == []


def test_what_prices_of_operations_taught_is_not_denied() -> None:
    flat = {"groups_without_spread": 0.75}
    (taught,) = grpo.warnings({**flat, "operations_without_price": 0.9})
    assert "in 75% of the groups every rollout had the same reward, so prices of operations alone taught" in taught
    nothing, neither = grpo.warnings({**flat, "operations_without_price": 1.0})
    assert nothing.startswith("no operation had a price, so grpo.credit taught nothing")
    assert "so they taught nothing" in neither
    assert grpo.warnings({"groups_without_spread": 0.4, "operations_without_price": 0.0}) == []


# --- what it refuses


@pytest.mark.parametrize(
    ("changes", "trainer", "sentence"),
    [
        (["policy={name: scripted, script: oracle}"], {}, r"training needs weights"),
        (["grpo.rewards={exact_match: 1}"], {}, r"no 'exact_match' in rewards"),
        (["grpo.rewards={em: 0}"], {}, r"at least one reward"),
        ([], {"learing_rate": 1.0}, r"grpo\.trainer\.learing_rate: unknown key; did you mean 'learning_rate'"),
        ([], {"seed": 1}, r"grpo\.trainer\.seed: atommem takes it from the recipe's seed"),
        ([], {"num_generations": 3}, r"groups of 3 do not divide a batch of 8"),
        ([], {"steps_per_generation": 4, "save_steps": 3}, r"save_steps: 3 is no multiple of 2"),
        ([], {"steps_per_generation": 3, "per_device_train_batch_size": 8}, r"an update would mix generations"),
        ([], {"loss_type": "grpo"}, r"loss_type: grpo takes means per row"),
        ([], {"top_k": 5}, r"top_k: only with use_vllm"),
        ([], {"lr_scheduler_type": "nonsense"}, r"grpo\.trainer: "),
        (
            [],
            {"scale_rewards": "nonsense"},
            r"grpo\.trainer\.scale_rewards: nonsense: choose one of group, batch, none",
        ),
        (["grpo.validation=3"], {"per_device_eval_batch_size": 2}, r"3 tasks cannot be shared evenly"),
        ([], {"per_device_train_batch_size": 64}, r"has 12 tasks and one update plays 32"),
        (["grpo.lora={rank: 4}"], {}, r"grpo\.lora\.rank: unknown key"),
        (["grpo.unit=step"], {"importance_sampling_level": "sequence"}, r"grpo\.unit: step works with"),
    ],
)
def test_a_wrong_recipe_is_one_sentence_before_weights_load(
    tmp_path: Path, changes: Sequence[str], trainer: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(UsageError, match=sentence) as caught:
        grpo.train(recipe(*changes, **trainer), tmp_path / "run")
    assert isinstance(caught.value, RecipeError | SourceError | UsageError)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("key", "value", "extra"), [("use_vllm", True, "vllm"), ("deepspeed", "z.json", "deepspeed")])
def test_a_missing_package_is_named_with_the_line_that_installs_it(
    tmp_path: Path, key: str, value: object, extra: str
) -> None:
    with pytest.raises(MissingExtra, match=rf"pip install 'atommem\[{extra}\]'"):
        trl_config.grpo(recipe(**{key: value}), tmp_path, validated=4, processes=1)


def test_a_disk_that_takes_no_checkpoint_is_one_sentence_and_loses_nothing(tmp_path: Path) -> None:
    given = recipe(max_steps=4, save_steps=2)
    arguments = command(given, tmp_path / "run")
    limited = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (400 * 1024,) * 2)"  # the weights take 600
    )
    failed = warm.atommem(arguments, tmp_path, 240, code=f"{limited}; from atommem_cli.cli import main; main()")
    assert failed.returncode == 3, failed.stderr
    complaints = [line for line in failed.stderr.splitlines() if line.startswith("atommem: ")]
    assert len(complaints) == 1
    assert "the disk did not take a model or a checkpoint" in complaints[0]
    assert "Traceback" not in failed.stderr
    assert run(given, tmp_path / "run")["updates"] == 4


def test_a_folder_of_another_recipe_is_refused_by_the_key_that_differs(tmp_path: Path) -> None:
    grpo.train(recipe(max_steps=1), tmp_path / "run")
    with pytest.raises(RunMismatch, match=r"these differ: recipe\.grpo\.trainer\.learning_rate"):
        grpo.train(recipe(max_steps=1, learning_rate=5e-4), tmp_path / "run")


def test_tokenizer_and_weights_that_do_not_belong_together_are_refused(tmp_path: Path) -> None:
    from atommem_cli.models import tiny

    small = tiny.build_tokenizer(("a", "b"))
    tiny.save(tmp_path / "model", tiny.build_model(small, 0), tiny.build_tokenizer(("a", "b", "c", "d")))
    with pytest.raises(UsageError, match=r"do not belong together"):
        grpo.train(recipe(f"policy.model={tmp_path / 'model'}"), tmp_path / "run")


def test_running_out_of_memory_advises(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from atommem_cli.training import trainer

    def hungry(*_: Any) -> None:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes")

    monkeypatch.setattr(trainer.TrajectoryGRPOTrainer, "_expand", hungry)
    with pytest.raises(BackendError, match=r"lower grpo\.micro_batch_tokens"):
        grpo.train(recipe(max_steps=1), tmp_path / "run")
