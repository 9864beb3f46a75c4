"""Seeds: one per recipe, every other one derived from it by name."""

from __future__ import annotations

import hashlib


def derive(seed: int, *names: str | int) -> int:
    """A 63-bit seed that depends on `seed` and the names alone, on every machine and Python.

    Names may be those of folders, whose bytes need be no text.
    """
    text = "\x1f".join(str(part) for part in (seed, *names))
    return int.from_bytes(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:8], "big") >> 1
