"""Arms take replies from the base's journal, and come out as if they had asked."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from atommem_cli.ablation import heard, runner
from atommem_cli.config import recipe as recipes
from atommem_cli.config.recipe import Recipe
from atommem_cli.core.calls import Generation
from atommem_cli.core.episode import Call
from atommem_cli.data import preparation
from atommem_cli.policies.hf import HuggingFace
from atommem_cli.running import evaluation
from atommem_cli.running.build import assemble
from atommem_cli.runs import writer
from atommem_cli.runs.reader import Run

ABLATE = "ablate={drop: [scratchpad, create], how: noop, chunk_tokens: [], retrieve_k: []}"
ARMS = ("without-scratchpad-noop", "without-create-noop")


@pytest.fixture(scope="module")
def tasks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tasks")
    preparation.prepare("stream", out=folder, split="validation", limit=6, seed=5)
    return folder


def recipe(tasks: Path, *changes: str) -> Recipe:
    """A fresh model, whose noise now and then is an operation."""
    given = [f"task.folder={tasks}", "store={name: exact}", "policy.temperature=1.0", "limits.reply=120"]
    return recipes.load("tiny-sloppy", [*given, ABLATE, *changes])


class Asked:
    """Calls of the model."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls: list[Call] = []
        plain = HuggingFace.generate

        def generate(policy: HuggingFace, calls: Sequence[Call]) -> list[Generation]:
            self.calls.extend(calls)
            return plain(policy, calls)

        monkeypatch.setattr(HuggingFace, "generate", generate)


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_arms_come_out_as_if_they_had_asked(
    temperature: float, tasks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given, asked = recipe(tasks, f"policy.temperature={temperature}"), Asked(monkeypatch)
    runner.play(given, tmp_path / "out")
    runs = {name: Run(tmp_path / "out" / "arms" / name) for name in ("base", *ARMS)}
    calls = {name: sum(line["usage"]["calls"] for line in run.episodes.values()) for name, run in runs.items()}
    prompts = {
        arm: {(name, line["step"], line["prompt"]) for name in run.episodes for line in run.steps(name)}
        for arm, run in runs.items()
    }
    new = [one for arm in ARMS for one in prompts[arm] - prompts["base"]]
    assert bool(new) == (temperature > 0), "noise now and then is an operation"
    assert len(asked.calls) == calls["base"] + len(new) < sum(calls.values()) / 2
    for name, run in runs.items():
        evaluation.evaluate(run.recipe, tmp_path / name)
        alone = Run(tmp_path / name)
        assert writer.digest(alone.episodes.values()) == writer.digest(run.episodes.values())
        assert all(alone.steps(one)[0]["reply"] == run.steps(one)[0]["reply"] for one in run.episodes)


@pytest.mark.parametrize(
    "change",
    ["policy.temperature=0.5", "limits.reply=7", "budget.new_tokens=50", "policy={name: scripted}", "seed=8"],
)
def test_where_replies_may_be_others_the_policy_is_asked(change: str, tasks: Path, tmp_path: Path) -> None:
    base = recipe(tasks, "task.limit=1")
    evaluation.evaluate(base, tmp_path)
    changed = base.changed([change])
    policy = assemble(changed).policy
    assert heard.of(policy, changed, base, tmp_path) is policy
    same = assemble(base).policy
    assert heard.of(same, base.changed(["memory.retrieve_k=1"]), base, tmp_path).describe() == same.describe()
    assert heard.of(same, base.changed(["memory.retrieve_k=1"]), base, tmp_path) is not same
