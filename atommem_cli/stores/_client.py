"""Chroma's clients: connecting, the lock of a folder, and what their errors mean."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from atommem_cli.core import files, safe_text
from atommem_cli.core.errors import BackendError, MissingExtra
from atommem_cli.models.http import proxied

_TIMEOUT = 120.0
"""Seconds that a server may take to begin a response, and then to end it."""
_FULL = 16 * 2**20
"""Bytes; a disk with less free space than this counts as full."""


def insist_installed() -> None:
    """
    Raises:
        MissingExtra: chromadb is not installed.
    """
    if importlib.util.find_spec("chromadb") is None:
        raise MissingExtra("chromadb is not installed: pip install 'chromadb>=1.5.9,<1.6'")


def connect(path: str, url: str) -> Any:
    """A client of the folder or the server; with neither, of this process's memory.

    Raises:
        Exception: whatever chromadb raises; see `sentence`.
    """
    import chromadb

    settings = chromadb.Settings(anonymized_telemetry=False)
    if path:
        return chromadb.PersistentClient(Path(path).expanduser(), settings)
    if not url:
        return chromadb.EphemeralClient(settings)
    return _connect_server(url, settings)


def _connect_server(url: str, settings: Any) -> Any:
    import chromadb
    import httpx

    # Chroma's client would wait for ever for a server that hangs.
    heartbeat = httpx.get(f"{url.rstrip('/')}/api/v2/heartbeat", timeout=_TIMEOUT)
    if not heartbeat.is_success:
        raise BackendError(f"{url} answers with status {heartbeat.status_code}: it is no Chroma server")
    server = urlsplit(url)
    secure = server.scheme == "https"
    port = server.port or (443 if secure else 80)
    client = chromadb.HttpClient(str(server.hostname), port, ssl=secure, settings=settings)
    session = client._server._session
    session.timeout = _TIMEOUT
    session.event_hooks = {"response": [_bound]}
    return client


def _bound(response: Any) -> None:
    """Give a response's body a deadline: a server that sends a byte now and then never runs into a read's."""
    import httpx

    inner, until = response.stream, time.monotonic() + _TIMEOUT

    class Bounded(httpx.SyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            for part in inner:
                if time.monotonic() > until:
                    raise httpx.ReadTimeout(f"it took longer than {_TIMEOUT:g} s")
                yield part

        def close(self) -> None:
            inner.close()

    response.stream = Bounded()


def lock(path: str) -> int:
    """Hold a folder for this process until the descriptor is closed.

    Raises:
        BackendError: another process holds it, or it cannot be written or locked.
    """
    folder = Path(path).expanduser()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder / ".lock", os.O_CREAT | os.O_RDWR, 0o644)
    except OSError as error:
        raise BackendError(f"{path}: cannot be written: {error.strerror}") from None
    try:
        if not files.lock(descriptor, folder):
            raise BackendError(
                f"{path} is in use: a Chroma folder serves one process at a time; set another store.path, or share a "
                "server (chroma run) by store.url"
            )
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def sweep(path: str) -> None:
    """Remove the index files of dropped collections, which Chroma leaves behind; no client may be open."""
    folder = Path(path).expanduser()
    with contextlib.closing(sqlite3.connect(folder / "chroma.sqlite3")) as database:
        used = {row[0] for row in database.execute("SELECT id FROM segments")}
    for index in folder.glob("*-*-*-*-*"):
        if index.is_dir() and index.name not in used:
            shutil.rmtree(index)


def sentence(error: Exception, path: str, url: str) -> str:
    """What an error of chromadb means to the user."""
    reason = safe_text.visible(" ".join(str(error).split()))[:200] or type(error).__name__
    if url:
        return f"the Chroma server at {url}{proxied(url)} does not serve (start one: chroma run): {reason}"
    if path and shutil.disk_usage(Path(path).expanduser()).free < _FULL:
        return f"the disk that holds {path} is full: make room and continue"
    if path:
        return f"Chroma failed in {path} (if this goes on, move that folder away): {reason}"
    return f"Chroma failed: {reason}"
