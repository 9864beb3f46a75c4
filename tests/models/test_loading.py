"""Model folders: no code of theirs runs, and what is not finite is no encoder either."""

from __future__ import annotations

import json
import math
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from commands import complaint
from huggingface_hub import constants
from safetensors.torch import load_file, save_file

from atommem_cli.core.errors import BackendError, Diverged, MissingExtra
from atommem_cli.data import preparation
from atommem_cli.models import loading, tiny
from atommem_cli.policies import hf

CODE = """
from pathlib import Path
from transformers import Qwen3Config, Qwen3ForCausalLM

Path(r"{ran}").write_text("ran")


class Config(Qwen3Config):
    model_type = "evil"


class Model(Qwen3ForCausalLM):
    config_class = Config
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    tokenizer = tiny.build_tokenizer(tiny.MARKS)
    tiny.save(tmp_path / "model", tiny.build_model(tokenizer, 0), tokenizer)
    return tmp_path / "model"


def with_code(folder: Path, kind: str) -> Path:
    """Give the folder code of its own; the file that appears if it runs."""
    ran = folder.parent / "ran"
    (folder / "evil.py").write_text(CODE.format(ran=ran))
    config = json.loads((folder / "config.json").read_text())
    config["model_type"] = kind
    named = {"AutoConfig": "evil.Config", "AutoModel": "evil.Model", "AutoModelForCausalLM": "evil.Model"}
    config["auto_map"] = {**named, "AutoTokenizer": ["evil.Tokenizer", None]}
    (folder / "config.json").write_text(json.dumps(config))
    return ran


LOADERS: list[Callable[[str], object]] = [
    loading.load_config,
    loading.load_tokenizer,
    lambda name: loading.load_model(name, "auto"),
    lambda name: hf.build(hf.Options(model=name, device="cpu")),
]


def test_a_known_model_is_loaded_without_the_code_beside_it(folder: Path) -> None:
    ran = with_code(folder, "qwen3")
    for load in LOADERS:
        load(str(folder))
    assert not ran.exists()


def test_an_unknown_model_is_one_sentence_and_nobody_is_asked(folder: Path) -> None:
    ran = with_code(folder, "evil")
    loading.load_tokenizer(str(folder))  # its files are those of a plain one
    for load in (LOADERS[0], *LOADERS[2:]):
        with pytest.raises(MissingExtra) as caught:
            load(str(folder))
        assert str(folder) in str(caught.value)
        assert "\n" not in str(caught.value)
    assert not ran.exists()
    preparation.prepare("stream", out=folder.parent / "data", split="validation", limit=1)
    arguments = ("eval", "--policy", str(folder), "--out", "out", "--set", "task.folder=data")
    told = complaint(*arguments, cwd=folder.parent, status=3)
    assert str(folder) in told
    assert not ran.exists()


class Runs:
    def __init__(self, ran: str) -> None:
        self.ran = ran

    def __reduce__(self) -> tuple[object, ...]:
        return Path.write_text, (Path(self.ran), "ran")


def test_pickled_weights_run_nothing(folder: Path) -> None:
    ran = folder.parent / "ran"
    (folder / "model.safetensors").unlink()
    torch.save({"model.norm.weight": Runs(str(ran))}, folder / "pytorch_model.bin", pickle_module=pickle)
    with pytest.raises(BackendError):
        loading.load_model(str(folder), "auto")
    assert not ran.exists()


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_an_encoder_that_is_not_finite_is_refused(folder: Path, value: float) -> None:
    from atommem_cli.embedders import hf as encoders

    tensors = load_file(folder / "model.safetensors")
    tensors["model.norm.weight"][0] = value
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(Diverged, match="its weights hold NaN, infinity"):
        encoders.build(encoders.Options(model=str(folder), device="cpu"))


@pytest.mark.parametrize(
    ("name", "content"), [("model.safetensors", b"zap"), ("config.json", b"["), ("config.json", b"[]")]
)
def test_a_damaged_encoder_is_one_sentence(folder: Path, name: str, content: bytes) -> None:
    from atommem_cli.embedders import hf as encoders

    (folder / name).write_bytes(content)
    with pytest.raises(MissingExtra) as caught:
        encoders.build(encoders.Options(model=str(folder), device="cpu"))
    assert str(folder) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_without_a_network_a_hub_id_is_one_sentence_after_one_question(monkeypatch: pytest.MonkeyPatch) -> None:
    """The hub's client tries five times for each file, and logs every one."""
    asked: list[object] = []

    def refuse(*address: object, **_: object) -> None:
        asked.append(address[0])
        raise OSError("no network")

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr("socket.getaddrinfo", refuse)
    monkeypatch.setattr("socket.socket.connect", refuse)
    for load in (loading.load_tokenizer, loading.load_config, lambda model: loading.load_model(model, "auto")):
        asked.clear()
        with pytest.raises(MissingExtra, match=r"^nobody/nothing is no folder here.* the hub cannot be asked"):
            load("nobody/nothing")
        assert len(asked) == 1
        assert constants.HF_HUB_OFFLINE is False
