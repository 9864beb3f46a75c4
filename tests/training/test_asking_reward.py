"""A reward that asks a model about a whole batch."""

from __future__ import annotations

from pathlib import Path

import pytest
import training_recipes
import training_runs

from atommem_cli.core.errors import UsageError
from atommem_cli.training import grpo

GRADED = """
from atommem_cli import Expects, Message, Observation
from atommem_cli import Section as Options

helpers = ("grader",)

def build(options, ask):
    def graded(pairs):
        asked = [Observation((Message("user", task.id),), 4, Expects.ANSWER) for task, _ in pairs]
        return [float(reply.text) for reply in ask("grader", asked)]
    return graded
"""
GRADER = """
from pathlib import Path
from atommem_cli import Generation, WordTokenizer
from atommem_cli import Section as Options

class Grader:
    tokenizer, window, batch = WordTokenizer(), None, 8
    def __init__(self, options): pass
    def generate(self, calls):
        with Path("asked.txt").open("a") as file:
            print(len(calls), *(call.seed for call in calls), file=file)
        return [Generation(str(int(call.observation.messages[0].content[-1]) / 10)) for call in calls]
    def describe(self): return {"name": "grader"}

build, tokenizer, window = Grader, lambda _: WordTokenizer(), lambda _: None
"""


def test_it_asks_once_a_batch_and_what_it_says_is_learned_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("graded.py").write_text(GRADED)
    Path("grader.py").write_text(GRADER)
    rewards = "grpo.rewards={./graded.py: 1.0}"
    with pytest.raises(UsageError) as raised:
        grpo.train(training_recipes.recipe(rewards), tmp_path / "never")
    assert str(raised.value) == (
        "the reward ./graded.py asks a model that it calls grader, and the recipe names none: "
        "--set 'helpers.grader={name: hf, model: ...}'"
    )
    helper = "helpers.grader={name: ./grader.py}"
    grpo.train(training_recipes.recipe(rewards, helper, "grpo.validation=2", max_steps=1), tmp_path / "g")
    metrics = training_runs.metrics(tmp_path / "g")
    (learned,) = [line for line in metrics if line["kind"] == "train"]
    asked = [line.split() for line in Path("asked.txt").read_text().splitlines()]
    assert [line[0] for line in asked] == ["8", "2"]  # one update of 2 groups of 4, and the validation after it
    assert len(set(asked[0][1:])) == 2  # a draw depends on what is shown: the 4 of a group are asked the same here
    assert 0 <= learned["rewards/graded/mean"] <= 0.9
