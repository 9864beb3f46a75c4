"""Every `atommem` command that README, log, recipes and helps show is one that the command line takes as it stands."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import manual
import pytest
import typer

from atommem_cli.cli import commands
from atommem_cli.config import command_line, keys, plugins
from atommem_cli.config import recipe as recipes
from atommem_cli.config.command_line import preparing
from atommem_cli.contracts import plugin

ROOT = manual.ROOT
GROUP = typer.main.get_command(commands.app)
STANDS_FOR = {"SCRIPT": "oracle", "AGENT": "atommem"}
"""Words in capitals that are checked against a list; a lone D, N or S stands for a number."""

PLAYED = ("extending.md", "reading.md")
"""Pages whose commands are carried out by tests of their own."""


def joined(lines: list[str]) -> Iterator[str]:
    """Commands of some lines, with what follows them as long as they are not finished."""
    held = ""
    for line in lines:
        text = f"{held} {line.strip()}".strip() if held else line.strip()
        held = ""
        if "atommem" not in text:
            continue
        if text.endswith("\\"):
            held = text[:-1]
            continue
        try:
            shlex.split(text, comments=True)
        except ValueError:
            held = text
            continue
        yield text


def shown(path: Path) -> Iterator[str]:
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".yaml":
        yield from joined([line[1:] for line in text.splitlines() if line.startswith("#")])
        return
    for language, block in manual.blocks(text):
        if not language:
            yield from joined(block.splitlines())
    for span in re.findall(r"`([^`]*)`", manual.prose(text)):
        yield " ".join(span.split())


def found() -> Iterator[tuple[str, list[str]]]:
    """Where each command stands, and its words behind `atommem`."""
    files = [ROOT / "README.md", ROOT / "data" / "README.md", ROOT / "results" / "LOG.md"]
    files += sorted((ROOT / "recipes").rglob("*.yaml"))
    files += [path for path in sorted(manual.DOCS.glob("*.md")) if path.name not in PLAYED]
    texts = [(str(path.relative_to(ROOT)), text) for path in files for text in shown(path)]
    for name, command in GROUP.commands.items():  # type: ignore[attr-defined]
        texts += [(f"{name} --help", line) for line in joined((command.epilog or "").splitlines())]
    texts += [("Makefile", line) for line in (ROOT / "Makefile").read_text().replace("$(BIN)/", "").splitlines()]
    for where, text in texts:
        begin = re.search(r"(^|\bm )atommem(_cli\.cli)? (?=[a-z-])", text.strip())
        if begin is None or not text.strip().startswith(("atommem ", "accelerate ", "CUDA_VISIBLE_DEVICES")):
            continue
        words = shlex.split(text.strip()[begin.end() :], comments=True)
        yield where, [re.sub(r"(?<![\w/.-])[DNS](?![\w/.-])", "1", STANDS_FOR.get(word, word)) for word in words]


FOUND = list({(where, " ".join(words)): (where, words) for where, words in found()}.values())


def test_there_are_many() -> None:
    assert len(FOUND) > 60
    assert {where for where, _ in FOUND} >= {
        "README.md",
        "results/LOG.md",
        "recipes/8b.yaml",
        "docs/scale.md",
        "eval --help",
        "Makefile",
    }


@pytest.mark.parametrize(("where", "words"), FOUND, ids=[f"{where}: {' '.join(words)}"[:90] for where, words in FOUND])
def test_it_is_taken_as_it_stands(where: str, words: list[str]) -> None:
    name, *rest = words
    if name.startswith("--"):
        assert name in ("--help", "--version")
        return
    command = GROUP.commands[name]  # type: ignore[attr-defined]
    if any(one.required and one.param_type_name == "argument" for one in command.params) and not rest:
        return  # named in a sentence, not shown
    context = command.make_context(name, rest)
    given = context.params
    if given.get("plan") is None and name not in ("prepare", "check"):
        return
    if name == "prepare":
        task = plugins.load(
            "tasks", {"2wikimultihopqa": "twowiki", "NAME": "hotpotqa"}.get(given["name"], given["name"])
        )
        for change in given["change"] or []:
            assert change.partition("=")[0] in task.Options.model_fields, change
        return
    recipe = given["recipe"]
    policy = (given.get("policy") or "").replace("scripted:SCRIPT", "scripted:oracle")
    changes = [change.replace("NAME-", "data-") for change in given["change"] or []]
    if len(given.get("agent") or ()) == 1 and not plugins.is_file(given["agent"][0]):
        changes = [f"agent.name={given['agent'][0]}", *changes]
    if given.get("room") == "ROOM":
        return  # the shape of a command
    if given.get("room"):
        section = keys.WHERE[plugin.meant(given["room"])]
        changes = [] if plugins.is_file(given["name"]) else [f"{section}.name={given['name']}", *changes]
    if policy == "openai_server" or not policy:
        command_line.meant(recipe, policy or None, {}, changes)
    else:
        command_line.meant(recipe, policy if ":" in policy else f"results/{policy}", {}, changes)


def test_a_folder_that_is_missing_is_made_by_the_recipes_own_command() -> None:
    for name in recipes.shipped():
        task = recipes.load(name).task
        assert preparing(Path(task.folder) / task.split) != "`atommem prepare`", name
    assert (
        preparing(Path("data/hotpotqa-50/validation")) == "`atommem prepare hotpotqa --docs 50 --out data/hotpotqa-50`"
    )
    assert "`atommem prepare stream` (recipe tiny)" in preparing(Path("data/stream/train"))
    assert "--docs 10 --questions 1 --limit 20` (recipe small-cpu)" in preparing(Path("data/hotpotqa/validation"))
    assert preparing(Path("elsewhere/train")) == "`atommem prepare`"
