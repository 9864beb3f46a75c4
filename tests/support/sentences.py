"""Sentences that errors are compared with."""

from __future__ import annotations

import re


def pattern(sentence: str) -> str:
    """A sentence in which `.*` stands for anything."""
    return re.escape(sentence).replace(r"\.\*", ".*")
