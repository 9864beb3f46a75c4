"""The work of one process on a run, framed by two lines of `sessions.jsonl`."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from atommem_cli import sessions
from atommem_cli.assembly import Parts
from atommem_cli.clock import Clock
from atommem_cli.records import RunFolder


@contextmanager
def session(run: RunFolder, parts: Parts, command: Sequence[str]) -> Iterator[Clock]:
    """Frame the work of this process on a run by two lines of `sessions.jsonl`."""
    began = run.count
    lost = {"played_again": sorted(run.lost)} if run.lost else {}
    run.sessions.append({**sessions.session_start(command, run.changed), **lost, "store": parts.store.describe()})
    clock = Clock()
    started = time.perf_counter()
    embedded = parts.vectors.embedded
    try:
        yield clock
    finally:
        wall = time.perf_counter() - started
        parts_of = {"model": clock.model, "embedder": clock.embedder, "store": clock.store}
        seconds = {"wall": wall, **parts_of, "rest": max(0.0, wall - sum(parts_of.values()))}
        run.sessions.append(
            {
                "end": sessions.now(),
                "seconds": {name: round(value, 3) for name, value in seconds.items()},
                "texts_embedded": parts.vectors.embedded - embedded,
                "episodes": run.count - began,
            }
        )
