"""What is Chroma's own: kept entries, killed runs, shared servers, broken folders."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from threading import Timer
from typing import Any

import httpx
import numpy as np
import pytest
from chroma_server import Server
from fake_server import Server as Fault
from pydantic import ValidationError
from store_episodes import chroma, drop, put, run, texts, unit

from atommem_cli.config import recipe as recipes
from atommem_cli.core.errors import BackendError, MissingExtra
from atommem_cli.data import preparation
from atommem_cli.running import evaluation
from atommem_cli.stores import _collection
from atommem_cli.stores import chroma as module

TOP = Path(__file__).parents[2]


def inside(folder: Path) -> dict[str, int]:
    """Collections and their sizes, as another program sees them."""
    import chromadb

    with chromadb.PersistentClient(folder, chromadb.Settings(anonymized_telemetry=False)) as client:
        return {collection.name: collection.count() for collection in client.list_collections()}


@pytest.mark.parametrize("entries", [10, 100, 1_000, 10_000])
def test_recall_at_6_against_brute_force_on_what_chroma_holds(entries: int) -> None:
    import chromadb

    vectors = unit(entries + 50, dimension=64, seed=entries)
    name = f"recall-{entries}"
    store = chroma(collection=name)
    store.begin(["e", "other"])
    store.write(
        [put(e, i, v) for e in ("e", "other")[: 1 + (entries < 10_000)] for i, v in enumerate(vectors[:entries])]
    )
    store.entries("other")  # in memory, Chroma is told when someone asks
    client = chromadb.EphemeralClient(chromadb.Settings(anonymized_telemetry=False))
    (collection,) = [c for c in client.list_collections() if c.name.startswith(name)]
    held: dict[int, Any] = {}
    for offset in range(0, entries, 1_000):
        page = collection.get(where={"episode": "e"}, limit=1_000, offset=offset, include=["embeddings", "metadatas"])
        held |= {m["entry"]: v for m, v in zip(page["metadatas"], page["embeddings"], strict=True)}
    ids = np.array(sorted(held))
    matrix = np.stack([held[i] for i in ids]).astype(np.float64)
    assert len(ids) == entries
    hits = 0
    for query in vectors[entries:]:
        best = ids[np.argsort(-(matrix @ query), kind="stable")[:6]].tolist()
        hits += len(set(best) & set(store.nearest("e", query, 6)))
    assert hits / (50 * 6) == 1.0
    client.close()
    store.close()


def test_kept_entries_stay_and_are_replaced_when_their_episode_begins_again(tmp_path: Path) -> None:
    a, b = unit(2)
    store = chroma(path=str(tmp_path), keep=True, run="r1")
    store.begin(["e", "f"])
    store.write([put("e", 1, a, "one"), put("f", 1, b, "two"), put("f", 2, b, "three")])
    store.end(["e", "f"])
    assert texts(store, "f") == {1: "two", 2: "three"}
    store.close()
    assert inside(tmp_path) == {"atommem-r1": 3}
    store = chroma(path=str(tmp_path), keep=True, run="r1")
    assert texts(store, "e") == {1: "one"}
    store.begin(["f"])
    store.write([put("f", 1, a, "anew")])
    assert texts(store, "e") == {1: "one"}
    assert texts(store, "f") == {1: "anew"}
    store.close()


def test_what_is_not_kept_leaves_nothing(tmp_path: Path) -> None:
    store = chroma(path=str(tmp_path), run="r1")
    store.begin(["e"])
    store.write([put("e", i, v) for i, v in enumerate(unit(1_200))])
    store.end(["e"])
    store.close()
    store.close()
    assert inside(tmp_path) == {}
    assert [p.name for p in tmp_path.iterdir() if p.is_dir()] == []


KILLED = """
import os, signal, sys
from store_episodes import chroma, put, unit
store = chroma(path=sys.argv[1], run="r1", keep=sys.argv[2] == "keep")
store.begin(["e", "f"])
store.write([put(e, i, v) for e in ("e", "f") for i, v in enumerate(unit(40))])
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("keep", ["keep", "drop"])
def test_leftovers_of_a_killed_run_are_invisible(tmp_path: Path, keep: str) -> None:
    done = run("import sys; sys.path.insert(0, 'tests/support')" + KILLED, str(tmp_path), keep)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert inside(tmp_path) == {"atommem-r1": 80}
    other = chroma(path=str(tmp_path), run="r2")
    other.begin(["e"])
    assert other.entries("e") == []
    other.close()
    store = chroma(path=str(tmp_path), run="r1", keep=keep == "keep")
    store.begin(["e"])
    assert store.entries("e") == []
    store.write([put("e", 7, unit(1)[0], "seven")])
    assert store.nearest("e", unit(1)[0], 6) == [7]
    assert texts(store, "e") == {7: "seven"}
    assert len(store.entries("f")) == (40 if keep == "keep" else 0)
    store.close()


def test_a_store_that_never_begins_touches_nothing(tmp_path: Path) -> None:
    run("import sys; sys.path.insert(0, 'tests/support')" + KILLED, str(tmp_path), "drop")
    chroma(path=str(tmp_path), run="r1").close()
    assert inside(tmp_path) == {"atommem-r1": 80}


def test_another_dimension_is_one_sentence(tmp_path: Path) -> None:
    store = chroma(path=str(tmp_path), run="r1", keep=True)
    store.begin(["e"])
    store.write([put("e", 1, unit(1, 8)[0])])
    store.close()
    store = chroma(path=str(tmp_path), run="r1", keep=True)
    store.begin(["f"])
    with pytest.raises(BackendError, match=r"atommem-r1 in .* 8 dimensions and the embedder makes 5: use"):
        store.write([put("f", 1, unit(1, 5)[0])])
    store.close()


def test_a_folder_serves_one_process_at_a_time(tmp_path: Path) -> None:
    store = chroma(path=str(tmp_path))
    code = "from atommem_cli.stores import chroma; import sys; chroma.build(chroma.Options(path=sys.argv[1]))"
    done = run(code, str(tmp_path))
    assert done.returncode == 1
    assert f"{tmp_path} is in use" in done.stderr
    store.close()
    assert run(code, str(tmp_path)).returncode == 0


def test_a_worn_collection_is_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_collection, "_WORN", 300)
    monkeypatch.setattr(module, "_EVERY", 0.0)
    vectors = unit(100)
    for options in ({}, {"path": str(tmp_path)}):
        store = chroma(**options)
        store.begin(["stays"])
        store.write([put("stays", i, v, f"text {i}") for i, v in enumerate(vectors)])
        nearest = store.nearest("stays", vectors[3], 20)
        for number in range(12):
            store.begin([f"e{number}"])
            store.write([put(f"e{number}", i, v) for i, v in enumerate(vectors)])
            assert len(store.entries(f"e{number}")) == 100
            store.write([put("stays", number, vectors[number], f"changed {number}"), drop(f"e{number}", 0)])
            store.end([f"e{number}"])
        assert texts(store, "stays") == {i: f"changed {i}" if i < 12 else f"text {i}" for i in range(100)}
        assert store.nearest("stays", vectors[3], 20) == nearest
        store.close()
    assert sum(file.stat().st_size for file in tmp_path.rglob("*") if file.is_file()) < 2_000_000


def test_stores_in_memory_do_not_share() -> None:
    first, second = chroma(run="r1"), chroma(run="r1")
    first.begin(["e"])
    second.begin(["e"])
    first.write([put("e", 1, unit(1)[0])])
    assert second.entries("e") == []
    second.close()
    assert len(first.entries("e")) == 1
    first.close()


# --- servers


def test_runs_on_one_server_do_not_see_each_other(server: Server) -> None:
    first, second = chroma(url=server.url, run="r1"), chroma(url=server.url, run="r2")
    for store in (first, second):
        store.begin(["e"])
    first.write([put("e", 1, unit(1)[0], "first")])
    second.write([put("e", 1, unit(1)[0], "second")])
    second.end(["e"])
    second.close()
    assert texts(first, "e") == {1: "first"}
    first.close()


def test_the_same_stamp_twice_is_noticed(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_EVERY", 0.0)
    first, second = chroma(url=server.url, run="twice"), chroma(url=server.url, run="twice")
    first.begin(["e"])
    first.write([put("e", 1, unit(1)[0])])
    second.begin(["e"])
    with pytest.raises(BackendError, match=r"atommem-twice .* is gone: another process with the same run stamp"):
        first.write([put("e", 2, unit(1)[0])])
    first.close()
    second.close()


def test_a_server_that_goes_away(tmp_path: Path) -> None:
    server = Server(tmp_path / "db")
    store = chroma(url=server.url)
    store.begin(["e"])
    server.stop()
    with pytest.raises(BackendError, match=f"the Chroma server at {server.url} does not serve"):
        store.write([put("e", 1, unit(1)[0])])
    store.close()
    with pytest.raises(BackendError, match=r"does not serve \(start one: chroma run\)"):
        chroma(url=server.url)


def test_a_server_that_is_no_chroma() -> None:
    with subprocess.Popen(
        [sys.executable, "-u", "-m", "http.server", "0", "--bind", "127.0.0.1"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        cwd=TOP / "tests" / "golden",
    ) as process:
        assert process.stdout is not None
        port = process.stdout.readline().split(" port ")[1].split()[0]
        with pytest.raises(BackendError, match="status 404: it is no Chroma server"):
            chroma(url=f"http://127.0.0.1:{port}")
        process.kill()


# --- what can be wrong with a folder, or with an installation


def test_a_folder_with_garbage_in_it(tmp_path: Path) -> None:
    (tmp_path / "chroma.sqlite3").write_bytes(b"garbage" * 1_000)
    with pytest.raises(BackendError, match=f"Chroma failed in {tmp_path} .* not a database"):
        chroma(path=str(tmp_path))


def test_a_path_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(BackendError, match="file: cannot be written: "):
        chroma(path=str(tmp_path / "file"))


FULL = """
import sys; sys.path.insert(0, "tests/support")
from store_episodes import chroma, put, unit
from atommem_cli.stores import chroma as module
module._EVERY = 0.0
store = chroma(path=sys.argv[1])
store.begin(["e"])
try:
    for round in range(60):
        store.write([put("e", 100 * round + i, v, "text " * 20) for i, v in enumerate(unit(100, 256))])
finally:
    store.close()
"""


def test_a_full_disk(tmp_path: Path) -> None:
    mount = ("unshare", "-rm", "sh", "-c", 'mount -t tmpfs -o size=2m none "$0" && exec "$@"', str(tmp_path))
    if subprocess.run([*mount, "true"], check=False, capture_output=True).returncode:
        pytest.skip("a small disk cannot be mounted here")
    done = run(FULL, str(tmp_path), before=mount)
    assert f"BackendError: the disk that holds {tmp_path} is full: make room and continue" in done.stderr


OFFLINE = """
import socket, sys
def refuse(*_): raise SystemExit("the network was asked")
socket.socket.connect = socket.getaddrinfo = refuse
sys.path.insert(0, "tests/support")
from store_episodes import chroma, put, unit
store = chroma()
store.begin(["e"])
store.write([put("e", i, v) for i, v in enumerate(unit(20))])
assert len(store.nearest("e", unit(1)[0], 6)) == 6 and len(store.entries("e")) == 20
store.end(["e"])
store.close()
print("done")
"""


def test_the_embedded_store_asks_nobody() -> None:
    apart = ("unshare", "-rn")
    possible = shutil.which("unshare") and subprocess.run([*apart, "true"], check=False).returncode == 0
    done = run(OFFLINE, before=apart if possible else ())
    assert done.stdout.endswith("done\n"), done.stderr


def test_without_chromadb(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "chromadb", None)
    with pytest.raises(MissingExtra, match="chromadb is not installed: pip install"):
        chroma()


@pytest.mark.parametrize(
    "options",
    [
        {"path": "a", "url": "http://b:1"},
        {"url": "b:1"},
        {"url": "http://user:secret@b:1"},
        {"collection": "../x"},
        {"run": "a/b"},
        {"pth": "a"},
    ],
)
def test_wrong_options(options: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        module.Options(**options)  # type: ignore[arg-type]


def test_describe(tmp_path: Path) -> None:
    memory, folder = chroma(), chroma(path=str(tmp_path), run="r1")
    assert memory.describe() == {"name": "chroma", "version": "1.5.9", "place": "memory"}
    assert folder.describe()["collection"] == "atommem-r1"
    assert folder.describe()["place"] == str(tmp_path)
    memory.close()
    folder.close()


def test_a_server_that_hangs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from atommem_cli.stores import _client

    monkeypatch.setattr(_client, "_TIMEOUT", 0.5)
    server = Server(tmp_path / "db")
    store = chroma(url=server.url)
    store.begin(["e"])
    os.kill(server.process.pid, signal.SIGSTOP)
    began = time.monotonic()
    with pytest.raises(BackendError, match="timed out"):
        store.write([put("e", 1, unit(1)[0])])
    for lost in (lambda: store.begin(["f"]), lambda: store.entries("e")):
        with pytest.raises(BackendError, match="timed out"):
            lost()
    assert time.monotonic() - began < 2, "a server that is lost is not waited for again and again"
    with pytest.raises(BackendError, match="timed out"):
        chroma(url=server.url)
    assert time.monotonic() - began < 10
    store.close()
    server.stop()


def test_a_response_that_never_ends_has_a_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    from atommem_cli.stores import _client

    monkeypatch.setattr(_client, "_TIMEOUT", 0.3)
    with (
        Fault() as server,
        httpx.Client(event_hooks={"response": [_client._bound]}) as session,
        pytest.raises(httpx.ReadTimeout, match=r"longer than 0\.3 s"),
    ):
        session.get(f"{server.at('trickle')}/heartbeat")


def test_a_server_that_dies_under_many_episodes_is_one_sentence_and_the_run_goes_on_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_EVERY", 0.0)  # told every round: a run of a second or two hears of it in any case
    preparation.prepare("stream", out=str(tmp_path / "data"), limit=8)
    server = Server(tmp_path / "db")
    with Fault(latency=0.01) as model:
        recipe = recipes.load(
            "tiny",
            [
                f"task.folder={tmp_path / 'data'}",
                f"policy={{name: openai_server, url: '{model.at('operations')}', model: m}}",
                f"store={{name: chroma, url: '{server.url}'}}",
            ],
        )
        undisturbed = evaluation.evaluate(recipe, tmp_path / "undisturbed")
        killer = Timer(0.3, server.stop)
        killer.start()
        with pytest.raises(BackendError, match=f"the Chroma server at {server.url} does not serve"):
            evaluation.evaluate(recipe, tmp_path / "run")
        killer.join()
        again = Server(tmp_path / "db", port=int(server.url.rpartition(":")[2]))
        assert evaluation.evaluate(recipe, tmp_path / "run")["digest"] == undisturbed["digest"]
        again.stop()
