"""Demonstrations of a few `stream` tasks, and a recipe that learns from them in seconds."""

from __future__ import annotations

import functools
import hashlib
import tempfile
from pathlib import Path
from typing import Any

from training_recipes import data

from atommem_cli.config import recipe as recipes
from atommem_cli.config.recipe import Recipe
from atommem_cli.running import evaluation

BASE: dict[str, Any] = {
    "name": "demos",
    "task": {"folder": str(data()), "split": "train"},
    "chunk": {"tokens": 16, "overlap": 0, "by": "documents", "most": None},
    "memory": {"retrieve_k": 3},
    "limits": {"reply": 48, "answer": 8, "reads": 2},
    "agent": {"name": "atommem", "dialect": "tiny"},
    "store": {"name": "exact"},
    "embedder": {"name": "hashing"},
}


def played(*changes: str, script: str = "careful") -> Recipe:
    """The recipe of an evaluation by a scripted policy."""
    content = {**BASE, "policy": {"name": "scripted", "script": script}}
    return recipes.resolve({key: _copy(value) for key, value in content.items()}, changes, origin="demos")


def collect(*changes: str, script: str = "careful") -> Path:
    """A fresh run folder of it."""
    out = Path(tempfile.mkdtemp(prefix="atommem-demos-")) / "run"
    evaluation.evaluate(played(*changes, script=script), out)
    return out


@functools.cache
def shared() -> Path:
    """One careful run of the twelve training tasks, which tests only read."""
    return collect()


def recipe(*changes: str, run: Path | None = None, **trainer: Any) -> Recipe:
    """A training on a run."""
    keywords = {
        "per_device_train_batch_size": 8,
        "learning_rate": 1e-3,
        "max_steps": 4,
        "save_steps": 2,
        "gradient_checkpointing": False,
        "use_cpu": True,  # to the same bits, on every machine
        **trainer,
    }
    content = {
        **BASE,
        "policy": {"name": "hf", "model": "tiny", "temperature": 0.0},
        "sft": {
            "runs": [str(run or shared())],
            "holdout": 0.2,
            "trainer": {key: value for key, value in keywords.items() if value is not None},
        },
    }
    return recipes.resolve({key: _copy(value) for key, value in content.items()}, changes, origin="demos")


def contents(folder: Path) -> dict[str, str]:
    """Every file in a folder, by its digest."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def _copy(value: Any) -> Any:
    return dict(value) if isinstance(value, dict) else value
