"""A real Chroma server."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

CHROMA = Path(sys.executable).with_name("chroma")


class Server:
    """A real `chroma run` on a loopback port, a free one unless one is named."""

    def __init__(self, folder: Path, port: int = 0) -> None:
        binary = str(CHROMA) if CHROMA.exists() else shutil.which("chroma")
        if binary is None:
            pytest.skip("there is no chroma binary")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = port or free.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        with (folder.parent / f"chroma-{port}.log").open("w") as log:
            command = [binary, "run", "--path", str(folder), "--host", "127.0.0.1", "--port", str(port)]
            self.process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        for _ in range(300):
            try:
                httpx.get(f"{self.url}/api/v2/heartbeat", timeout=5).raise_for_status()
                return
            except httpx.HTTPError:
                time.sleep(0.1)
        self.stop()
        raise AssertionError("chroma run did not come up in 30 s")

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()
