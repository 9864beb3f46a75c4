"""`--plan`: what it counts, bounds and estimates, against what is played."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from commands import atommem, complaint

from atommem_cli.ablation import runner
from atommem_cli.config import recipe as recipes
from atommem_cli.config.recipe import Recipe
from atommem_cli.core.chunking import Span, WordTokenizer
from atommem_cli.data import preparation
from atommem_cli.policies import scripted
from atommem_cli.running import costing, evaluation


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("home")
    preparation.prepare("stream", out=folder / "data" / "stream", split="validation", limit=4)
    return folder


def recipe(home: Path, *changes: str) -> Recipe:
    policy = "policy={name: scripted, script: mute}"
    return recipes.load(
        "tiny-sloppy", [f"task.folder={home / 'data' / 'stream'}", "store={name: exact}", policy, *changes]
    )


@pytest.mark.parametrize("agent", ["atommem", "memagent", "rag", "closed_book"])
def test_a_policy_that_says_nothing_takes_what_the_low_figures_say(home: Path, tmp_path: Path, agent: str) -> None:
    planned = recipe(home, f"agent.name={agent}", "task.limit=2")  # both are played for the estimate
    cost = costing.plan(planned)
    totals = evaluation.evaluate(planned, tmp_path / "run")["totals"]
    assert (cost.calls_low, cost.prompt_tokens_low) == (totals["calls"], totals["prompt_tokens"])
    assert (cost.embedded_low > 0) == (agent == "rag")


def test_what_cannot_read_is_not_asked_again(home: Path) -> None:
    costs = dict(runner.plan(recipe(home, "ablate={drop: [storage], chunk_tokens: [], retrieve_k: []}")))
    assert costs["base"].calls_high > costs["base"].calls_low
    assert costs["without-storage"].calls_high == costs["without-storage"].calls_low == costs["base"].calls_low
    few = costing.plan(recipe(home, "budget.reads=1"))
    assert few.calls_high == few.calls_low + few.episodes


def test_arms_do_not_cut_the_tasks_again(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many arms there are: each task is made into tokens once, and a few are played."""
    texts: list[str] = []

    class Counting(WordTokenizer):
        def spans(self, text: str) -> list[Span]:
            texts.append(text)
            return super().spans(text)

    monkeypatch.setattr(scripted, "WordTokenizer", Counting)
    several = "ablate={drop: [], chunk_tokens: [4, 8, 16], retrieve_k: [2, 4, 8]}"
    assert len(runner.plan(recipe(home, several))) == 9
    whole = max(texts, key=len)
    assert texts.count(whole) == 1


def test_a_judge_has_a_row_and_all_have_one_together(home: Path) -> None:
    judge = ("--set", "eval.judge={name: scripted}", "--set", "eval.scorers=[em, judge]", "--policy", "scripted:mute")
    told = ("--tokens-per-second", "1000,10", "--price", "0.5,2")
    lines = atommem("eval", *judge, "--plan", *told, cwd=home).stdout.splitlines()
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines if line.startswith("|")]
    assert [row[0] for row in rows] == ["agent", "---", "atommem", "atommem: judge", "together"]
    assert rows[0][-2:] == ["hours", "price"]
    (own, judged) = json.loads(atommem("eval", *judge, "--plan", "--json", cwd=home).stdout)
    assert judged["calls_low"] == own["questions"] == 4
    assert judged["prompt_tokens_low"] > 4 * 50


def test_what_is_missing_here_is_found_first_and_rates_are_numbers(home: Path) -> None:
    missing = ("--set", "task.folder=nowhere", "--set", "policy={name: hf, model: no/such}", "--plan")
    for command in ("eval", "ablate"):
        assert "nowhere" in complaint(command, *missing, cwd=home)
    for words in (("--price", "nan"), ("--price", "1,2,3"), ("--tokens-per-second", "0")):
        assert f"{words[0]} {words[1]}: expected a number" in complaint("eval", "--plan", *words, cwd=home)


def test_a_server_whose_tokens_are_not_known_is_told_to_be_counted_in_words(home: Path) -> None:
    server = "policy={name: openai_server, url: 'http://nobody.invalid/v1', model: m}"
    (told,) = costing.remarks([recipe(home), recipe(home, server)])
    assert told.startswith("policy.tokenizer is not set")
    assert told in atommem("eval", "--plan", "--set", server, cwd=home).stderr
    assert costing.remarks([recipe(home), recipe(home, server, "policy.tokenizer=some/model")]) == []


COLD = """
import sys
from atommem_cli.cli import commands
for command in ("eval", "ablate"):
    sys.argv = ["atommem", command, "--policy", "scripted:oracle", "--plan"]
    assert commands.run() == 0
heavy = {"torch", "transformers", "trl", "accelerate", "datasets", "chromadb", "pandas", "matplotlib"}
print("loaded:", *sorted(heavy & {*sys.modules}))
"""


def test_the_plan_of_a_script_loads_nothing_heavy(home: Path) -> None:
    assert atommem(cwd=home, code=COLD).stdout.splitlines()[-1] == "loaded:"
