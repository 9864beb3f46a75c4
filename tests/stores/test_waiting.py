"""Nothing is lost, and nothing is told twice, on the way from a memory to Chroma."""

from __future__ import annotations

import random
import signal
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from store_episodes import chroma, drop, put, run, unit

from atommem_cli.stores import _entries
from atommem_cli.stores import chroma as module
from atommem_cli.stores._waiting import Waiting

HOUR = 3_600.0


class Told:
    """What a Chroma holds that is told what waits, and how much it was told."""

    def __init__(self) -> None:
        self.held: dict[str, str] = {}
        self.calls = 0

    def tell(self, waiting: Waiting) -> None:
        for name in waiting.removals:
            self.held.pop(name, None)
        for change in waiting.additions:
            name = _entries.name(change.episode, change.entry.id)
            assert name not in self.held, "it would be overwritten in place"
            self.held[name] = change.entry.text
        self.calls += len(waiting)
        waiting.written()


def test_what_is_told_now_and_then_comes_to_the_same() -> None:
    (vector,) = unit(1)
    for seed in range(30):
        draw, waiting, told, truth, written = random.Random(seed), Waiting(), Told(), dict[str, str](), 0
        for number in range(300):
            episode, entry = draw.choice("abc"), draw.randrange(6)
            name, what = _entries.name(episode, entry), draw.random()
            if what < 0.5:
                waiting.add([put(episode, entry, vector, text := f"text {number}")])
                truth[name] = text
                written += 1
            elif what < 0.7 and name in truth:
                waiting.add([drop(episode, entry)])
                del truth[name]
            elif what < 0.8:
                waiting.drop([episode])
                truth = {name: text for name, text in truth.items() if not name.startswith(episode)}
            elif what < 0.8 + 0.2 * (seed % 3):
                told.tell(waiting)
                assert told.held == truth
        told.tell(waiting)
        assert told.held == truth
        assert not waiting
        assert told.calls <= 2 * written


def test_what_lives_short_is_never_told() -> None:
    waiting, (vector,) = Waiting(), unit(1)
    waiting.add([put("e", i, vector) for i in range(5)])
    waiting.add([drop("e", 0), put("e", 1, vector, "changed")])
    assert [change.entry.text for change in waiting.additions] == ["changed", "entry 2", "entry 3", "entry 4"]
    waiting.drop(["e"])
    assert not waiting


def others_see(folder: Path) -> set[str]:
    """The entries in a folder, as another program sees them while it is written."""
    with closing(sqlite3.connect(f"file:{folder}/chroma.sqlite3?mode=ro", uri=True)) as database:
        return {row[0] for row in database.execute("SELECT embedding_id FROM embeddings")}


def test_others_see_what_episodes_hold_at_the_latest_a_period_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_EVERY", HOUR)
    vectors, store = unit(3), chroma(path=str(tmp_path))
    store.begin(["e", "f"])
    store.write([put("e", 1, vectors[0])])
    assert others_see(tmp_path) == {"e/1"}, "the first time is at once"
    store.write([put("e", 2, vectors[1]), put("f", 1, vectors[2]), drop("e", 1)])
    assert others_see(tmp_path) == {"e/1"}
    assert store.nearest("e", vectors[0], 3) == [2], "the episode itself sees it at once"
    monkeypatch.setattr(store, "_next", 0.0)
    store.write([])
    assert others_see(tmp_path) == {"e/2", "f/1"}
    store.end(["e"])
    assert others_see(tmp_path) == {"e/2", "f/1"}
    assert store.entries("e") == []
    assert others_see(tmp_path) == {"f/1"}
    store.close()


KILLED = """
import os, signal, sys
sys.path.insert(0, "tests/support")
from store_episodes import chroma, put, unit
from atommem_cli.stores import chroma as module
module._EVERY = 3_600.0
store = chroma(path=sys.argv[1], run="r1", keep=True)
store.begin(["e", "f"])
for i, vector in enumerate(unit(40)):
    store.write([put("e", i, vector)])
    store.write([put("f", i, vector)])
store.end(["e"])
store.begin(["g"])
store.write([put("g", 1, unit(1)[0])])
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_is_to_be_kept_of_an_episode_that_has_ended_outlives_a_kill(tmp_path: Path) -> None:
    done = run(KILLED, str(tmp_path))
    assert done.returncode == -signal.SIGKILL, done.stderr
    store = chroma(path=str(tmp_path), run="r1", keep=True)
    assert [entry.id for entry in store.entries("e")] == list(range(40))
    assert store.entries("g") == [], "it had not ended"
    store.close()


IN_MEMORY = """
import sys
sys.path.insert(0, "tests/support")
from store_episodes import chroma, put, unit
store = chroma()
store.begin(["e", "f"])
store.write([put("e", i, vector) for i, vector in enumerate(unit(20))])
assert len(store.nearest("e", unit(1)[0], 6)) == 6
store.end(["f"])
print("chromadb" in sys.modules, len(store.entries("e")), "chromadb" in sys.modules)
store.close()
"""


def test_in_memory_chroma_is_not_even_loaded_until_it_is_asked() -> None:
    done = run(IN_MEMORY)
    assert done.stdout == "False 20 True\n", done.stderr
