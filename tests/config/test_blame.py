"""A fault in the code of a plug-in is one sentence with its file and line; one of atommem's own stays what it is."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from atommem_cli.config import plugins
from atommem_cli.config.blame import blaming
from atommem_cli.core.calls import Expects
from atommem_cli.core.errors import PluginError, UsageError
from atommem_cli.dialects import dialect

PLUGIN = """
from pydantic import BaseModel as Options
from blamed_words import longest


def build(options):
    return {}["no"]


def embed(texts):
    return longest([])


def ask(dialect):
    return dialect.write(None, [0])


def refuse(error):
    raise error("as it should")
"""


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> object:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delitem(sys.modules, "blamed_words", raising=False)
    (tmp_path / "mine.py").write_text(PLUGIN)
    (tmp_path / "blamed_words.py").write_text("def longest(words):\n    return max(words)\n")
    return plugins.load("agents", "./mine.py")


def test_the_sentence_names_file_line_and_what_was_done(plugin: object) -> None:
    told = r"^mine\.py, line 7: the plug-in fails, at a task: KeyError: 'no'$"
    with pytest.raises(PluginError, match=told) as caught, blaming("a task"):
        plugin.build(None)  # type: ignore[attr-defined]
    assert isinstance(caught.value.__cause__, KeyError)
    assert caught.value.status == UsageError.status


def test_a_module_beside_it_and_what_it_calls_of_ours_are_told_too(plugin: object) -> None:
    with pytest.raises(PluginError, match=r"^blamed_words\.py, line 2: the plug-in fails: ValueError: max"), blaming():
        plugin.embed([])  # type: ignore[attr-defined]
    told = r"^mine\.py, line 15: the plug-in fails: AttributeError: 'int' .* \(dialect\.py, line \d+\)$"
    with pytest.raises(PluginError, match=told), blaming():
        plugin.ask(dialect.load("tiny"))  # type: ignore[attr-defined]


@pytest.mark.parametrize("error", [UsageError, OSError, MemoryError])
def test_what_it_says_on_purpose_and_what_the_machine_lacks_goes_on(plugin: object, error: type[Exception]) -> None:
    with pytest.raises(error, match=r"^as it should$"), blaming():
        plugin.refuse(error)  # type: ignore[attr-defined]


def test_a_fault_of_our_own_stays_an_exception_of_its_own(plugin: object) -> None:
    with pytest.raises(AttributeError), blaming():
        dialect.load("tiny").write(Expects.OPERATIONS, [0])  # type: ignore[list-item]
