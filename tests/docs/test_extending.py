"""The examples of `docs/extending.md`, played as they stand there."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from manual import ROOT, blocks, page
from typer.testing import CliRunner

from atommem_cli.cli.commands import app

BLOCKS = blocks(page("extending.md"))
TEST = "test_mine.py"
COMMANDS = [line for language, body in BLOCKS if not language for line in body.splitlines()]


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """The summary of every evaluation on the page, by its command, and of one without plug-ins."""
    folder = tmp_path_factory.mktemp("mine")
    for language, body in BLOCKS:
        if language in ("python", "yaml"):
            (folder / body.split()[1]).write_text(body, encoding="utf-8")
    facts = [
        {"title": name, "text": f"{name} was born in {where}.", "question": f"Where was {name} born?", "answer": where}
        for name, where in (("Ada", "Velt"), ("Bo", "Dorn"), ("Cy", "Marl"), ("Di", "Orm"))
    ]
    (folder / "facts.jsonl").write_text("".join(f"{json.dumps(fact)}\n" for fact in facts), encoding="utf-8")
    found = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(sys, "path", [*sys.path])
        for number, command in enumerate([*COMMANDS, "atommem eval --policy scripted:oracle"]):
            words = shlex.split(command)[1:]
            evaluates = words[0] == "eval"
            done = CliRunner().invoke(app, [*words, *(["--out", f"run{number}"] if evaluates else [])])
            assert done.exit_code == 0, (command, done.exception, done.output)
            if evaluates:
                found |= {
                    f"{command} ({path.parent.name})": json.loads(path.read_text())
                    for path in Path(f"run{number}").rglob("summary.json")
                }
    return found


def test_every_example_plays(played: dict[str, dict[str, Any]]) -> None:
    """Each is named by a command, and no episode fails."""
    files = {body.split()[1] for language, body in BLOCKS if language in ("python", "yaml")}
    rewards, dialects = {"brief.py", "graded.py"}, {"mine.yaml"}
    assert files == {"mine.py", "facts.py", "words.py", "shelf.py", "letters.py", TEST, *rewards, *dialects}
    assert all(any(f"./{file}" in command for command in COMMANDS) for file in files - {TEST})
    assert all(told["failed"] == [] for told in played.values())


def test_they_do_what_they_say(played: dict[str, dict[str, Any]]) -> None:
    def of(word: str) -> dict[str, Any]:
        return next(told for command, told in played.items() if word in command)

    plain = of("atommem eval --policy scripted:oracle (")
    assert plain["scores"]["em"]["mean"] > 0.9
    assert of("--agent ./mine.py")["scores"]["em"]["mean"] > 0.9
    assert of("task.folder=data/facts")["scores"]["em"]["mean"] > 0.5
    assert of("agent.dialect=./mine.yaml")["scores"]["em"]["mean"] > 0.9
    assert of("./shelf.py")["digest"] == of("scripted:oracle --set store.least=null (")["digest"]
    assert of("./letters.py")["embedder"] != plain["embedder"]


def test_a_test_of_ones_own_fails_where_the_agent_is_broken(tmp_path: Path) -> None:
    for name in ("mine.py", TEST):
        body = next(body for language, body in BLOCKS if language == "python" and body.split()[1] == name)
        (tmp_path / name).write_text(body, encoding="utf-8")
    run = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", TEST]
    assert subprocess.run(run, cwd=tmp_path, check=False, capture_output=True, timeout=120).returncode == 0
    broken = (tmp_path / "mine.py").read_text().replace("calls_per_chunk = 1", "calls_per_chunk = 2")
    (tmp_path / "mine.py").write_text(broken)
    failed = subprocess.run(run, cwd=tmp_path, check=False, capture_output=True, timeout=120, text=True)
    assert failed.returncode == 1
    assert "chunk 0 is asked about 1 times and calls_per_chunk is 2" in failed.stdout


def test_the_entry_points_are_those_of_the_example_package() -> None:
    (shown,) = (body for language, body in BLOCKS if language == "toml")
    assert shown.strip() in (ROOT / "tests" / "example" / "pyproject.toml").read_text(encoding="utf-8")
