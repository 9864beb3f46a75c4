"""What runs are called beside each other."""

from __future__ import annotations

from pathlib import Path

import pytest
from commands import atommem

from atommem_cli.data import preparation
from atommem_cli.runs.names import labels, names_of
from atommem_cli.runs.reader import open_all


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("home")
    preparation.prepare("stream", out=folder / "data" / "stream", limit=3)
    agents = ("--agent", "atommem", "--agent", "rag")
    atommem("eval", "--policy", "scripted:oracle", *agents, cwd=folder)
    atommem("eval", "--policy", "scripted:mute", cwd=folder)
    atommem("eval", "--policy", "scripted:oracle", "--set", "memory.retrieve_k=2", cwd=folder)
    atommem("eval", "--policy", "scripted:oracle", "--out", "results/mine", cwd=folder)
    return folder


def test_the_keys_that_differ_name_runs_that_nobody_named(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(home)
    results = Path("results")
    [rag], [mute] = results.glob("*-rag-oracle-*"), results.glob("*-mute-*")
    few, many = sorted(
        results.glob("*-atommem-oracle-*"), key=lambda path: "retrieve_k: 2" not in (path / "recipe.yaml").read_text()
    )
    assert labels(open_all([many, rag])) == ["atommem", "rag"]
    assert labels(open_all([many, mute])) == ["oracle", "mute"]
    assert labels(open_all([rag, mute])) == ["rag oracle", "atommem mute"]
    assert labels(open_all([few, many])) == [
        "retrieve_k 2",
        f"retrieve_k {open_all([many])[0].recipe.memory.retrieve_k}",
    ]
    assert labels(open_all([rag])) == [rag.name]
    assert labels(open_all([rag, results / "mine"])) == [rag.name, "mine"]
    assert "| rag |" in atommem("compare", str(many), str(rag), cwd=home).stdout


def test_folders_of_one_name_are_told_apart_by_what_holds_them() -> None:
    assert names_of([Path("/a/x/run"), Path("/a/y/run")]) == ["x/run", "y/run"]
    assert names_of([Path("/a/x\x1b/run"), Path("/a/y/run")]) == ["x<U+001B>/run", "y/run"]
