"""Models and tokenizers from a folder or the hub; what goes wrong there becomes one sentence."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from atommem_cli.core.errors import BackendError, Diverged, MissingExtra
from atommem_cli.models import hub


def load_tokenizer(model: str) -> Any:
    """The fast tokenizer of a model folder or hub id.

    Raises:
        MissingExtra: there is none.
    """
    from transformers import AutoTokenizer

    with loading(model) as where:
        tokenizer = AutoTokenizer.from_pretrained(where, **_NO_CODE)
        if not tokenizer.is_fast:
            raise MissingExtra(f"the tokenizer of {model} cannot locate its tokens: it needs a tokenizer.json")
    return tokenizer


def load_model(model: str, dtype: str) -> Any:
    """The causal language model of a model folder or hub id, on the CPU; adapters come merged into theirs.

    Args:
        dtype: as torch names it, or "auto": as the weights are stored.

    Raises:
        MissingExtra: there is none, it is incomplete, or peft for its adapters is not installed.
        Diverged: it holds values that are not finite.
    """
    from transformers import AutoModelForCausalLM

    base = adapted(model)
    if base is None:
        return load_weights(AutoModelForCausalLM, model, dtype)
    if find_spec("peft") is None:
        raise MissingExtra(f"{model} holds adapters, which need peft: pip install 'atommem[lora]'")
    from peft import PeftModel

    bare = load_model(base, dtype)
    with loading(model) as where:
        merged = PeftModel.from_pretrained(bare, where).merge_and_unload()
        _insist_on_finite(merged, model)
    return merged


def load_weights(kind: Any, model: str, dtype: Any, optional: str | None = None) -> Any:
    """A model by one of transformers' `Auto` classes, on the CPU, without code from its folder.

    Args:
        optional: tensors whose name holds this may be missing.

    Raises:
        MissingExtra: it cannot be loaded, or lacks tensors.
        Diverged: it holds values that are not finite.
    """
    with loading(model) as where:
        loaded, told = kind.from_pretrained(where, dtype=dtype, output_loading_info=True, **_NO_CODE)
        # transformers would fill them with random numbers.
        missing = [name for name in sorted(told["missing_keys"]) if optional is None or optional not in name]
        if missing:
            raise MissingExtra(
                f"the weights of {model} are incomplete: {len(missing)} tensors are missing ({missing[0]})"
            )
        _insist_on_finite(loaded, model)
    return loaded


def not_finite(tensors: Iterable[tuple[str, Any]]) -> str | None:
    """The name of the first tensor that holds NaN, infinity or a number beyond `LARGEST`.

    One pass over them, 0.2 s per GiB on one core.
    """
    import torch

    floats = (torch.float32, torch.bfloat16, torch.float16, torch.float64)
    for name, tensor in tensors:
        values = getattr(tensor, "_local_tensor", tensor).detach()  # of a sharded one the part that is here
        if values.numel() and not values.is_meta and values.dtype in floats:
            low, high = torch.aminmax(values)  # both are NaN where one value is
            if not (low > -LARGEST and high < LARGEST):
                return name
    return None


def _insist_on_finite(model: Any, name: str) -> None:
    bad = not_finite(model.named_parameters())
    if bad is not None:
        raise Diverged(
            f"{name} cannot be used: its weights hold NaN, infinity or numbers beyond {LARGEST:g} (first in {bad}); "
            "its training diverged, or its file is damaged: take an earlier checkpoint"
        )


LARGEST = 1e18
"""Beyond it nothing can be computed: in float32 the square of a number ten times as large is infinity."""
_NO_CODE = {"trust_remote_code": False}
"""A model is weights and settings: Python files in its folder or repository are never run, nor asked about."""


def adapted(model: str) -> str | None:
    """The model that a folder's adapters change; None where it holds no adapters."""
    config = Path(model).expanduser() / "adapter_config.json"
    if not config.is_file() or (config.parent / "config.json").is_file():
        return None
    try:
        base = json.loads(config.read_text(encoding="utf-8"))["base_model_name_or_path"]
        if isinstance(base, str) and base:
            return base
    except (OSError, ValueError, LookupError, TypeError):
        pass
    raise MissingExtra(f"{config} is damaged: it names no base model")


@contextlib.contextmanager
def loading(model: str) -> Iterator[str]:
    """What to hand to `from_pretrained`; whatever that raises becomes one sentence.

    Raises:
        MissingExtra: the model is not there or cannot be loaded.
    """
    folder = Path(model).expanduser()
    here = folder.is_dir()
    if not here and not re.fullmatch(r"[\w-][\w.-]*/[\w.-]+", model):
        raise MissingExtra(f"there is no model folder {model} (and a hub id reads owner/name)")
    if here and not any((folder / name).is_file() for name in ("config.json", "adapter_config.json")):
        raise MissingExtra(f"the folder {model} holds no model: it has no config.json")
    _insist_on_settings(folder, model)
    reached = True
    try:
        with _no_progress_bars():
            if here:
                yield str(folder)
            else:
                with hub.unhurried() as reached:
                    yield model
    except (MissingExtra, Diverged, MemoryError):
        raise
    except Exception as error:  # transformers raises whatever its parts raise
        reason = " ".join(str(error).split())[:160]
        if here:
            raise MissingExtra(f"the model in {model} cannot be loaded: {reason}") from error
        if reached:
            raise MissingExtra(f"{model} is no folder here, and the hub does not give it: {reason}") from error
        raise MissingExtra(
            f"{model} is no folder here, nor whole in the hub's cache, and the hub cannot be asked: "
            "download it, and name its folder or set HF_HOME"
        ) from error


def _insist_on_settings(folder: Path, model: str) -> None:
    """Refuse a damaged generation_config.json, whose end tokens transformers would do without, silently."""
    settings = folder / "generation_config.json"
    try:
        whole = not settings.is_file() or isinstance(json.loads(settings.read_text(encoding="utf-8")), dict)
    except (OSError, ValueError, RecursionError):
        whole = False
    if not whole:
        raise MissingExtra(f"the model in {model} cannot be loaded: generation_config.json is damaged")


@contextlib.contextmanager
def _no_progress_bars() -> Iterator[None]:
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def weight_files(model: str) -> list[Path]:
    """The files that the weights are loaded from, by name; adapters before the model that they change."""
    from huggingface_hub import snapshot_download

    folder = Path(model).expanduser()
    if (base := adapted(model)) is not None:
        return [*sorted(folder.glob("adapter_model.*")), *weight_files(base)]
    if not folder.is_dir():
        folder = Path(snapshot_download(model, local_files_only=True))
    return sorted(folder.glob("*model*.safetensors")) or sorted(folder.glob("*model*.bin"))


def digest_of_files(files: Sequence[Path]) -> str:
    """sha256 of the files, one after another; hexadecimal."""
    digest = hashlib.sha256()
    for file in files:
        with file.open("rb") as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


def digest_of_tensors(model: Any) -> str:
    """sha256 of a model's tensors in float32, in order; hexadecimal."""
    digest = hashlib.sha256()
    for tensor in model.state_dict().values():
        digest.update(tensor.float().cpu().numpy().tobytes())
    return digest.hexdigest()


def load_config(model: str) -> Any:
    """The config of a model folder or hub id, that of the model below where the folder holds adapters.

    Raises:
        MissingExtra: there is none.
    """
    from transformers import AutoConfig

    if (base := adapted(model)) is not None:
        return load_config(base)
    with loading(model) as where:
        return AutoConfig.from_pretrained(where, **_NO_CODE)


def context_window(config: Any) -> int | None:
    """Tokens that a model of this config can take; None where it does not say."""
    window: int | None = getattr(config.get_text_config(), "max_position_embeddings", None)
    return window


@contextlib.contextmanager
def memory_advice(key: str) -> Iterator[None]:
    """Where memory may run out.

    Args:
        key: the recipe key that says how many tokens are worked on at once.

    Raises:
        BackendError: it did.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        # torch.OutOfMemoryError is a RuntimeError; the CPU's allocator raises a bare one.
        if not isinstance(error, MemoryError) and not any(said in str(error) for said in _OUT_OF_MEMORY):
            raise
        raise BackendError(
            f"not enough memory for the model and its batch: lower {key}, "
            "set policy.dtype to bfloat16, or take a smaller model"
        ) from error


_OUT_OF_MEMORY = ("out of memory", "allocate memory", "not enough memory")
