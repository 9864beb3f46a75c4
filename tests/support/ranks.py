"""Processes that train together, as a launcher starts them: warm, over gloo."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from pathlib import Path

import warm


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def together(arguments: Sequence[str], said: Path, *, processes: int = 2, code: str = "") -> list[str]:
    """`atommem` with these arguments, or some Python, in each of them; what each printed, on either stream.

    Args:
        said: a folder for what they print.
    """
    port = str(free_port())
    under_way = []
    for rank in map(str, range(processes)):
        (said / rank).mkdir(parents=True)
        places = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": str(processes), "LOCAL_WORLD_SIZE": str(processes)}
        meeting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "ACCELERATE_USE_CPU": "true"}
        under_way.append(warm.start(arguments, code=code, said=said / rank, **places, **meeting))
    for process in under_way:
        process.join(200)
    printed = [(said / str(rank) / name).read_text() for rank in range(processes) for name in ("stdout", "stderr")]
    assert [process.exitcode for process in under_way] == [0] * processes, printed
    return printed
