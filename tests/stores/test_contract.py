"""What every store promises, on every kind of store."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from store_episodes import Played, drop, play, put, script, texts, unit

from atommem_cli.core.store import Store
from atommem_cli.core.types import MemoryEntry

_numbers = itertools.count()


@pytest.fixture
def episode(store: Store) -> str:
    name = f"task/{next(_numbers)}#0"
    store.begin([name])
    return name


def test_an_empty_episode_shows_nothing(store: Store, episode: str) -> None:
    assert store.nearest(episode, unit(1)[0], 6) == []
    assert store.entries(episode) == []


def test_nearest_comes_first_and_k_may_exceed_the_entries(store: Store, episode: str) -> None:
    east, north = np.eye(8, dtype=np.float32)[:2]
    near = np.float32(0.8) * east + np.float32(0.6) * north
    store.write([put(episode, i, vector) for i, vector in enumerate((east, north, near, -east), 1)])
    assert store.nearest(episode, east, 2) == [1, 3]
    assert store.nearest(episode, east, 10) == [1, 3, 2, 4]


def test_equal_vectors_go_by_id(store: Store, episode: str) -> None:
    same = unit(1)[0]
    store.write([put(episode, i, same) for i in (5, 3, 9, 1, 7)])
    store.write([drop(episode, 3), put(episode, 2, same), put(episode, 9, same)])
    assert store.nearest(episode, same, 4) == [1, 2, 5, 7]


def test_replacing_changes_vector_and_text(store: Store, episode: str) -> None:
    a, b, c = np.eye(8, dtype=np.float32)[:3]
    store.write([put(episode, 1, a, "old"), put(episode, 2, b, "other")])
    assert store.nearest(episode, (a + c) / np.sqrt(2), 1) == [1]
    store.write([put(episode, 1, -c, "new")])
    assert store.nearest(episode, (a + c) / np.sqrt(2), 1) == [2]
    assert texts(store, episode) == {1: "new", 2: "other"}


def test_the_last_change_of_a_round_counts(store: Store, episode: str) -> None:
    a, b, c = unit(3)
    store.write([put(episode, 1, a, "old"), put(episode, 1, b, "new"), put(episode, 2, a), drop(episode, 2)])
    assert texts(store, episode) == {1: "new"}
    store.write([drop(episode, 1), put(episode, 1, c, "again"), put(episode, 3, a, "three")])
    assert texts(store, episode) == {1: "again", 3: "three"}
    assert store.nearest(episode, c, 1) == [1]
    store.write([put(episode, 3, b, "gone"), drop(episode, 3)])
    assert texts(store, episode) == {1: "again"}
    assert store.nearest(episode, b, 9) == [1]


def test_removing_everything_and_starting_again(store: Store, episode: str) -> None:
    a, b = unit(2)
    store.write([put(episode, 1, a)])
    store.write([drop(episode, 1)])
    assert store.nearest(episode, a, 3) == []
    store.write([put(episode, 2, b)])
    assert store.nearest(episode, a, 3) == [2]


def test_what_is_not_there_cannot_be_removed_or_written_to(store: Store, episode: str) -> None:
    with pytest.raises(KeyError):
        store.write([drop(episode, 7)])
    with pytest.raises(KeyError):
        store.write([put("never begun", 1, unit(1)[0])])


def test_begin_empties_and_end_forgets(store: Store, episode: str) -> None:
    store.write([put(episode, 1, unit(1)[0])])
    store.begin([episode])
    assert store.nearest(episode, unit(1)[0], 3) == []
    assert store.entries(episode) == []
    store.write([put(episode, 1, unit(1)[0])])
    store.end([episode])
    assert store.entries(episode) == []
    with pytest.raises(KeyError):
        store.nearest(episode, unit(1)[0], 3)


def test_nothing_to_do_costs_nothing(store: Store) -> None:
    store.begin([])
    store.write([])
    store.end([])
    store.end(["never begun"])


@pytest.mark.parametrize(
    "text", ["", "a\x00b", "\ud800 lone", "\udfff\\ud800", "日本 🎈", 'q"\n/#', "x" * 20_000], ids=range(7)
)
def test_any_text_comes_back_as_it_was(store: Store, episode: str, text: str) -> None:
    store.write([put(episode, 1, unit(1)[0])])
    store.write([put(episode, 2, unit(1)[0], text or " ")])
    assert store.entries(episode)[1] == MemoryEntry(2, text or " ")


def test_more_changes_than_fit_one_call(store: Store, episode: str) -> None:
    vectors = unit(2_500)
    store.write([put(episode, i, vector) for i, vector in enumerate(vectors)])
    assert [entry.id for entry in store.entries(episode)] == list(range(2_500))
    store.write([drop(episode, i) for i in range(1, 2_500)])
    assert texts(store, episode) == {0: "entry 0"}
    store.end([episode])
    assert store.entries(episode) == []


def test_64_twins_behave_as_one(store: Store) -> None:
    twins = {f"{next(_numbers)}#{i}": script(1, steps=8) for i in range(64)}
    together = play(store, twins)
    single = play(store, {"alone": script(1, steps=8)})["alone"]
    assert len(single[2]) > 3
    assert all(played == single for played in together.values())


_alone: dict[tuple[int, int], Played] = {}


def alone(store: Store, seed: int) -> Played:
    """An episode in a store that it has for itself at the time."""
    key = (id(store), seed)
    if key not in _alone:
        _alone[key] = play(store, {"alone": script(seed)})["alone"]
    return _alone[key]


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seeds=st.lists(st.integers(0, 15), min_size=2, max_size=8))
def test_interleaved_episodes_equal_each_alone(store: Store, seeds: list[int]) -> None:
    names = {f"{next(_numbers)}#{i}": seed for i, seed in enumerate(seeds)}
    together = play(store, {name: script(seed) for name, seed in names.items()})
    for name, seed in names.items():
        assert together[name] == alone(store, seed)
