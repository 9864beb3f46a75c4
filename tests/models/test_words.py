"""What a model's words are does not depend on who asks, nor on whether its weights are loaded."""

from __future__ import annotations

import hashlib
from pathlib import Path

from atommem_cli.core.stream_words import VOCABULARY
from atommem_cli.models import tiny, words
from atommem_cli.models.generation import Turns
from atommem_cli.policies import hf


def test_with_and_without_weights_they_are_the_same(tmp_path: Path) -> None:
    model, made = words.load(hf.Options(model="tiny", init_seed=3))
    tiny.save(tmp_path, model, made.tokenizer)
    of_folder = hf.Options(model=str(tmp_path))
    for found in (made, words.load(of_folder)[1], words.outline(of_folder), words.outline(hf.Options(model="tiny"))):
        assert found.ends == (made.tokenizer.eos_token_id,)
        assert found.end == made.tokenizer.eos_token_id
        assert found.window == words.window(of_folder) == tiny.WINDOW
        assert found.chat.digest == made.chat.digest
        assert found.counter.spans("mara home velt .") == words.counter(of_folder).spans("mara home velt .")
        assert Turns(found).pad == made.tokenizer.pad_token_id
    assert {*VOCABULARY} <= {*made.tokenizer.get_vocab()}


def test_a_recipe_may_say_another_window() -> None:
    for found in (
        words.load(hf.Options(model="tiny", window=64))[1],
        words.outline(hf.Options(model="tiny", window=64)),
    ):
        assert found.window == words.window(hf.Options(model="tiny", window=64)) == 64


def test_the_digest_of_weights_is_that_of_the_files_and_without_files_of_the_numbers(tmp_path: Path) -> None:
    model, made = words.load(hf.Options(model="tiny", init_seed=3))
    tiny.save(tmp_path, model, made.tokenizer)
    whole = hashlib.sha256((tmp_path / "model.safetensors").read_bytes()).hexdigest()
    assert words.digest(str(tmp_path), model) == whole
    numbers = hashlib.sha256(b"".join(tensor.numpy().tobytes() for tensor in model.state_dict().values()))
    assert words.digest("tiny", model) == numbers.hexdigest()
