"""Where the time of a rollout goes."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(slots=True)
class Clock:
    """Wall seconds of a rollout by part; what is left of the whole is the harness itself.

    Of a server policy `model` is everything that is neither embedder nor store, because requests and the
    harness's own work overlap: there the harness shows in a benchmark (tests/bench/), not here.
    """

    model: float = 0.0
    embedder: float = 0.0
    store: float = 0.0

    @contextlib.contextmanager
    def of(self, part: str) -> Iterator[None]:
        """Adds the time spent inside to one part."""
        start = time.perf_counter()
        try:
            yield
        finally:
            setattr(self, part, getattr(self, part) + time.perf_counter() - start)
