"""Every key can be asked for, and says what it means."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from commands import atommem, complaint

from atommem_cli.config import keys, plugins
from atommem_cli.config.recipe import Recipe
from atommem_cli.core.errors import UsageError
from atommem_cli.dialects import wording
from atommem_cli.scoring import rewards

PLUGINS = [(room, name) for room in keys.WHERE for name in plugins.available(room)]


@pytest.mark.parametrize(("room", "name"), PLUGINS)
def test_every_key_of_every_plugin_says_what_it_means(room: str, name: str) -> None:
    found = keys.keys(room, name)
    prefix = f"{keys.WHERE[room]}." if keys.WHERE[room] else ""
    assert [one.name for one in found] == [f"{prefix}{key}" for key in plugins.keys(room, name)]
    assert not [one.name for one in found if not one.meaning]
    assert keys.about(room, name)


def test_every_key_of_a_recipe_says_what_it_means() -> None:
    found = keys.recipe_keys()
    assert not [one.name for one in found if not one.meaning]
    assert {one.name.partition(".")[0] for one in found} == set(Recipe.model_fields)
    told = {one.name: (one.type, one.default) for one in found}
    assert told["chunk.tokens"] == ("whole number > 0", "4000")
    assert told["chunk.by"] == ("tokens | documents", '"tokens"')
    assert told["task.limit"] == ("whole number > 0 | null", "null")
    assert told["sft.holdout"] == ("number >= 0, < 1", "0.05")
    assert told["policy"] == ("{name, ...}", "")
    assert told["grpo.rewards"] == ("mapping of text to number", '{"em": 1.0}')
    assert told["ablate.retrieve_k"] == ("list of whole number > 0", "[3, 6, 12]")
    assert told["sft.recall"][0] == "{rows, trainer} | null"


def test_what_is_not_there_is_named() -> None:
    for room, name, sentence in (
        ("polcies", "hf", "polcies: no such room; did you mean 'policies'"),
        ("recipe", "chunks", "chunks: no such section; did you mean 'chunk'"),
        ("policies", "openai", "no 'openai' in policies"),
    ):
        with pytest.raises(UsageError, match=sentence):
            keys.keys(keys.meant(room), name)


def test_the_command_lists_rooms_names_and_keys(tmp_path: Path) -> None:
    rooms = json.loads(atommem("options", "--json", cwd=tmp_path).stdout)
    assert rooms == {**keys.listed(), "rewards": rewards.available(), "dialects": wording.available()}
    for word in ("policies", "policy"):
        assert "openai_server" in atommem("options", word, cwd=tmp_path).stdout
    text = atommem("options", "policy", "openai_server", cwd=tmp_path).stdout
    assert "policy.url: text; needed\n    " in text
    dimension, *_ = json.loads(atommem("options", "embedders", "random", "--json", cwd=tmp_path).stdout)
    assert dimension["name"] == "embedder.dimension"
    assert "no keys" in atommem("options", "rewards", "em", cwd=tmp_path).stdout
    for room, name, what in (
        ("rewards", "budget", "0 for an episode that came to its end; -1 or -0.5 for one that"),
        ("rewards", "em", "Exact match"),
        ("dialects", "paper", "The dialect of AtomMem v3 (arXiv 2601.08323, Table 5; papers.md 1.2): the paper's tags"),
    ):
        told = json.loads(atommem("options", room, "--json", cwd=tmp_path).stdout)
        assert told[name].startswith(what)
        assert all(told.values())
    assert "no keys" in atommem("options", "rewards", "em", cwd=tmp_path).stdout
    assert (
        "memory_tokens: whole number > 0 | null = null" in atommem("options", "dialects", "tiny", cwd=tmp_path).stdout
    )
    for room in ("rewards", "dialects"):
        assert f"no 'nothing' in {room}" in complaint("options", room, "nothing", cwd=tmp_path)
    assert "no such room" in complaint("options", "x", cwd=tmp_path)
