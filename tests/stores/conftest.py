"""A real Chroma server for the tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from chroma_server import Server


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    started = Server(tmp_path_factory.mktemp("server"))
    yield started
    started.stop()
