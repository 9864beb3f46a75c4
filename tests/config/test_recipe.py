"""Recipes: every wrong key is one sentence with the file, the key and a suggestion."""

from __future__ import annotations

from pathlib import Path

import pytest

from atommem_cli.config import command_line
from atommem_cli.config import recipe as recipes
from atommem_cli.core.errors import RecipeError

SCRIPTED = "policy={name: scripted}"


def written(folder: Path, text: str) -> str:
    path = folder / "mine.yaml"
    path.write_text(text)
    return str(path)


def test_the_default_recipe_loads_from_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("tiny", "tiny.yaml", "recipes/tiny.yaml"):
        assert recipes.load(name).name == "tiny"


def test_defaults_are_written_out_and_the_digest_covers_them() -> None:
    recipe = recipes.load("tiny", [SCRIPTED])
    assert recipe.policy.model_extra == {"script": "oracle", "batch": 64, "tokenizer": None}
    turned = recipes.load("tiny", ["policy={name: scripted, batch: 64, script: oracle}"])
    assert turned.dump() == recipe.dump()  # byte for byte, in whichever order the keys are given
    same = recipes.load("tiny", ["policy={name: scripted, script: oracle}"])
    assert same.digest == recipe.digest
    assert recipes.load("tiny", [SCRIPTED, "memory.retrieve_k=5"]).digest != recipe.digest
    assert recipes.load("tiny", [SCRIPTED, "eval.max_failed=9"]).digest == recipe.digest


def test_a_dumped_recipe_is_the_same_recipe(tmp_path: Path) -> None:
    recipe = recipes.load("tiny", [SCRIPTED])
    assert recipes.load(written(tmp_path, recipe.dump())) == recipe


@pytest.mark.parametrize(
    ("text", "changes", "sentence"),
    [
        ("polcy: {name: scripted}", [], "polcy: unknown key; did you mean 'policy'"),
        ("chunk: {token: 5}", [SCRIPTED], "chunk.token: unknown key; did you mean 'tokens'"),
        (
            "policy: {name: scripted, scrpt: mute}",
            [],
            "policy.scrpt: unknown key of scripted; did you mean 'script'? (there are: script, batch, tokenizer)",
        ),
        ("policy: {name: scripted, script: orcale}", [], "or 'chaotic'; did you mean 'oracle'? (given: 'orcale')"),
        ("policy: {name: scripted, script: mutant}", [], "policy.script: Input should be 'oracle', 'mute'"),
        ("policy: {name: scriptd}", [], "policy.name: no 'scriptd' in policies; did you mean 'scripted'"),
        ("chunk: {tokens: 0}", [SCRIPTED], "chunk.tokens: Input should be greater than 0"),
        ("seed: 1", [], "policy: this key is needed"),
        ("- a\n- b", [], "a recipe is a mapping"),
        ("a: [", [], "not readable as YAML"),
        ("seed: 1", ["seed"], "--set seed: expected section.key=value"),
        ("seed: 1", ["seed.x=1"], "--set seed.x=1: seed has no keys of its own"),
        ("seed: 1", ["seed=["], "not readable as YAML"),
        (
            "seed: 1",
            [SCRIPTED, "eval.judge=fake"],
            "--set eval.judge: the name of a plug-in and its keys, as {name: ...}",
        ),
        ("seed: 1", [SCRIPTED, "policy.extra.x=1"], "--set policy.extra.x: policy.extra: unknown key of scripted"),
        ("seed: 1", [SCRIPTED, ".=1"], "--set .=1: expected section.key=value"),
        ("seed: 1", [SCRIPTED, "seed=1", "grpo.trainer={a: 1, a: 2}"], "--set grpo.trainer: not readable as YAML"),
        ("seed: 1\nseed: 2\npolicy: {name: scripted}", [], "the key 'seed' is there twice"),
        ("policy: &p {name: scripted, x: *p}", [], "not readable as YAML"),
        ("a: " + "[" * 5000, [], "levels deep"),
        ("policy: {name: scripted}\ngrpo: {trainer: {a: !!binary aGk=}}", [], "grpo.trainer.a: a recipe holds text"),
        ("policy: {name: scripted}\ngrpo: {trainer: {a: 2020-01-01}}", [], "no date: put it in quotes"),
        ("seed: 1", [SCRIPTED, "chunk.token=5"], "--set chunk.token: unknown key; did you mean 'tokens'? (there are: "),
        ("seed: 1", [SCRIPTED, "task={foo: 1}"], "--set task: task.foo: unknown key (there are: folder, split, limit"),
        ("seed: 1", ["policy.name=openai_server", "policy.model=m"], "policy.url: openai_server needs this key"),
        (
            "seed: 1",
            [SCRIPTED, "agent={name: generative_agents, weights: [1]}"],
            "agent.weights: 3 values are wanted here (given: [1])",
        ),
        (
            "seed: 1",
            [SCRIPTED, "store.name=exact", "store.path=x"],
            "--set store.path: unknown key of exact (there are: least)",
        ),
        ("policy: {name: scripted}\nsft: {min_reward: .nan}", [], "sft.min_reward: nan is no number"),
        ("seed: 1", [SCRIPTED, "sft.rewards={em: .inf}"], "--set sft.rewards: sft.rewards.em: inf is no number"),
        ("seed: 1", [SCRIPTED, 'sft.rewards.em="nan"'], "--set sft.rewards.em: Input should be a finite number"),
        (
            "seed: 1",
            [SCRIPTED, "grpo.trainer.learning_rate=.nan"],
            "--set grpo.trainer.learning_rate: nan is no number",
        ),
        ("seed: 1", [SCRIPTED, "grpo.curriculum=abc"], "--set grpo.curriculum: a list is wanted here (given: 'abc')"),
        ("seed: 1", [SCRIPTED, "grpo.rewards=em"], "--set grpo.rewards: a mapping of keys to values is wanted here"),
        ("seed: 1", [SCRIPTED, "grpo.credit=null"], "--set grpo.credit: a mapping of keys to values is wanted here"),
        ("seed: 1", [SCRIPTED, "store=chroma"], "the name of a plug-in and its keys, as {name: ...}, is wanted here"),
        ("seed: 1", [SCRIPTED, "task.limit=true"], "--set task.limit: a number is wanted here (given: True)"),
        ("policy: {name: scripted, batch: true}", [], "policy.batch: a number is wanted here (given: True)"),
        ("seed: 1", [SCRIPTED, "grpo.rewards={em: false}"], "grpo.rewards.em: a number is wanted here (given: False)"),
        ("seed: 1", [SCRIPTED, "ablate.retrieve_k=[3, true]"], "ablate.retrieve_k.1: a number is wanted here"),
        ("seed: 1", [SCRIPTED, "grpo.trainer.a=[1, {b: -.inf}]"], "grpo.trainer.a.1.b: -inf is no number"),
        ("seed: 1", [SCRIPTED, "memory.drop=[delte]"], "memory.drop.0: Input should be 'create', 'read'"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, text: str, changes: list[str], sentence: str) -> None:
    with pytest.raises(RecipeError) as caught:
        recipes.load(written(tmp_path, text + "\nembedder: {name: hashing}\n" * (text[0] != "-")), changes)
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_shipped_recipe_is_named_as_it_was_typed() -> None:
    with pytest.raises(RecipeError) as caught:
        recipes.load("small-cpu", ["task.foo=1"])
    assert str(caught.value).startswith("--set task.foo: unknown key (there are: folder, ")
    with pytest.raises(RecipeError) as caught:
        recipes.load("small-cpu").changed(["policy={name: hf}"])
    assert str(caught.value).startswith("--set policy: policy.model: hf needs this key")


def test_another_name_takes_the_options_of_the_one_before_away() -> None:
    assert recipes.load("small-cpu", ["store.name=exact"]).store.model_extra == {}
    assert recipes.load("small-cpu", ["store={name: chroma, path: x}", "store.name=exact"]).store.model_extra == {}
    for changes in (
        ["policy.url=http://h/v1", "policy.name=openai_server"],
        ["policy.name=openai_server", "policy.url=http://h/v1"],
    ):
        policy = recipes.load("small-cpu", changes).policy.model_extra or {}
        small = recipes.load("small-cpu").policy.model_extra or {}
        assert policy["url"] == "http://h/v1"
        assert (policy["model"], policy["temperature"]) == (small["model"], small["temperature"])  # both have them
    assert recipes.load("8b", ["agent.name=rag"]).agent.model_extra == recipes.load("8b").agent.model_extra
    judged = recipes.load(
        "tiny", ["eval.judge={name: scripted, script: mute}", "eval.judge.name=hf", "eval.judge.model=m"]
    )
    assert judged.eval.judge is not None
    assert "script" not in (judged.eval.judge.model_extra or {})


def test_a_missing_recipe_is_suggested() -> None:
    with pytest.raises(RecipeError, match="no such recipe; did you mean 'tiny'"):
        recipes.load("tny")


# --- what a command line means


def model_folder(where: Path, recipe: str | None = None) -> Path:
    where.mkdir(parents=True)
    (where / "config.json").write_text("{}")
    if recipe is not None:
        (where / "recipe.yaml").write_text(recipe)
    return where


def test_a_model_folder_brings_its_own_recipe_unless_another_is_named(tmp_path: Path) -> None:
    inside = recipes.load("tiny", ["chunk.tokens=7", "policy.batch=5", "name=inside"]).dump()
    folder = model_folder(tmp_path / "run" / "model", inside)
    for named in (folder, folder.parent):  # the model, or the training that made it
        meant = command_line.meant(None, str(named), {"task.limit": 3}, ["policy.temperature=0.5"])
        assert (meant.name, meant.chunk.tokens, meant.task.limit) == ("inside", 7, 3)
        assert meant.policy.model_extra is not None
        assert meant.policy.model_extra["model"] == str(folder)
        assert (meant.policy.model_extra["batch"], meant.policy.model_extra["temperature"]) == (5, 0.5)
    assert command_line.meant("smoke", str(folder), {}, []).chunk.tokens == recipes.load("smoke").chunk.tokens


def test_a_policy_is_a_script_a_plugin_a_folder_or_a_hub_id(tmp_path: Path) -> None:
    def policy(given: str) -> dict[str, object]:
        section = command_line.meant(None, given, {}, []).policy
        return {"name": section.name, **(section.model_extra or {})}

    assert policy("scripted:mute")["script"] == "mute"
    assert policy("scripted")["script"] == "oracle"
    assert policy("owner/model")["model"] == "owner/model"
    folder = model_folder(tmp_path / "bare")
    assert policy(str(folder))["temperature"] == 0.0  # what the recipe says about sampling stays
    with pytest.raises(RecipeError, match="did you mean 'scripted'"):
        policy("scriptd")


def test_no_is_a_strategy_in_yaml_too(tmp_path: Path) -> None:
    text = "policy: {name: scripted}\nembedder: {name: hashing}\ngrpo: {trainer: {save_strategy: no, bf16: false}}\n"
    assert recipes.load(written(tmp_path, text)).grpo.trainer == {"save_strategy": "no", "bf16": False}


def test_what_a_replaced_policy_does_not_keep_is_said() -> None:
    server = ["policy.url=http://h/v1", "policy.model=m"]
    chosen = command_line.meant("small-cpu", "openai_server", {}, server)
    said = command_line.replaced("small-cpu", chosen)
    assert said.startswith("policy openai_server: temperature 0.7 (the recipe's hf: 0.0)")
    kept = recipes.load("small-cpu", ["policy.name=openai_server", *server, "policy.thinking=false"])
    assert command_line.replaced("small-cpu", kept) == ""
    assert command_line.replaced(None, command_line.meant(None, "scripted:mute", {}, [])) == ""


@pytest.mark.parametrize(
    ("section", "value"),
    [
        ("task", '{folder: "a\\ud800"}'),
        ("store", '{name: chroma, path: "a\\ud800"}'),
        ("policy", '{name: hf, model: "a\\ud800"}'),
        ("agent", '{name: atommem, dialect: "a\\ud800"}'),
        ("sft", '{runs: ["a\\ud800"]}'),
        ("grpo", '{trainer: {"a\\ud800": 1}}'),
    ],
)
def test_half_a_character_is_refused_wherever_it_stands(section: str, value: str, tmp_path: Path) -> None:
    parts = {"policy": "{name: scripted, script: mute}", "embedder": "{name: hashing}", section: value}
    path = written(tmp_path, "".join(f"{name}: {text}\n" for name, text in parts.items()))
    with pytest.raises(RecipeError, match=rf"{section}\..*half a character"):
        recipes.load(path)
