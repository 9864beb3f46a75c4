"""Supervised fine-tuning: what the loss sees, what a kill costs (nothing), and what comes out."""

from __future__ import annotations

import json
import signal
from dataclasses import asdict
from pathlib import Path
from typing import Any

import demos
import pytest
import torch
import training_runs
import warm
from ranks import together
from transformers import AutoModelForCausalLM

from atommem_cli.config import command_line
from atommem_cli.core.errors import Interrupted, RecipeError, RunMismatch, UsageError
from atommem_cli.models.loading import digest_of_files, digest_of_tensors, weight_files
from atommem_cli.running import evaluation
from atommem_cli.runs.tables import Rates
from atommem_cli.training import demonstrations, learners, plan_sft, sft, sft_rows, trl_config
from atommem_cli.training.demonstrations import Demonstrations


def metrics(out: Path, kind: str = "train") -> list[dict[str, Any]]:
    """Lines of one kind, without their times."""
    lines = training_runs.metrics(out)
    return [{k: v for k, v in line.items() if k != "seconds"} for line in lines if line["kind"] == kind]


# --- what the loss sees


def test_the_loss_is_that_of_the_completions_alone(tmp_path: Path) -> None:
    """The first step over all rows equals the mean over completion tokens, computed row by row without padding."""
    recipe = demos.recipe("sft.holdout=0", max_steps=1, per_device_train_batch_size=500)
    learner = learners.load(recipe)
    found = demonstrations.collect(recipe, learner.words, None)
    losses = []
    with torch.no_grad():
        for row in found.rows:
            ids = torch.tensor([[*row.prompt, *row.completion]])  # (1, P + C)
            logps = learner.model(ids).logits[0, len(row.prompt) - 1 : -1].log_softmax(-1)  # (C, vocabulary)
            losses.append(-logps[torch.arange(len(row.completion)), torch.tensor(list(row.completion))])
    expected = torch.cat(losses)
    sft.train(recipe, tmp_path)
    (line,) = metrics(tmp_path)
    assert line["loss"] == pytest.approx(expected.mean().item(), abs=1e-5)
    assert line["num_tokens"] == sum(row.tokens for row in found.rows)


def test_prompts_carry_no_label(tmp_path: Path) -> None:
    from trl.trainer.sft_trainer import SFTTrainer

    recipe = demos.recipe()
    learner = learners.load(recipe)
    made = demonstrations.collect(recipe, learner.words, None).rows
    config = trl_config.sft(recipe, tmp_path, {**recipe.sft.trainer, "max_length": None})
    trainer = SFTTrainer(
        learner.model, config, train_dataset=sft_rows.dataset(made), processing_class=learner.words.tokenizer
    )
    seen = trainer.train_dataset
    assert [one["input_ids"] for one in seen] == [[*row.prompt, *row.completion] for row in made]
    assert [one["labels"] for one in seen] == [[-100] * len(row.prompt) + list(row.completion) for row in made]


def test_of_a_large_vocabulary_the_head_sees_no_more_than_the_completions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from trl.trainer import utils

    recipe = demos.recipe("sft.holdout=0", max_steps=1, per_device_train_batch_size=500)
    rows = demonstrations.collect(recipe, learners.load(recipe).words, None).rows
    losses, seen = [], []
    asked = utils._use_triton
    plain = utils._ChunkedLogProbFunction.apply
    monkeypatch.setattr(utils._ChunkedLogProbFunction, "apply", lambda h, *a: seen.append(len(h)) or plain(h, *a))
    for large in (10**6, 1):
        monkeypatch.setattr(sft, "_LARGE", large)
        sft.train(recipe, tmp_path / str(large))
        losses.append(metrics(tmp_path / str(large))[0]["loss"])
        assert utils._use_triton is asked
    assert seen[0] == len(rows) * (max(row.tokens for row in rows) - 1)
    assert seen[1:] == [sum(len(row.completion) for row in rows)]
    assert losses[1] == pytest.approx(losses[0], rel=1e-6)


# --- the plan


def test_the_plan_is_what_is_trained(tmp_path: Path) -> None:
    longest = sft.plan(demos.recipe()).longest
    recipe = demos.recipe(max_steps=None, num_train_epochs=2, gradient_accumulation_steps=3, max_length=longest - 1)
    plan = sft.plan(recipe)
    result = sft.train(recipe, tmp_path)
    found = demonstrations.collect(recipe, learners.load(recipe).words, longest - 1)
    training, validation = sft_rows.hold_out(found.rows, 0.2, recipe.seed)
    tokens = [(len(row.prompt), len(row.completion)) for row in training]
    counted = {name: value for name, value in asdict(plan).items() if name not in ("memory", "missing")}
    assert counted == {
        "trajectories": 12,
        "kept": found.kept,
        "tasks": len({row.task for row in found.rows}),
        "held_out": len({row.task for row in validation}),
        "rows": len(training),
        "validation_rows": len(validation),
        "dropped": found.dropped,
        "prompt_tokens": sum(prompt for prompt, _ in tokens),
        "completion_tokens": sum(completion for _, completion in tokens),
        "longest": max(row.tokens for row in found.rows),
        "recall_rows": 0,
        "updates": result["updates"],
        "processes": 1,
        "sharded": False,
        "epochs": 2,
    }
    assert plan.dropped > 0
    assert plan.held_out == 2
    assert metrics(tmp_path)[-1]["num_tokens"] == 2 * (plan.prompt_tokens + plan.completion_tokens)
    run = json.loads((tmp_path / "run.json").read_text())
    assert run["rows"] == sft_rows.digest(training, validation)
    text = sft.tables(plan, Rates((plan.prompt_tokens / 3600, 1)))[0].markdown()
    assert f"| hours, without validation | {2 + 2 * plan.completion_tokens / plan.prompt_tokens:.2f} |" in text
    assert f"| trajectories kept | {plan.kept} of 12 ({plan.share:.0%}) |" in text
    assert f"| updates | {plan.updates} |" in text


@pytest.mark.parametrize(
    ("trainer", "processes", "updates"),
    [
        ({"max_steps": 7}, 1, 7),
        ({"max_steps": -1}, 1, 18),
        ({"max_steps": -1}, 2, 9),
        ({"max_steps": -1, "dataloader_drop_last": True}, 2, 6),
        ({"max_steps": -1, "num_train_epochs": 0.5, "gradient_accumulation_steps": 2}, 1, 2),
    ],
)
def test_updates_are_counted_as_the_trainer_counts_them(
    trainer: dict[str, Any], processes: int, updates: int, tmp_path: Path
) -> None:
    recipe = demos.recipe(**trainer)
    made = [sft_rows.row("t", [1], [2])] * 45
    config = trl_config.sft(recipe, tmp_path, recipe.sft.trainer)
    found = Demonstrations(made, trajectories=1, kept=1)
    plan = plan_sft.count(recipe, found, made, [], config, processes)
    assert plan.updates == updates
    assert plan.epochs == pytest.approx(7 * 8 / 45 if trainer["max_steps"] == 7 else trainer.get("num_train_epochs", 3))


# --- validation


def test_the_best_by_held_out_tasks_is_kept(tmp_path: Path) -> None:
    """At a wild learning rate the last update is not the best one."""
    recipe = demos.recipe(max_steps=8, save_steps=2, learning_rate=1.0, lr_scheduler_type="constant", max_grad_norm=100)
    result = sft.train(recipe, tmp_path)
    measured = {line["step"]: line["loss"] for line in metrics(tmp_path, "validation")}
    assert list(measured) == [2, 4, 6, 8]
    best = min(measured, key=lambda step: measured[step])
    assert best != 8
    assert (result["best_update"], result["best_metric"]) == (best, measured[best])
    folders = (tmp_path / "model", tmp_path / f"checkpoints/checkpoint-{best}")
    kept, chosen = (AutoModelForCausalLM.from_pretrained(folder) for folder in folders)
    assert digest_of_tensors(kept) == digest_of_tensors(chosen)


def test_without_held_out_tasks_the_last_is_kept(tmp_path: Path) -> None:
    result = sft.train(demos.recipe("sft.holdout=0"), tmp_path)
    assert metrics(tmp_path, "validation") == []
    assert (result["updates"], result["best_update"], result["best_metric"]) == (4, None, None)


def test_the_recipes_own_rhythm_of_validation_wins(tmp_path: Path) -> None:
    result = sft.train(demos.recipe(eval_strategy="steps", eval_steps=1, load_best_model_at_end=False), tmp_path)
    assert [line["step"] for line in metrics(tmp_path, "validation")] == [1, 2, 3, 4]
    assert result["best_update"] is None
    off = tmp_path / "off"
    assert sft.train(demos.recipe(eval_strategy="no"), off)["best_update"] is None
    assert metrics(off, "validation") == []


# --- going on

KILLED = """
import os, signal, sys
from pathlib import Path
from atommem_cli.config import recipe as recipes
from atommem_cli.training import sft

left = int(sys.argv[3])

def progress(done, planned, remark):
    global left
    left -= 1
    if not left:
        os.kill(os.getpid(), signal.SIGKILL)

sft.train(recipes.load(sys.argv[1]), Path(sys.argv[2]), progress=progress)
"""


def killed(recipe: Path, out: Path, updates: int) -> None:
    """Train in a process that dies after so many updates of its own."""
    done = warm.atommem([str(recipe), str(out), str(updates)], out.parent, 120, code=KILLED)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert (done.stdout, done.stderr) == ("", "")  # the library does not print


def test_a_training_that_was_killed_ends_with_the_same_bits(tmp_path: Path) -> None:
    recipe = demos.recipe("sft.recall={rows: 32, trainer: {save_steps: 1}}", max_steps=8, save_steps=3)
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    expected = sft.train(recipe, whole)
    written = tmp_path / "demos.yaml"
    written.write_text(recipe.dump())
    killed(written, broken, 2)  # in the recall stage
    assert [path.name for path in (broken / "recall/checkpoints").glob("checkpoint-*")] == ["checkpoint-1"]
    killed(written, broken, 3 + 5)  # between two checkpoints of the stage proper
    assert (broken / "recall/model").is_dir()
    assert len(metrics(broken)) == 5 or len(metrics(broken)) == 4
    result = sft.train(recipe, broken)
    assert {k: v for k, v in result.items() if k not in ("seconds", "model")} == {
        k: v for k, v in expected.items() if k not in ("seconds", "model")
    }
    assert result["weights"] == digest_of_files(weight_files(str(whole / "model")))
    for stage in ("", "recall"):
        assert metrics(broken / stage) == metrics(whole / stage)
        assert metrics(broken / stage, "validation") == metrics(whole / stage, "validation")
    assert len((broken / "sessions.jsonl").read_text().splitlines()) == 4  # three begun, one ended


def test_what_was_stopped_goes_on(tmp_path: Path) -> None:
    def stop(done: int, planned: int, remark: str) -> None:
        if done == 3:
            raise KeyboardInterrupt

    whole = sft.train(demos.recipe(), tmp_path / "whole")
    with pytest.raises(Interrupted, match="goes on from the last checkpoint in"):
        sft.train(demos.recipe(), tmp_path / "broken", progress=stop)
    assert sft.train(demos.recipe(), tmp_path / "broken")["weights"] == whole["weights"]


TWO = """
import json, sys
from pathlib import Path
from atommem_cli.config import recipe as recipes
from atommem_cli.training import distributed, sft

result = sft.train(recipes.load(sys.argv[1]), Path(sys.argv[2]))
Path(f"{sys.argv[2]}/said-{distributed.own()}.json").write_text(json.dumps(result))
"""


def test_two_processes_do_the_same_updates_as_one_with_twice_the_batch(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    keywords: dict[str, Any] = {"max_steps": 2, "save_steps": 2, "train_sampling_strategy": "sequential"}
    recipe = demos.recipe(**keywords)
    sft.train(demos.recipe(**keywords, per_device_train_batch_size=16), one)
    (tmp_path / "demos.yaml").write_text(recipe.dump())
    printed = together([str(tmp_path / "demos.yaml"), str(two)], tmp_path / "printed", code=TWO)
    assert printed[::2] == ["", ""]
    for ours, theirs in zip(metrics(two), metrics(one), strict=True):
        assert ours["loss"] == pytest.approx(theirs["loss"], abs=1e-4)
        assert ours["num_tokens"] == theirs["num_tokens"]
    said = [json.loads((two / f"said-{rank}.json").read_text()) for rank in (0, 1)]
    assert said[0] == said[1] == json.loads((two / "summary.json").read_text())
    assert json.loads((two / "run.json").read_text())["processes"] == 2
    assert len((two / "sessions.jsonl").read_text().splitlines()) == 2
    with pytest.raises(RunMismatch, match="processes"):
        sft.train(recipe, two)


def test_a_finished_training_is_not_done_again(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    recipe = demos.recipe()
    first = sft.train(recipe, tmp_path)
    assert capfd.readouterr() == ("", "")
    before = demos.contents(tmp_path)
    updates: list[int] = []
    assert sft.train(recipe, tmp_path, progress=lambda done, *_: updates.append(done)) == first
    after = demos.contents(tmp_path)
    assert updates == []
    assert {name for name in after if after[name] != before.get(name)} == {"sessions.jsonl"}
    with pytest.raises(RunMismatch, match=r"recipe\.sft\.min_reward"):
        sft.train(demos.recipe("sft.min_reward=0.25"), tmp_path)


def test_a_kill_after_the_last_update_costs_nothing(tmp_path: Path) -> None:
    recipe = demos.recipe()
    first = sft.train(recipe, tmp_path)
    (tmp_path / "summary.json").unlink()
    (tmp_path / "model/model.safetensors").write_bytes(b"half")
    updates: list[int] = []
    again = sft.train(recipe, tmp_path, progress=lambda done, *_: updates.append(done))
    assert updates == []
    assert again["weights"] == first["weights"]


# --- what comes out


def test_an_adapter_comes_out_as_a_whole_model_that_plays(tmp_path: Path) -> None:
    lora = "sft.lora={r: 4, lora_alpha: 8, target_modules: [q_proj, v_proj]}"
    recipe = demos.recipe(lora, learning_rate=0.05, max_steps=6)
    result = sft.train(recipe, tmp_path / "lora")
    assert not list((tmp_path / "lora/model").glob("adapter_*"))
    start, learned = (AutoModelForCausalLM.from_pretrained(tmp_path / "lora" / name) for name in ("start", "model"))
    before, after = start.state_dict(), learned.state_dict()
    changed = {name.split(".")[-2] for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"q_proj", "v_proj"}
    assert digest_of_tensors(start) == json.loads((tmp_path / "lora/run.json").read_text())["start"]
    assert result["best_metric"] < metrics(tmp_path / "lora")[0]["loss"]
    played = command_line.meant(None, str(tmp_path / "lora"), {"task.limit": 2}, [])
    found = evaluation.evaluate(played, tmp_path / "eval")
    assert found["policy"]["weights"] == result["weights"]


# --- refusals


@pytest.mark.parametrize(
    ("kind", "changes", "trainer", "told"),
    [
        (UsageError, ("policy={name: scripted, script: mute}",), {}, "training needs weights"),
        (UsageError, ("sft.rewards={en: 1}",), {}, "sft.rewards: no 'en' in rewards; did you mean 'em'?"),
        (RecipeError, (), {"learning_rat": 1}, "sft.trainer.learning_rat: unknown key; did you mean"),
        (RecipeError, (), {"completion_only_loss": False}, "sft.trainer.completion_only_loss: atommem takes it from"),
        (RecipeError, ("sft.lora={rank: 4}",), {}, "sft.lora.rank: unknown key"),
        (RecipeError, ("sft.recall={rows: 8, trainer: {optimizer: x}}",), {}, "sft.recall.trainer.optimizer: unknown"),
        (
            UsageError,
            ("sft.recall={rows: 8}", "policy.model=some/model"),
            {},
            "tiny and tiny_agemem alone",
        ),
        (RecipeError, (), {"eval_steps": 3, "save_steps": 2, "eval_strategy": "steps"}, "sft.trainer: "),
        (UsageError, ("sft.runs=[]",), {}, "name the folder of at least one run"),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence_before_anything_is_written(
    kind: type[Exception], changes: tuple[str, ...], trainer: dict[str, Any], told: str, tmp_path: Path
) -> None:
    recipe = demos.recipe(*changes, **trainer)
    for attempt in (lambda: sft.train(recipe, tmp_path / "out"), lambda: sft.plan(recipe)):
        with pytest.raises(kind) as raised:
            attempt()
        assert told in str(raised.value)
        assert "\n" not in str(raised.value)
    assert not (tmp_path / "out").exists()


def test_keywords_that_do_not_go_together_are_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"sft\.trainer: When packing is enabled, `max_length` can't be `None`"):
        sft.train(demos.recipe(packing=True), tmp_path)
