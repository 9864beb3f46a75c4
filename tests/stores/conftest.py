"""The stores that the contract is tested on."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from chroma_server import Server

from atommem_cli.config import plugins
from atommem_cli.core.store import Store


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    started = Server(tmp_path_factory.mktemp("server"))
    yield started
    started.stop()


@pytest.fixture(scope="session", params=["exact", "memory", "folder", "server"])
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """Each kind of store, shared by all tests of the contract: they use episodes of their own."""
    module = plugins.load("stores", "exact" if request.param == "exact" else "chroma")
    options = {}
    if request.param == "folder":
        options["path"] = str(tmp_path_factory.mktemp("chroma"))
    elif request.param == "server":
        options["url"] = request.getfixturevalue("server").url
    made: Store = module.build(module.Options(**options))
    yield made
    made.close()
