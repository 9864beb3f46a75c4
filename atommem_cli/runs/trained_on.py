"""Where a policy learned what it does, from what its training left beside it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from atommem_cli.config import recipe as recipes
from atommem_cli.core.errors import AtommemError, SourceError
from atommem_cli.core.files import read_json
from atommem_cli.data.files import SPLITS, read_manifest
from atommem_cli.runs.layout import RECIPE, RUN

_DEPTH = 3
"""Folders above a model in which its training may be: `NAME/model`, `NAME/checkpoints/checkpoint-N`."""
_DRAWN = frozenset({"seed", "limit", "local", "tokenizer", "keep"})
"""Options of `prepare` that make other tasks of the same kind, or none at all."""


def training_of(model: Path) -> Path | None:
    """The folder of the `atommem sft` or `atommem grpo` that made a model; None where there is none."""
    for folder in [model, *model.parents][:_DEPTH]:
        if (folder / RUN).is_file() and read_json(folder / RUN).get("command") in ("sft", "grpo"):
            return folder
    return None


def tasks_of(training: Path) -> set[str]:
    """Digests of the `tasks.jsonl` that a training saw: of `grpo` both splits, of `sft` those of its demonstrations."""
    identity = read_json(training / RUN)
    found = {str(digest) for digest in identity.get("tasks", ()) if digest}
    for run in identity["recipe"].get("sft", {}).get("runs", ()):
        mark = Path(run) / RUN
        if mark.is_file():
            found.add(str(read_json(mark).get("tasks")))
    return found


def folder_of(training: Path) -> Path:
    """The prepared tasks that its recipe names."""
    return Path(recipes.load(str(training / RECIPE)).task.folder)


def digests(folder: Path) -> set[str]:
    """Of the `tasks.jsonl` of every split of a prepared folder that is there."""
    return {manifest.sha256 for _, manifest in _manifests(folder)}


def setting(folder: Path) -> Mapping[str, Any] | None:
    """What decides of which kind the tasks of a folder are, whatever their seed and number; None where it is gone."""
    for _, manifest in _manifests(folder):
        options = {key: value for key, value in manifest.options.items() if key not in _DRAWN}
        return {"source": manifest.source, **json.loads(json.dumps(options))}
    return None


def _manifests(folder: Path) -> Iterator[tuple[str, Any]]:
    for split in reversed(SPLITS):
        try:
            yield split, read_manifest(folder / split)
        except SourceError:
            continue
        except AtommemError:
            return
