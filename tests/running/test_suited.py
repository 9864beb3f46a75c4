"""A recipe that is made for other tasks than those it names says so before anything is played."""

from __future__ import annotations

from pathlib import Path

import pytest
from commands import atommem

from atommem_cli.config import recipe as recipes
from atommem_cli.data import preparation
from atommem_cli.running import suited


@pytest.fixture
def wiki(tmp_path: Path) -> str:
    (tmp_path / "documents.csv").write_text("text\nThe tower is 30 m high.\n")
    (tmp_path / "questions.csv").write_text("question,answer\nHow high is the tower?,30 m\n")
    preparation.prepare("records", source=str(tmp_path), out=tmp_path / "wiki")
    return f"task.folder={tmp_path / 'wiki'}"


def test_the_default_recipe_is_for_stream_and_others_for_anything(wiki: str, tmp_path: Path) -> None:
    told = suited.remark(recipes.load("tiny", [wiki]))
    for part in ("tiny_reads", "chunks are of 7 tokens", "store.least = 0.65", "for records", "--recipe small-cpu"):
        assert part in told
    assert suited.remark(recipes.load("small-cpu", [wiki])) == ""
    assert suited.remark(recipes.load("tiny", [wiki, "agent.dialect=paper"])) == ""
    assert suited.remark(recipes.load("tiny", [f"task.folder={tmp_path / 'nowhere'}"])) == ""
    preparation.prepare("stream", out=tmp_path / "stream", split="validation", limit=1)
    assert suited.remark(recipes.load("tiny", [f"task.folder={tmp_path / 'stream'}"])) == ""


def test_eval_says_it_once_for_all_agents(wiki: str, tmp_path: Path) -> None:
    for more in ((), ("--plan",)):
        asked = ("--policy", "scripted:oracle", "--agent", "rag", "--agent", "atommem", "--set", wiki, *more)
        done = atommem("eval", *asked, cwd=tmp_path)
        assert done.stderr.count("take another recipe") == 1
