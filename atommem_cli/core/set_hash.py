"""A digest of a set that costs the same to keep up to date whatever the size of the set."""

from __future__ import annotations

import hashlib

_MODULUS = 2**256


class SetHash:
    """The sum of the members' sha256 modulo 2^256."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0

    def add(self, member: str) -> None:
        self.value = (self.value + hash_of(member)) % _MODULUS

    def remove(self, member: str) -> None:
        """Take out what was added before."""
        self.value = (self.value - hash_of(member)) % _MODULUS


def hash_of(text: str) -> int:
    """sha256 of a text, whatever surrogates are in it, as a number."""
    return int.from_bytes(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest(), "big")
