"""Stores, changes and whole programs for the tests of stores."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from atommem_cli.config import plugins
from atommem_cli.contracts._episodes import drop, put, unit
from atommem_cli.core.store import Store

__all__ = ["chroma", "drop", "put", "run", "texts", "unit"]


def chroma(**options: object) -> Store:
    module = plugins.load("stores", "chroma")
    store: Store = module.build(module.Options(**options))
    return store


def texts(store: Store, episode: str) -> dict[int, str]:
    return {entry.id: entry.text for entry in store.entries(episode)}


def run(code: str, *arguments: str, before: Sequence[str] = ()) -> subprocess.CompletedProcess[str]:
    """A Python program in a process of its own, from the top of the checkout."""
    return subprocess.run(
        [*before, sys.executable, "-c", code, *arguments],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
