"""The work of one process on a run, framed by two lines of `sessions.jsonl`."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from atommem_cli.core.clock import Clock
from atommem_cli.running.build import Parts
from atommem_cli.runs import provenance
from atommem_cli.runs.writer import RunFolder


@contextmanager
def session(run: RunFolder, parts: Parts, command: Sequence[str]) -> Iterator[Clock]:
    """Frame the work of this process on a run by two lines of `sessions.jsonl`."""
    began = run.count
    lost = {"played_again": sorted(run.lost)} if run.lost else {}
    run.sessions.append({**provenance.session_start(command, run.changed), **lost, "store": parts.store.describe()})
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
                "end": provenance.now(),
                "seconds": {name: round(value, 3) for name, value in seconds.items()},
                "texts_embedded": parts.vectors.embedded - embedded,
                "episodes": run.count - began,
            }
        )
