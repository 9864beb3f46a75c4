"""Whether a recipe is made for the tasks that it names."""

from __future__ import annotations

from pathlib import Path

from atommem_cli.config.recipe import Recipe
from atommem_cli.core.errors import SourceError
from atommem_cli.data import sources
from atommem_cli.data.files import read_manifest

CLOSED = ("tiny", "tiny_reads")
"""Dialects of a closed vocabulary: the words of `WORDED`, and no others."""
WORDED = "stream"


def remark(recipe: Recipe) -> str:
    """Why scores of this recipe say little of its tasks, in one sentence; empty where nothing is known against it."""
    try:
        source = read_manifest(Path(recipe.task.folder) / recipe.task.split).source
    except SourceError:
        return ""  # said where the tasks are wanted
    dialect = getattr(recipe.agent, "dialect", "")
    if dialect not in CLOSED or source == WORDED or sources.is_outside(source):
        return ""
    least = getattr(recipe.store, "least", 0)
    far = f", and no entry is shown that is less alike than store.least = {least}" if least else ""
    return (
        f"the dialect {dialect} has the words of {WORDED} alone, chunks are of {recipe.chunk.tokens} tokens{far}: "
        f"for {source} take another recipe, as --recipe small-cpu"
    )
