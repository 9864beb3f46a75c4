"""No key in a recipe, and none in the sentence that refuses it."""

from __future__ import annotations

import pytest

from atommem_cli.config import recipe as recipes
from atommem_cli.core.errors import RecipeError

HIDDEN = "hunter2"
SERVER = "name: openai_server, model: m"


@pytest.mark.parametrize("section", ["policy", "embedder", "store", "eval.judge"])
@pytest.mark.parametrize(
    "url",
    [
        "http://user:hunter2@host/v1",
        "https://hunter2@host/v1",
        "http://host/v1?key=hunter2",
        "http://host/v1?api-version=hunter2",
        "http://host/v1#hunter2",
        "hunter2@host/v1",
        "http://host:hunter2/v1",
        "http:// hunter2/v1",
        "http://",
        "http://host/v1/chat/completions",
        "http://host/sk-hunter2hunter2hunter2/v1",
    ],
)
def test_an_address_with_more_than_an_address_is_refused_and_not_repeated(section: str, url: str) -> None:
    parts = {"store": f"name: chroma, url: '{url}'", "embedder": f"{SERVER}, dimension: 3, url: '{url}'"}
    with pytest.raises(RecipeError) as caught:
        recipes.load("tiny", [f"{section}={{{parts.get(section, f'{SERVER}, url: {url!r}')}}}"])
    assert f"{section}.url: " in str(caught.value)
    assert HIDDEN not in str(caught.value)


def test_azure_is_told_what_to_use() -> None:
    with pytest.raises(RecipeError, match="ends in /openai/v1 needs no api-version"):
        recipes.load("tiny", [f"policy={{{SERVER}, url: 'https://x.openai.azure.com/openai?api-version=1'}}"])


@pytest.mark.parametrize(
    "extra",
    [
        "api_key: hunter2",
        "apiKey: hunter2",
        "Authorization: hunter2",
        "token: hunter2",
        "auth_token: hunter2",
        "accessToken: hunter2",
        "password: hunter2",
        "client_secret: hunter2",
        "headers: {X-Api: hunter2}",
        "extra_headers: {a: hunter2}",
        "extra_body: {deep: [{api-key: hunter2}]}",
        "note: 'Bearer hunter2'",
        "note: sk-hunter2hunter2hunter2",
        "webhook: 'https://u:hunter2@host'",
    ],
)
@pytest.mark.parametrize("section", ["policy", "embedder"])
def test_a_key_among_further_fields_is_refused_and_not_repeated(section: str, extra: str) -> None:
    more = ", dimension: 3" if section == "embedder" else ""
    with pytest.raises(RecipeError, match="environment variable that key_env names") as caught:
        recipes.load("tiny", [f"{section}={{{SERVER}{more}, url: 'http://h/v1', extra: {{{extra}}}}}"])
    assert HIDDEN not in str(caught.value)


def test_fields_that_only_sound_like_keys_are_taken() -> None:
    extra = {
        "max_tokens": 4,
        "stop_token_ids": [1],
        "skip_special_tokens": False,
        "eos_token": "</s>",
        "prompt_cache_key": "run",
        "top_k": -1,
        "truncate_prompt_tokens": 9,
        "return_tokens_as_token_ids": True,
    }
    policy = recipes.load("tiny", [f"policy={{{SERVER}, url: 'http://h/v1', extra: {extra}}}"]).policy
    assert (policy.model_extra or {})["extra"] == extra


@pytest.mark.parametrize("held", ["sk-hunter2-hunter2", "hunter2 hunter2", "$hunter2"])
def test_a_key_in_the_place_of_its_variable_is_refused_and_not_repeated(held: str) -> None:
    with pytest.raises(RecipeError, match="name of the environment variable") as caught:
        recipes.load("tiny", [f"policy={{{SERVER}, url: 'http://h/v1', key_env: '{held}'}}"])
    assert HIDDEN not in str(caught.value)


def test_a_key_among_the_keywords_of_a_trainer_is_refused() -> None:
    for keywords in ("hub_token: hunter2", "vllm_server_base_url: 'http://u:hunter2@host'"):
        with pytest.raises(RecipeError, match=r"grpo\.trainer: ") as caught:
            recipes.load("tiny", [f"grpo.trainer={{{keywords}}}"])
        assert HIDDEN not in str(caught.value)
