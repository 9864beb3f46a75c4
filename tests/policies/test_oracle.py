"""The oracle answers what its prompt proves: the query is its own word, and an entry that says the same is not."""

from __future__ import annotations

import json
import re
import shutil
from importlib import resources
from pathlib import Path

import pytest

from atommem_cli.config import recipe as recipes
from atommem_cli.data import preparation
from atommem_cli.running import evaluation


@pytest.mark.parametrize("shown", [True, False])
def test_its_score_is_the_ceiling_whether_a_dialect_shows_the_query_or_not(
    shown: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    preparation.prepare("stream", out="data/stream", limit=20, options={"questions": 2})
    words = (resources.files("atommem_cli") / "dialects" / "tiny.yaml").read_text(encoding="utf-8")
    Path("mine.yaml").write_text(words if shown else re.sub(r"  query: .*\n", "", words), encoding="utf-8")
    changes = ["agent.dialect=./mine.yaml", "policy={name: scripted, script: oracle}", "store={name: exact}"]
    told = evaluation.evaluate(recipes.load("tiny", changes), Path("run"))
    assert told["scores"]["em"]["mean"] == 1.0


WIKI = [
    "Everybody has 25 days of leave. It is paid.",
    "The office is in Tartu. It has a kitchen.",
    "Everybody has 127 mugs. From May on there are 27 days of leave.",
]


def own_run(script: str, agent: str, asked: list[tuple[str, str]]) -> tuple[list[str], int]:
    """The answers to questions about a wiki without gold facts, and how many entries were kept."""
    documents = [{"title": f"Page {at}", "text": text} for at, text in enumerate(WIKI)]
    questions = [{"question": question, "answer": answer} for question, answer in asked]
    Path("wiki.json").write_text(json.dumps([{"documents": documents, "questions": questions}]), encoding="utf-8")
    preparation.prepare("records", source="wiki.json", out="data/wiki")
    changes = [
        f"agent={{name: {agent}, dialect: paper}}", f"policy={{name: scripted, script: {script}}}",
        "store={name: exact}", "task.folder=data/wiki", "limits.reply=400", "limits.answer=60",
    ]  # fmt: skip
    evaluation.evaluate(recipes.load("tiny", changes), Path("run"))
    (episode,) = map(json.loads, Path("run/episodes.jsonl").read_text(encoding="utf-8").splitlines())
    return [answer["text"] for answer in episode["answers"]], episode["usage"]["entries"]


def test_without_gold_facts_a_sentence_with_the_answer_is_the_proof(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is proved by nothing: who keeps nothing, or reads nothing, answers nothing."""
    monkeypatch.chdir(tmp_path)
    asked = [("How many days of leave?", "27"), ("Where is the office?", "tartu"), ("Is it paid?", "yes")]
    assert own_run("oracle", "atommem", asked) == (["27", "tartu", ""], 2)
    for script, agent in (("amnesiac", "atommem"), ("oracle", "closed_book")):
        for folder in ("run", "data"):
            shutil.rmtree(folder)
        assert own_run(script, agent, asked) == (["", "", ""], 0)
