"""What a person meets first: help, version, completion."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from commands import atommem

import atommem_cli
from atommem_cli.cli import commands
from atommem_cli.cli.options import ORDER, Ordered

COMMANDS = [one.name or "" for one in commands.app.registered_commands]


def test_the_version_is_that_of_the_package(tmp_path: Path) -> None:
    assert atommem("--version", cwd=tmp_path).stdout == f"atommem {atommem_cli.__version__}\n"


def test_help_begins_with_check_and_says_how_to_start(tmp_path: Path) -> None:
    text = atommem("--help", cwd=tmp_path).stdout
    listed = [line.split()[0] for line in text.partition("Commands:\n")[2].splitlines() if line.startswith("  ")]
    assert listed[0] == "check"
    assert set(COMMANDS) <= set(listed)
    assert "Start with:\n    atommem check\n" in text


def test_a_command_that_is_in_no_order_comes_last() -> None:
    group = Ordered(name="x", commands={"zzz": None, "aaa": None, ORDER[1]: None, ORDER[0]: None})  # type: ignore[dict-item]
    assert group.list_commands(None) == [ORDER[0], ORDER[1], "zzz", "aaa"]


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_of_a_command_has_examples_and_readable_types(tmp_path: Path, name: str) -> None:
    text = atommem(name, "--help", cwd=tmp_path).stdout
    assert re.search(rf"Examples:\n(.*\n)*? +atommem {name}", text)
    assert "<" not in text.partition("Options:")[2].partition("Examples:")[0].replace("<=", "")


def test_a_shell_can_complete_commands_and_values(tmp_path: Path) -> None:
    def completed(words: str) -> list[str]:
        shell = {
            "_ATOMMEM_COMPLETE": "complete_bash",
            "COMP_WORDS": words,
            "COMP_CWORD": str(len(words.split(" ")) - 1),
        }
        script = "import sys; sys.argv[0] = 'atommem'; from atommem_cli.cli import main; main()"
        return atommem(cwd=tmp_path, code=script, **shell).stdout.split()

    assert completed("atommem ev") == ["eval"]
    assert "small-cpu" in completed("atommem eval --recipe sm")
    assert "openai_server" in completed("atommem eval --policy op")
    assert "--show-completion" in atommem("--help", cwd=tmp_path).stdout


@pytest.mark.parametrize(
    "wrong",
    [
        ["eval", "--limit", "0"],
        ["eval", "--repeats", "-1"],
        ["prepare", "stream", "--docs", "0"],
        ["prepare", "stream", "--workers", "0"],
        ["prepare", "stream", "--limit", "0"],
        ["prepare", "stream", "--questions", "0"],
        ["grpo", "--plan", "--processes", "0"],
        ["sft", "--plan", "--processes", "-3"],
        ["eval", "--max-failed", "-1"],
        ["ablate", "--chunk-size", "0"],
    ],
)
def test_zero_and_less_are_refused_and_not_forgotten(tmp_path: Path, wrong: list[str]) -> None:
    assert "Traceback" not in atommem(*wrong, cwd=tmp_path, status=2).stderr


@pytest.mark.parametrize("name", ["eval", "ablate", "sft", "grpo"])
def test_every_command_that_takes_a_policy_says_what_it_does_not_keep_of_the_recipe(tmp_path: Path, name: str) -> None:
    server = ("--set", "policy.url=http://127.0.0.1:9/v1", "--set", "policy.model=m")
    planned = ("--recipe", "small-cpu", "--policy", "openai_server", *server, "--plan")
    done = atommem(name, *planned, cwd=tmp_path, status=2)  # nothing is prepared there
    assert done.stderr.startswith("policy openai_server: temperature 0.7 (the recipe's hf: 0.0), thinking null")
