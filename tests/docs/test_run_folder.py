"""`docs/run-folder.md` names every key of a run's files, and none that is not there or cannot be."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from manual import page
from typer.testing import CliRunner

from atommem_cli.cli.commands import app
from atommem_cli.runs.layout import CUT, EPISODE, OP, OPENING, STEP, VERDICT
from atommem_cli.runs.layout import Key as Written

PAGE = page("run-folder.md")
GROWING = Path(__file__).parents[1] / "support" / "growing.py"
FILES = {
    "played": "run.json steps.jsonl episodes.jsonl chunks.jsonl sessions.jsonl summary.json judge.json verdicts.jsonl "
    "grader.json grades.jsonl ladder.jsonl ladder.json credit.jsonl",
    "grown": "steps.jsonl episodes.jsonl",
    "compared": "table.json",
}
PARTS = {
    "INTERVAL": ["mean", "low", "high", "n", "tasks"],
    "DIFFERENCE": ["delta", "low", "high", "p", "wins", "losses", "ties", "n", "tasks", "visible"],
}
JUDGE = """
from atommem_cli import Generation, Section as Options, WordTokenizer

class Yes:
    tokenizer, window, batch = WordTokenizer(), None, 8
    def __init__(self, options): pass
    def generate(self, calls): return [Generation('{"correct": true} {"score": 0.5}')] * len(calls)
    def describe(self): return {"name": "yes"}

build, tokenizer, window = Yes, lambda _: WordTokenizer(), lambda _: None
"""

Key = tuple[str, ...]


def documented(file: str) -> Iterator[tuple[Key, bool]]:
    """The keys that the page gives a file, and whether each is always there."""
    section = re.search(rf"^### {re.escape(file)}\n(.*?)(?=^##|\Z)", PAGE, re.DOTALL | re.MULTILINE)
    assert section, file
    for keys, meaning in re.findall(r"^\| (`.*?) \| (.*?) \|$", section[1], re.MULTILINE):
        for key in re.findall(r"`([^`]+)`", keys):
            parts = tuple(re.findall(r"[^.\[\]]+|\[\]", key))
            for last in PARTS.get(parts[-1], [parts[-1]]):
                yield (*parts[:-1], last), not meaning.startswith("not always")


def there(value: Any, at: Key = ()) -> Iterator[Key]:
    """The paths of all keys; a list of plain values, or of lists of them, is a value."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield (*at, key)
            yield from there(inner, (*at, key))
    elif isinstance(value, list):
        for inner in value:
            yield from there(inner, (*at, "[]"))


def fits(path: Key, pattern: Key) -> bool:
    """Whether a path is this key, or on the way to it, or in what the page leaves open."""
    if "*" in pattern and path[: len(pattern) - 1] == pattern[:-1]:
        return True
    return len(path) <= len(pattern) and all(b.isupper() or a == b for a, b in zip(path, pattern, strict=False))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with a ladder and a judge, and its comparison with another one."""
    home = tmp_path_factory.mktemp("run")
    (home / "yes.py").write_text(JUDGE)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        patch.setattr(sys, "path", [*sys.path])
        for command in (
            "prepare stream --limit 12",
            "eval --policy scripted:sloppy --out played --ladder",
            "eval --policy scripted:append_only --out other",
            f"eval --policy scripted:random --agent {GROWING} --limit 3 --set store.noise.entries=2 --out grown",
            "judge played --judge ./yes.py",
            "judge played --memory --judge ./yes.py",
            "credit played",
            "compare played other --out compared --scorer em",
        ):
            done = CliRunner().invoke(app, command.split())
            assert done.exit_code == 0, (command, done.exception, done.output)
    return home


CASES = [(where, file) for where, files in FILES.items() for file in files.split()]


@pytest.mark.parametrize(("where", "file"), CASES, ids=["/".join(case) for case in CASES])
def test_the_page_names_the_keys_that_are_there_and_no_others(folder: Path, where: str, file: str) -> None:
    text = (folder / where / file).read_text(encoding="utf-8")
    lines = [json.loads(line) for line in text.splitlines()] if file.endswith("l") else [json.loads(text)]
    found = {path for line in lines for path in there(line) if path[-1] != "[]"}
    keys = dict(documented(file))
    assert keys
    assert [path for path in sorted(found) if not any(fits(path, key) for key in keys)] == []
    needed = [key for key, always in keys.items() if always and key[-1] != "*"]
    missing = [key for key in needed if not any(len(path) == len(key) and fits(path, key) for path in found)]
    assert missing == []


SHAPES: dict[str, tuple[Written[Any], ...]] = {
    "steps.jsonl": (*STEP, *OPENING),
    "episodes.jsonl": EPISODE,
    "chunks.jsonl": CUT,
    "verdicts.jsonl": VERDICT,
}


@pytest.mark.parametrize("file", SHAPES)
def test_the_page_says_which_keys_of_a_line_are_always_there(file: str) -> None:
    keys = list(documented(file))
    told = {key[0]: any(always for other, always in keys if other[0] == key[0]) for key, _ in keys}
    assert told == {key.name: not key.optional for key in SHAPES[file]}
    inner = {key[2]: always for key, always in keys if key[:2] == ("ops", "[]")}
    assert inner == ({key.name: not key.optional for key in OP} if file == "steps.jsonl" else {})


def test_every_file_of_the_folders_is_named(folder: Path) -> None:
    for where in FILES:
        for path in (folder / where).iterdir():
            assert f"`{path.name}`" in PAGE or f"### {path.name}\n" in PAGE or f"`{path.stem}`" in PAGE, path.name
