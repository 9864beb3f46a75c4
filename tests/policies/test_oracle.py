"""The oracle answers what its prompt proves: the query is its own word, and an entry that says the same is not."""

from __future__ import annotations

import re
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
