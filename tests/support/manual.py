"""The manual in `docs/`: its pages, and what stands in their fenced blocks."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"

_FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def page(name: str) -> str:
    """One page, as `reading.md`."""
    return (DOCS / name).read_text(encoding="utf-8")


def blocks(text: str) -> list[tuple[str, str]]:
    """Fenced blocks in order: language, empty for commands, and content."""
    return _FENCED.findall(text)


def prose(text: str) -> str:
    """What stands outside of them."""
    return _FENCED.sub("", text)
