"""One function over many jobs, in this process or in several, with the results in order."""

from __future__ import annotations

import os
import pickle
import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from multiprocessing import get_context
from typing import Any, TypeVar

from atommem_cli.config import plugins
from atommem_cli.core.errors import BackendError

BATCH = 4
"""Jobs that are sent to a process at once."""

J = TypeVar("J")
R = TypeVar("R")


def useful(workers: int, jobs: int) -> int:
    """How many of some processes have something to do: no more than batches, and than the cores that are ours."""
    return max(1, min(workers, -(-jobs // BATCH), len(os.sched_getaffinity(0))))


def ordered(make: Callable[[J], R], jobs: Iterable[J], workers: int) -> Iterator[R]:
    """`make(job)` for every job, in the order of the jobs.

    Jobs are taken and results held for at most two batches per process, so memory does not grow with
    their number.

    Args:
        make: sent to each process once, so it must be picklable unless `workers` is 1.
        workers: processes at most; 1 is this one.

    Raises:
        BackendError: a process died.
    """
    if workers == 1:
        yield from map(make, jobs)
        return
    remaining = iter(jobs)
    under_way: deque[Future[list[R]]] = deque()
    # Not forked: a process with threads (arrow, torch) must not be.
    with ProcessPoolExecutor(
        workers, mp_context=get_context("spawn"), initializer=_start, initargs=(plugins.files(), pickle.dumps(make))
    ) as pool:
        try:
            while batch := list(islice(remaining, BATCH)):
                under_way.append(pool.submit(_run, batch))
                if len(under_way) == 2 * workers:
                    yield from under_way.popleft().result()
            while under_way:
                yield from under_way.popleft().result()
        except BrokenProcessPool as error:
            raise BackendError("a worker process died (out of memory?); try again with fewer workers") from error
        finally:
            pool.shutdown(cancel_futures=True)


_make: Callable[[Any], Any]


def _start(files: tuple[str, ...], pickled: bytes) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent ends its workers
    plugins.restore(files)
    global _make  # noqa: PLW0603 - one function for the life of a process
    _make = pickle.loads(pickled)


def _run(batch: Sequence[Any]) -> list[Any]:
    return [_make(job) for job in batch]
