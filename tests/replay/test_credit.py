"""`atommem credit` on runs that are not whole, that somebody else works on, or that were priced before."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from atommem_cli.config import recipe as recipes
from atommem_cli.core.errors import RunMismatch, UsageError
from atommem_cli.data import preparation
from atommem_cli.replay import credit
from atommem_cli.running import evaluation
from atommem_cli.runs.reader import Run


@pytest.fixture
def played(tmp_path: Path) -> Path:
    preparation.prepare("stream", out=tmp_path / "data", split="validation", limit=3, seed=3)
    policy = "policy={name: scripted, script: careful}"
    changes = [f"task.folder={tmp_path / 'data'}", "store={name: exact}", policy]
    evaluation.evaluate(recipes.load("tiny-sloppy", changes), tmp_path / "run")
    return tmp_path / "run"


def scorers(run: Path) -> list[str]:
    return [json.loads(line)["scorer"] for line in (run / "credit.jsonl").read_text().splitlines()]


def test_prices_by_another_scorer_stay(played: Path) -> None:
    credit.credit(Run(played), "em")
    alone = (played / "credit.jsonl").read_text()
    credit.credit(Run(played), "f1")
    count = len(alone.splitlines())
    assert scorers(played) == ["em"] * count + ["f1"] * count
    credit.credit(Run(played), "em")
    assert scorers(played) == ["f1"] * count + ["em"] * count
    assert (played / "credit.jsonl").read_text().endswith(alone)


def test_what_is_not_there_any_more_is_told_and_costs_no_price(played: Path) -> None:
    credit.credit(Run(played))
    before = (played / "credit.jsonl").read_bytes()
    steps = played / "steps.jsonl"
    lines = steps.read_bytes().splitlines(keepends=True)
    steps.write_bytes(b"")
    with pytest.raises(UsageError, match=r"none of its 3 episodes has ended yet; steps\.jsonl lacks steps of 3 more"):
        credit.credit(Run(played))
    assert (played / "credit.jsonl").read_bytes() == before
    steps.write_bytes(b"".join(lines[:-1]))
    (last,) = {json.loads(lines[-1])["episode"]}
    found = credit.credit(Run(played))
    assert "(unfinished, 2 of 3 episodes; steps.jsonl lacks steps of 1 more)" in credit.table(found).title
    assert last not in (played / "credit.jsonl").read_text()


def test_one_process_at_a_time(played: Path) -> None:
    run = Run(played)
    with run.held(), pytest.raises(RunMismatch, match="another atommem process is working on this run"):
        credit.credit(run)
    assert not (played / "credit.jsonl").exists()


def test_rollouts_of_a_training_have_no_policy_to_ask(played: Path) -> None:
    mark = played / "run.json"
    known = json.loads(mark.read_text())
    mark.write_text(json.dumps({**known, "command": "grpo", "policy": {"name": "grpo: somewhere/model"}}))
    with pytest.raises(RunMismatch, match="the model that played these rollouts was trained on since, and is not kept"):
        credit.credit(Run(played))
