"""A small training: `stream` tasks, the tiny model, a recipe of seconds."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path
from typing import Any

from atommem_cli.config import recipe as recipes
from atommem_cli.config.recipe import Recipe
from atommem_cli.data import preparation

DOCS = {"docs": 8, "people": 2, "relations": 3, "questions": 1}


@functools.cache
def data() -> Path:
    """Twelve training tasks and eight for validation."""
    folder = Path(tempfile.mkdtemp(prefix="atommem-training-"))
    for split, limit in (("train", 12), ("validation", 8)):
        preparation.prepare("stream", out=folder, split=split, options=dict(DOCS), limit=limit, seed=1)
    return folder


@functools.cache
def staged() -> Path:
    """The same with two distractors at the end of each task."""
    folder = Path(tempfile.mkdtemp(prefix="atommem-staged-"))
    options = {"docs": 4, "people": 2, "passage": 2}
    for split, limit in (("train", 8), ("validation", 4)):
        preparation.prepare(
            "stream", out=folder, split=split, options=dict(options), limit=limit, seed=1, distractors=2
        )
    return folder


AGEMEM = ("agent={name: agemem, dialect: tiny, retrieval: never, context_tokens: 200}", "policy.model=tiny_agemem")
"""Changes to a recipe whose episodes have stages; the tasks are those of `staged`."""


def recipe(*changes: str, **trainer: Any) -> Recipe:
    """2 tasks x 4 rollouts per update. The reward is form, which noise has plenty of spread in."""
    keywords = {
        "num_generations": 4,
        "per_device_train_batch_size": 4,
        "gradient_accumulation_steps": 2,
        "max_steps": 2,
        "save_steps": 1,
        "learning_rate": 1e-3,
        "gradient_checkpointing": False,
        "scale_rewards": "none",
        "max_grad_norm": 1e9,
        **trainer,
    }
    content: dict[str, Any] = {
        "name": "small",
        "task": {"folder": str(data())},
        "chunk": {"tokens": 9, "overlap": 0, "by": "tokens", "most": None},
        "memory": {"retrieve_k": 3},
        "limits": {"reply": 10, "answer": 4, "reads": 1},
        "agent": {"name": "atommem", "dialect": "tiny"},
        "policy": {"name": "hf", "model": "tiny", "temperature": 0.0},
        "store": {"name": "exact"},
        "embedder": {"name": "hashing"},
        "grpo": {
            "rewards": {"format": 1.0},
            "micro_batch_tokens": 600,
            "validation": 4,
            "trainer": {key: value for key, value in keywords.items() if value is not None},
        },
    }
    return recipes.resolve(content, changes, origin="small")
