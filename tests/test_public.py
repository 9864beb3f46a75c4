"""What `atommem_cli` itself gives: its names, each of them documented, and at no cost."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import pkgutil
import pydoc
import re
import subprocess
import sys
from pathlib import Path

import pytest

import atommem_cli

HEAVY = {"numpy", "pandas", "pydantic", "rich", "scipy", "torch", "transformers", "trl", "typer", "yaml"}


def test_importing_it_loads_nothing() -> None:
    code = "import sys, atommem_cli; dir(atommem_cli); print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-I", "-c", code], check=True, capture_output=True, text=True
    ).stdout.split()
    assert {name.partition(".")[0] for name in loaded} & HEAVY == set()
    assert [name for name in loaded if name.startswith("atommem_cli")] == ["atommem_cli"]


@pytest.mark.parametrize("name", atommem_cli.__all__)
def test_a_public_name_is_there_and_says_what_it_is(name: str) -> None:
    doc = getattr(atommem_cli, name).__doc__
    assert doc
    assert not doc.startswith(f"{name}("), "the one that dataclasses make up"
    assert name in dir(atommem_cli)


@pytest.mark.parametrize("name", ["Observation", "Generation", "MemoryOp", "Document", "SourceRequest", "SourcePlan"])
def test_help_tells_of_every_field_what_stands_below_it_in_the_code(name: str) -> None:
    told = " ".join(inspect.getdoc(getattr(atommem_cli, name)).split())  # type: ignore[union-attr]
    for field in dataclasses.fields(getattr(atommem_cli, name)):
        assert f" {field.name}: " in told
    if name == "Observation":
        assert "chunk: Index of the chunk that is shown; None after the last one." in told


def test_help_tells_of_what_an_agent_may_read() -> None:
    for name, words in (
        ("Episode", ("context", "limits", "marks", "memory", "tokenizer")),
        ("Memory", ("entries", "present", "query", "scratchpad", "shown")),
        ("Context", ("add", "entries", "hear", "messages", "next_id")),
    ):
        whole = pydoc.render_doc(getattr(atommem_cli, name), renderer=pydoc.plaintext)
        for word in words:
            assert re.search(rf"{word}(\(.*\))?(:|\n| ->)", whole), (name, word)
        assert "Fields:" in whole or name == "Context"


def test_type_checkers_are_told_of_the_same_names_from_the_same_places() -> None:
    tree = ast.parse(Path(atommem_cli.__file__).read_text(encoding="utf-8"))
    told = {
        one.asname or one.name: (node.module, one.name)
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("atommem_cli")
        for one in node.names
    }
    assert told == atommem_cli._WHERE
    assert sorted(told) == sorted(atommem_cli.__all__)


def test_no_public_name_is_that_of_a_module() -> None:
    """Once such a module is imported, it stands in place of the name."""
    assert {module.name for module in pkgutil.iter_modules(atommem_cli.__path__)}.isdisjoint(atommem_cli.__all__)


def test_another_name_is_no_attribute() -> None:
    with pytest.raises(AttributeError, match="'atommem_cli' has no attribute 'compare_run'"):
        _ = atommem_cli.compare_run
