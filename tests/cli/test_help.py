"""What a person meets first: help, version, completion."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, get_args, get_origin, get_type_hints

import pytest
from commands import atommem

import atommem_cli
from atommem_cli.cli import commands
from atommem_cli.cli.options import ORDER, Ordered
from atommem_cli.config import command_line
from atommem_cli.config import recipe as recipes

COMMANDS = [one.name or "" for one in commands.app.registered_commands]


def test_the_version_is_that_of_the_package(tmp_path: Path) -> None:
    assert atommem("--version", cwd=tmp_path).stdout == f"atommem {atommem_cli.__version__}\n"


def test_help_begins_with_check_and_says_how_to_start(tmp_path: Path) -> None:
    text = atommem("--help", cwd=tmp_path).stdout
    listed = [line.split()[0] for line in text.partition("Commands:\n")[2].splitlines() if line.startswith("  ")]
    assert listed[0] == "check"
    assert set(COMMANDS) <= set(listed)
    assert "Start with:\n    atommem check\n" in text


def test_help_loads_nothing_that_it_does_not_need(tmp_path: Path) -> None:
    script = "import sys; from atommem_cli.cli import commands; print(*sys.modules)"
    loaded = {name.partition(".")[0] for name in atommem(cwd=tmp_path, code=script).stdout.split()}
    assert "typer" in loaded
    assert not loaded & {"pydantic", "yaml", "numpy", "pandas", "torch", "transformers", "chromadb", "httpx"}


def test_a_command_that_is_in_no_order_comes_last() -> None:
    group = Ordered(name="x", commands={"zzz": None, "aaa": None, ORDER[1]: None, ORDER[0]: None})  # type: ignore[dict-item]
    assert group.list_commands(None) == [ORDER[0], ORDER[1], "zzz", "aaa"]


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_of_a_command_has_examples_and_readable_types(tmp_path: Path, name: str) -> None:
    text = atommem(name, "--help", cwd=tmp_path).stdout
    assert re.search(rf"Examples:\n(.*\n)*? +atommem {name}", text)
    assert "<" not in text.partition("Options:")[2].partition("Examples:")[0].replace("<=", "")


@pytest.mark.parametrize(
    ("name", "folder"),
    [("eval", "eval-RECIPE-AGENT-POLICY"), ("ablate", "ablate-RECIPE"), ("sft", "sft-RECIPE"), ("grpo", "grpo-RECIPE")],
)
def test_the_help_says_where_each_command_writes(tmp_path: Path, name: str, folder: str) -> None:
    text = "".join(atommem(name, "--help", cwd=tmp_path).stdout.split())
    assert f"Runfolder;default:results/{folder}-DIGEST." in text


@pytest.mark.parametrize(
    ("name", "section"), [("ablate", "agent"), ("sft", "agent"), ("grpo", "agent"), ("eval", "store")]
)
def test_a_plug_in_that_no_option_names_is_named_in_the_recipe(tmp_path: Path, name: str, section: str) -> None:
    said = atommem(name, f"--{section}", "./mine.py", cwd=tmp_path, status=2).stderr
    assert f"No such option: --{section}" in said
    assert f"--set {section}.name=NAME, or a file: ./mine.py" in said
    assert "stands in the recipe" not in atommem(name, "--sett", "x", cwd=tmp_path, status=2).stderr


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


NEEDED = {
    "prepare": ["stream"],
    "compare": ["RUN", "RUN"],
    "why": ["RUN"],
    "replay": ["RUN"],
    "what-if": ["RUN", "--episode", "ID"],
    "credit": ["RUN"],
    "report": ["RUN"],
}
"""What a command asks for before its options are looked at."""
FROM_ZERO = {"--max-failed", "--price", "--seed"}
"""Options of which 0 is a value."""
NUMBERS = {"N", "IN,OUT"}
"""What stands in the help for a number that Typer takes as text."""


def numeric() -> Iterator[tuple[str, str]]:
    """Every option that is a number, by its command."""
    for one in commands.app.registered_commands:
        assert one.callback is not None
        for name, hint in get_type_hints(one.callback, include_extras=True).items():
            if get_origin(hint) is Annotated:
                kind, option, *_ = get_args(hint)
                if {int, float} & leaves(kind) or getattr(option, "metavar", None) in NUMBERS:
                    yield one.name or "", f"--{name.replace('_', '-')}"


def leaves(kind: object) -> set[object]:
    return {kind}.union(*map(leaves, get_args(kind)))


@pytest.mark.parametrize(("name", "option"), numeric())
def test_what_is_no_number_is_refused_by_the_name_of_its_option(
    name: str, option: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    wrong = ["nan", "inf", "-inf", "1e999", "one", "", *([] if option == "--seed" else ["-1"])]
    for value in [*wrong, *([] if option in FROM_ZERO else ["0"])]:
        monkeypatch.setattr(sys, "argv", ["atommem", name, *NEEDED.get(name, []), option, value])
        assert commands.run() == 2
        said = capsys.readouterr().err.splitlines()[-1]
        assert option.removeprefix("--") in said, value
        assert said.startswith(("Error: ", "atommem: "))


def test_the_walk_sees_every_option_that_is_a_number() -> None:
    seen = {option for _, option in numeric()}
    assert {"--limit", "--chunk-size", "--questions", "--drop-op", "--tokens-per-second"} | FROM_ZERO <= seen


def test_zero_is_a_number_and_not_left_out(tmp_path: Path) -> None:
    for seed in "02":
        atommem("prepare", "stream", "--limit", "1", "--seed", seed, "--out", seed, cwd=tmp_path)
    made = [json.loads((tmp_path / seed / "validation" / "manifest.json").read_text()) for seed in "02"]
    assert [one["options"]["seed"] for one in made] == [0, 2]
    free = ("--policy", "scripted:mute", "--plan", "--price", "0", "--set", "task.folder=./0")
    assert "0.00 to 0.00" in " ".join(atommem("eval", *free, cwd=tmp_path).stdout.split())
    lenient = tmp_path / "lenient.yaml"
    lenient.write_text(recipes.load("tiny", ["eval.max_failed=1"]).dump())
    (chosen,) = command_line.recipes_for(str(lenient), [], None, {"eval.max_failed": 0}, [])
    assert chosen.eval.max_failed == 0


@pytest.mark.parametrize("name", ["eval", "ablate", "sft", "grpo"])
def test_every_command_that_takes_a_policy_says_what_it_does_not_keep_of_the_recipe(tmp_path: Path, name: str) -> None:
    server = ("--set", "policy.url=http://127.0.0.1:9/v1", "--set", "policy.model=m")
    planned = ("--recipe", "small-cpu", "--policy", "openai_server", *server, "--plan")
    done = atommem(name, *planned, cwd=tmp_path, status=2)  # nothing is prepared there
    assert done.stderr.startswith("policy openai_server: temperature 0.7 (the recipe's hf: 0.0), thinking null")
