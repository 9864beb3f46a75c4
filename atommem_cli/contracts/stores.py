"""What a store promises; see `store.Store`."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from atommem_cli.contracts import promises
from atommem_cli.contracts._episodes import drop, play, put, script, unit
from atommem_cli.contracts.promises import insist
from atommem_cli.core.safe_text import shown
from atommem_cli.core.store import Store
from atommem_cli.core.types import MemoryEntry

if TYPE_CHECKING:
    from atommem_cli.core.store import Vector

MANY = 1_500
"""Changes in one call: more than some databases take at once."""
_numbers = itertools.count()


def check(store: Store) -> None:
    """Insist on every promise of a store; what it holds already stays as it is.

    Raises:
        ContractBroken: one sentence.
    """
    promises.check(PROMISES, store)


def an_empty_episode_shows_nothing(store: Store) -> None:
    """An episode that has begun and was not written to has no entries."""
    episode = _begun(store)
    _insist_nearest(store, episode, unit(1)[0], 6, [])
    _insist_entries(store, episode, {})


def the_nearest_come_first(store: Store) -> None:
    """`nearest` gives the k entries of highest cosine, best first; all of them where there are no more than k."""
    episode = _begun(store)
    east, north = np.eye(8, dtype=np.float32)[:2]
    near = np.float32(0.8) * east + np.float32(0.6) * north
    store.write([put(episode, i, vector) for i, vector in enumerate((east, north, near, -east), 1)])
    _insist_nearest(store, episode, east, 2, [1, 3])
    _insist_nearest(store, episode, east, 10, [1, 3, 2, 4])


def retrieval_is_exact(store: Store) -> None:
    """`nearest` is exact: what it gives is what a comparison with every entry gives."""
    episode = _begun(store)
    vectors = unit(400, seed=7)
    store.write([put(episode, i, vector) for i, vector in enumerate(vectors)])
    for query in unit(20, seed=8):
        _insist_nearest(store, episode, query, 6, np.argsort(-(vectors @ query), kind="stable")[:6].tolist())
    store.end([episode])


def equal_vectors_go_by_id(store: Store) -> None:
    """Of entries that are equally near, the one with the lower id comes first."""
    episode = _begun(store)
    same = unit(1)[0]
    store.write([put(episode, i, same) for i in (5, 3, 9, 1, 7)])
    store.write([drop(episode, 3), put(episode, 2, same), put(episode, 9, same)])
    _insist_nearest(store, episode, same, 4, [1, 2, 5, 7])


def writing_again_replaces(store: Store) -> None:
    """To write an entry again replaces its text and its vector."""
    episode = _begun(store)
    a, b, c = np.eye(8, dtype=np.float32)[:3]
    store.write([put(episode, 1, a, "old"), put(episode, 2, b, "other")])
    _insist_nearest(store, episode, (a + c) / np.sqrt(2), 1, [1])
    store.write([put(episode, 1, -c, "new")])
    _insist_nearest(store, episode, (a + c) / np.sqrt(2), 1, [2])
    _insist_entries(store, episode, {1: "new", 2: "other"})


def the_last_change_counts(store: Store) -> None:
    """The changes of one call are carried out in order, so the last one of an entry counts."""
    episode = _begun(store)
    a, b, c = unit(3)
    store.write([put(episode, 1, a, "old"), put(episode, 1, b, "new"), put(episode, 2, a), drop(episode, 2)])
    _insist_entries(store, episode, {1: "new"})
    store.write([drop(episode, 1), put(episode, 1, c, "again"), put(episode, 3, a, "three")])
    _insist_entries(store, episode, {1: "again", 3: "three"})
    _insist_nearest(store, episode, c, 1, [1])
    store.write([put(episode, 3, b, "gone"), drop(episode, 3)])
    _insist_entries(store, episode, {1: "again"})
    _insist_nearest(store, episode, b, 9, [1])


def what_is_removed_is_gone(store: Store) -> None:
    """An entry that is removed (`vector` None) is found no more, and an emptied episode can be written to again."""
    episode = _begun(store)
    a, b = unit(2)
    store.write([put(episode, 1, a)])
    store.write([drop(episode, 1)])
    _insist_nearest(store, episode, a, 3, [])
    store.write([put(episode, 2, b)])
    _insist_nearest(store, episode, a, 3, [2])


def what_is_not_there_is_an_error(store: Store) -> None:
    """To remove what is not there, or to write to or ask an episode that has not begun, is a KeyError."""
    episode, ended = _begun(store), _begun(store)
    store.end([ended])
    _insist_key_error(lambda: store.write([drop(episode, 7)]), "write removes an entry that is not there")
    stray = put("contract/never begun", 1, unit(1)[0])
    _insist_key_error(lambda: store.write([stray]), "write takes an entry of an episode that has not begun")
    _insist_key_error(lambda: store.nearest(ended, unit(1)[0], 3), "nearest answers for an episode that has ended")


def begin_empties_and_end_forgets(store: Store) -> None:
    """`begin` empties what an earlier run left of an episode, and `end` forgets the episode."""
    episode = _begun(store)
    store.write([put(episode, 1, unit(1)[0])])
    store.begin([episode])
    _insist_nearest(store, episode, unit(1)[0], 3, [])
    _insist_entries(store, episode, {})
    store.write([put(episode, 1, unit(1)[0])])
    store.end([episode])
    _insist_entries(store, episode, {})


def nothing_to_do_costs_nothing(store: Store) -> None:
    """Nothing to begin, to write or to end is no error, and neither is the end of what never began."""
    store.begin([])
    store.write([])
    store.end([])
    store.end(["contract/never begun"])


def any_text_comes_back(store: Store) -> None:
    """Any text comes back as it was: control characters, lone surrogates, any script, of any length."""
    episode = _begun(store)
    texts = [" ", "a\x00b", "\ud800 lone", "\udfff\\ud800", "日本 🎈", 'q"\n/#', "x" * 20_000]
    store.write([put(episode, i, vector, text) for i, (vector, text) in enumerate(zip(unit(7), texts, strict=True))])
    _insist_entries(store, episode, dict(enumerate(texts)))


def many_changes_fit_one_call(store: Store) -> None:
    """One call takes any number of changes."""
    episode = _begun(store)
    store.write([put(episode, i, vector) for i, vector in enumerate(unit(MANY))])
    insist(
        [entry.id for entry in store.entries(episode)] == list(range(MANY)),
        f"entries gives other ids than those of the {MANY:,} entries that were written at once, in order",
    )
    store.write([drop(episode, i) for i in range(1, MANY)])
    _insist_entries(store, episode, {0: "entry 0"})
    store.end([episode])


def episodes_do_not_see_each_other(store: Store) -> None:
    """Whatever happens to one episode cannot be seen in another, whether they say the same or not."""
    seeds = [*[1] * 12, *range(6)]
    scripts = {f"contract/{next(_numbers)}#{i}": script(seed) for i, seed in enumerate(seeds)}
    together = play(store, scripts)
    alone = {seed: play(store, {"contract/alone": script(seed)})["contract/alone"] for seed in {*seeds}}
    for name, seed in zip(scripts, seeds, strict=True):
        insist(
            together[name] == alone[seed],
            f"an episode among {len(scripts)} others comes out otherwise than alone: keep the entries of each "
            "`Change.episode` apart, ids are counted anew in each",
        )


def _begun(store: Store) -> str:
    name = f"contract/{next(_numbers)}#0"
    store.begin([name])
    return name


def _insist_nearest(store: Store, episode: str, query: Vector, k: int, wanted: list[int]) -> None:
    found = store.nearest(episode, query, k)
    insist(
        found == wanted,
        f"nearest gives the ids {shown(found)} for k = {k}, and {shown(wanted)} is right: by cosine, best first, ties "
        "to the lower id, as a list of whole numbers",
    )


def _insist_entries(store: Store, episode: str, wanted: dict[int, str]) -> None:
    found = store.entries(episode)
    right = [MemoryEntry(i, text) for i, text in sorted(wanted.items())]
    insist(found == right, f"entries gives {shown(found)}, and {shown(right)} is right: what is held now, by id")


def _insist_key_error(act: Callable[[], object], what: str) -> None:
    try:
        act()
    except KeyError:
        return
    raise promises.ContractBroken(f"{what}: raise a KeyError there, or faults of the memory stay hidden")


PROMISES: tuple[promises.Promise[Store], ...] = (
    an_empty_episode_shows_nothing,
    the_nearest_come_first,
    retrieval_is_exact,
    equal_vectors_go_by_id,
    writing_again_replaces,
    the_last_change_counts,
    what_is_removed_is_gone,
    what_is_not_there_is_an_error,
    begin_empties_and_end_forgets,
    nothing_to_do_costs_nothing,
    any_text_comes_back,
    many_changes_fit_one_call,
    episodes_do_not_see_each_other,
    promises.describes_itself,
)
"""All of them."""
