"""Scripts where an agent asks for facts and for what becomes of them: they go by what their prompt shows."""

from __future__ import annotations

from pathlib import Path

import pytest

from atommem_cli.config import recipe as recipes
from atommem_cli.data import preparation
from atommem_cli.running import evaluation


@pytest.fixture(scope="module")
def worlds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tasks of `stream` in which everything changes."""
    folder = tmp_path_factory.mktemp("worlds") / "data"
    options = {"docs": 16, "people": 2, "questions": 2, "change": 0.9}
    preparation.prepare("stream", out=folder, split="validation", limit=12, options=options)
    return folder


@pytest.mark.parametrize(("script", "least", "most"), [("oracle", 1, 1), ("mute", 0, 0), ("append_only", 0.2, 0.95)])
def test_the_oracle_keeps_a_store_of_facts_right_and_a_hoarder_does_not(
    worlds: Path, tmp_path: Path, script: str, least: float, most: float
) -> None:
    changes = [f"task.folder={worlds}", "agent={name: mem0}", f"policy={{name: scripted, script: {script}}}"]
    changes += ["chunk.tokens=14", "limits.reply=200", "store={name: exact}", "memory.retrieve_k=12"]
    told = evaluation.evaluate(recipes.load("tiny", changes), tmp_path / script)
    assert least <= told["scores"]["em"]["mean"] <= most
