"""Digests of what a run says, by which readers see that nothing was changed: of prompts, of calls, of chunks."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

from atommem_cli.core.calls import Observation
from atommem_cli.core.types import Chunk


def prompt_hash(observation: Observation) -> str:
    """16 hexadecimal digits over the messages of a call, and over the tools that are told apart from them."""
    told: list[Any] = [(m.role, m.content) for m in observation.messages]
    text = json.dumps([*told, *(tool.function for tool in observation.tools)])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


class StepsDigest:
    """What the line of an episode says of its calls, in their order: 16 hexadecimal digits, without times."""

    def __init__(self) -> None:
        self.calls = 0
        """How many there were."""
        self._sha = hashlib.sha256()

    def add(self, step: Mapping[str, Any]) -> None:
        """The line of the next call."""
        line = {**step, "episode": "", "step": 0}
        del line["seconds"]
        self._sha.update(json.dumps(line).encode())
        self.calls += 1

    def __str__(self) -> str:
        return self._sha.hexdigest()[:16]


def steps_digest(steps: Iterable[Mapping[str, Any]]) -> str:
    """The `StepsDigest` of these lines."""
    digest = StepsDigest()
    for step in steps:
        digest.add(step)
    return str(digest)


def chunks_digest(chunks: Iterable[Chunk]) -> str:
    """What the line of a task's chunks says of their texts: 16 hexadecimal digits."""
    texts = "\0".join(chunk.text for chunk in chunks)
    return hashlib.sha256(texts.encode("utf-8", "surrogatepass")).hexdigest()[:16]
