"""One episode's memory: every outcome, the digest, the journal. On values, with a real store and embedder."""

from __future__ import annotations

from typing import Any

import pytest
from builders import store, vectors
from hypothesis import given
from hypothesis import strategies as st

from atommem_cli.core.effects import Edit
from atommem_cli.core.memory import Memory, Text
from atommem_cli.core.memory_digest import began_with
from atommem_cli.core.types import MEMORY_OPS, MemoryEntry, MemoryOp, OpKind, OpResult, Outcome

CREATE, READ, UPDATE, DELETE, NOTE = OpKind.CREATE, OpKind.READ, OpKind.UPDATE, OpKind.DELETE, OpKind.SCRATCHPAD


class World:
    """A memory and what serves it."""

    def __init__(self, k: int = 3, dropped: frozenset[OpKind] = frozenset(), **limits: Any) -> None:
        self.store = store("exact")
        self.store.begin(["e"])
        self.memory = Memory("e", self.store, k=k, dropped=dropped, **limits)
        self.vectors = vectors()

    def apply(self, *ops: MemoryOp) -> tuple[OpResult, ...]:
        """One step, as the driver does it."""
        self.memory.show()
        results = self.memory.apply(ops, self.vectors.vectors_for(self.memory.texts(ops)))
        self.store.write(self.memory.pending)
        self.memory.pending = []
        return results

    def outcomes(self, *ops: MemoryOp) -> list[Outcome]:
        return [result.outcome for result in self.apply(*ops)]

    def texts(self) -> list[str]:
        assert self.store.entries("e") == list(self.memory.entries)
        return [entry.text for entry in self.memory.entries]


def op(kind: OpKind, text: str = "", target: int | None = None, defect: Outcome | None = None) -> MemoryOp:
    return MemoryOp(kind, text, target, defect)


@pytest.fixture
def world() -> World:
    """Three entries, shown best first for the query "Ada Velt"."""
    made = World()
    made.apply(op(CREATE, "Ada lives in Velt"), op(CREATE, "Bo lives in Dorn"), op(CREATE, "Cy owns a mill"))
    made.apply(op(READ, "Ada lives"))
    assert [entry.id for entry in made.memory.show()][:2] == [1, 2]
    return made


def test_the_first_steps() -> None:
    world = World()
    first, second, third = world.apply(op(CREATE, "  Ada lives in Velt "), op(NOTE, "plan"), op(READ, "Ada"))
    assert (first.outcome, first.entry) == (Outcome.OK, 1)
    assert (second.outcome, second.entry, third.outcome, third.entry) == (Outcome.OK, None, Outcome.OK, None)
    assert world.memory.entries == (MemoryEntry(1, "Ada lives in Velt"),)
    assert (world.memory.scratchpad, world.memory.query, world.memory.reads) == ("plan", "Ada", 1)


def test_nothing_is_shown_before_the_first_read() -> None:
    world = World()
    world.apply(op(CREATE, "Ada"))
    assert world.memory.show() == ()
    assert world.outcomes(op(UPDATE, "Bo", 1), op(DELETE, "", 1)) == [Outcome.INVALID_TARGET] * 2


def test_the_query_persists(world: World) -> None:
    world.apply(op(CREATE, "Ada lives alone"))
    assert {entry.id for entry in world.memory.show()[:2]} == {1, 4}


def test_update_keeps_the_id_and_delete_never_gives_it_back(world: World) -> None:
    shown = world.memory.shown
    assert [(r.outcome, r.entry) for r in world.apply(op(UPDATE, "Ada lives in Ulm", 1), op(DELETE, "", 2))] == [
        (Outcome.OK, shown[0].id),
        (Outcome.OK, shown[1].id),
    ]
    assert world.memory.entries == (MemoryEntry(1, "Ada lives in Ulm"), MemoryEntry(3, "Cy owns a mill"))
    assert world.apply(op(CREATE, "Bo lives in Dorn"))[0].entry == 4


@pytest.mark.parametrize("kind", [UPDATE, DELETE])
@pytest.mark.parametrize("target", [0, -1, 4, 99, None])
def test_only_what_is_shown_can_be_addressed(world: World, kind: OpKind, target: int | None) -> None:
    before = world.texts()
    (result,) = world.apply(op(kind, "anything", target))
    assert (result.outcome, result.entry, result.after) == (Outcome.INVALID_TARGET, None, result.before)
    assert world.texts() == before


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (op(DELETE, "", 1), op(UPDATE, "revived", 1)),
        (op(DELETE, "", 1), op(DELETE, "", 1)),
        (op(UPDATE, "once", 1), op(UPDATE, "twice", 1)),
        (op(UPDATE, "once", 1), op(DELETE, "", 1)),
    ],
)
def test_a_reply_acts_on_the_view_it_was_shown(world: World, first: MemoryOp, second: MemoryOp) -> None:
    one, two = world.apply(first, second)
    assert (one.outcome, two.outcome, two.entry) == (Outcome.OK, Outcome.STALE_TARGET, one.entry)
    assert ("once" in world.texts()) is (first.kind is UPDATE)
    assert not {"revived", "twice"} & set(world.texts())


def test_numbers_do_not_move_within_a_reply(world: World) -> None:
    second = world.memory.shown[1].id
    results = world.apply(op(DELETE, "", 1), op(CREATE, "Ada lives near"), op(UPDATE, "second", 2))
    assert [r.outcome for r in results] == [Outcome.OK] * 3
    assert results[2].entry == second


def test_what_has_no_effect_is_a_noop(world: World) -> None:
    world.apply(op(NOTE, "plan"))
    same = world.memory.shown[0].text
    ops = [op(CREATE, " \n"), op(READ, ""), op(READ, " Ada lives "), op(NOTE, "plan ")]
    assert world.outcomes(*ops, op(UPDATE, same, 1), op(UPDATE, "", 1)) == [Outcome.NOOP] * 6
    assert world.memory.reads == 1


def test_a_noop_does_not_make_its_target_stale(world: World) -> None:
    assert world.outcomes(op(UPDATE, "", 1), op(UPDATE, "new", 1)) == [Outcome.NOOP, Outcome.OK]


def test_the_scratchpad_can_be_emptied() -> None:
    world = World()
    assert world.outcomes(op(NOTE, ""), op(NOTE, "plan"), op(NOTE, "")) == [Outcome.NOOP, Outcome.OK, Outcome.OK]


@pytest.mark.parametrize("defect", [Outcome.MALFORMED, Outcome.UNCLOSED])
@pytest.mark.parametrize("kind", MEMORY_OPS)
def test_defects_are_recorded_and_run_nothing(world: World, kind: OpKind, defect: Outcome) -> None:
    before = world.memory.digest
    assert world.memory.texts([op(kind, "raw", 1, defect)]) == []
    assert world.outcomes(op(kind, "raw", 1, defect)) == [defect]
    assert world.memory.digest == before


@pytest.mark.parametrize("kind", MEMORY_OPS)
def test_dropped_kinds_are_forbidden_even_when_malformed(kind: OpKind) -> None:
    world = World(dropped=frozenset({kind}))
    ops = [op(kind, "text", 1), op(kind, "text", 1, Outcome.UNCLOSED)]
    assert world.memory.texts(ops) == []
    assert world.outcomes(*ops) == [Outcome.FORBIDDEN] * 2


def test_budgets() -> None:
    world = World(max_entries=2, max_reads=1)
    creates = [op(CREATE, text) for text in ("a", "b", "c")]
    assert world.outcomes(*creates) == [Outcome.OK, Outcome.OK, Outcome.OVER_BUDGET]
    reads = [op(READ, "a"), op(READ, "a"), op(READ, "b")]
    assert world.outcomes(*reads) == [Outcome.OK, Outcome.NOOP, Outcome.OVER_BUDGET]
    assert world.outcomes(op(UPDATE, "z", 1), op(DELETE, "", 2), op(CREATE, "c")) == [Outcome.OK] * 3
    assert (world.memory.peak, world.memory.query) == (2, "a")


def test_k_entries_are_shown() -> None:
    world = World(k=2)
    world.apply(*(op(CREATE, f"Ada {word}") for word in ("a", "b", "c")), op(READ, "Ada"))
    assert len(world.memory.show()) == 2
    assert world.outcomes(op(DELETE, "", 3), op(DELETE, "", 2)) == [Outcome.INVALID_TARGET, Outcome.OK]


def test_texts_are_what_will_be_embedded(world: World) -> None:
    ops = [op(CREATE, " a "), op(READ, "a"), op(UPDATE, "b", 9), op(DELETE, "c", 1), op(NOTE, "d"), op(CREATE, " ")]
    assert world.memory.texts(ops) == [Text("a", False), Text("a", True), Text("b", False)]


# --- the digest

_texts = st.sampled_from(["", "a", "b", "a b", "\ud800", "1:a"])
_targets = st.none() | st.integers(-1, 5)
_defects = st.sampled_from([None, None, None, Outcome.MALFORMED, Outcome.UNCLOSED])
_ops = st.builds(MemoryOp, st.sampled_from(MEMORY_OPS), _texts, _targets, _defects)
_replies = st.lists(st.lists(_ops, max_size=5), max_size=6)


@given(replies=_replies)
def test_every_operation_has_its_line_and_only_ok_changes_the_digest(replies: list[list[MemoryOp]]) -> None:
    world = World(max_entries=4)
    digest = world.memory.digest
    for reply in replies:
        results = world.apply(*reply)
        assert [result.op for result in results] == reply
        for result in results:
            assert result.before == digest
            assert (result.after != result.before) is (result.outcome is Outcome.OK)
            digest = result.after
        assert digest == world.memory.digest
        assert world.store.entries("e") == list(world.memory.entries)


@given(replies=_replies, order=st.randoms(use_true_random=False))
def test_the_digest_depends_on_the_state_alone(replies: list[list[MemoryOp]], order: object) -> None:
    world = World()
    for reply in replies:
        world.apply(*reply)
    again = Memory("another", world.store, k=9)
    state = list(world.memory.entries)
    order.shuffle(state)  # type: ignore[attr-defined]
    notes = [op(READ, world.memory.query), op(NOTE, world.memory.scratchpad)]
    found = vectors().vectors_for([*(Text(entry.text, False) for entry in state), *again.texts(notes)])
    for entry in state:
        again._edit(Edit("add", "entries", entry.id, entry.text), found)
    again.apply(notes, found)
    assert again.digest == world.memory.digest


def test_the_same_text_again_is_another_entry(world: World) -> None:
    before = world.memory.digest
    shown = world.memory.shown[0]
    world.apply(op(DELETE, "", 1), op(CREATE, shown.text))
    assert sorted(world.texts()) == sorted(["Ada lives in Velt", "Bo lives in Dorn", "Cy owns a mill"])
    assert world.memory.digest != before


def test_undoing_gives_the_digest_back(world: World) -> None:
    before = world.memory.digest
    shown = world.memory.shown[0]
    world.apply(op(UPDATE, "Ada lives here", 1))
    number = [entry.id for entry in world.memory.show()].index(shown.id) + 1
    world.apply(op(UPDATE, shown.text, number))
    assert world.memory.digest == before
    world.apply(op(CREATE, "Ada lives for a day"))
    number = [entry.id for entry in world.memory.show()].index(4) + 1
    world.apply(op(DELETE, "", number))
    assert world.memory.digest == before


# --- metadata, a view of the agent's own, addressing by id


def test_metadata_stays_with_an_entry_is_replaced_by_new_and_counts_in_the_digest() -> None:
    world, plain = World(), World()
    plain.apply(op(CREATE, "Ada lives in Velt"))
    world.apply(MemoryOp(CREATE, "Ada lives in Velt", meta=(("time", "3"), ("topic", "home"))))
    assert world.memory.digest != plain.memory.digest
    world.apply(op(READ, "Ada"))
    assert world.memory.show() == (MemoryEntry(1, "Ada lives in Velt", (("time", "3"), ("topic", "home"))),)
    assert world.outcomes(op(UPDATE, "Ada lives in Dorn", 1)) == [Outcome.OK]
    assert world.memory.entries[0].meta == (("time", "3"), ("topic", "home"))
    again = MemoryOp(UPDATE, "Ada lives in Dorn", 1, meta=(("time", "4"),))
    assert world.outcomes(again) == [Outcome.OK]
    assert world.outcomes(again) == [Outcome.NOOP]
    assert world.texts() == ["Ada lives in Dorn"]  # and the store has the metadata, too
    assert world.memory.entries[0].meta == (("time", "4"),)
    world.apply(op(DELETE, target=1))
    other = World()
    other.apply(op(READ, "Ada"))
    assert world.memory.digest == other.memory.digest


def test_a_view_of_the_agents_own_choice_is_what_the_next_reply_acts_on(world: World) -> None:
    assert [entry.id for entry in world.memory.present([3, 1])] == [3, 1]
    (result,) = world.memory.apply([op(DELETE, target=1)], {})
    assert (result.outcome, result.entry) == (Outcome.OK, 3)
    with pytest.raises(KeyError):
        world.memory.present([3])


def test_each_retrieval_is_told_once(world: World) -> None:
    world.memory.take_retrieved()
    found = [tuple(entry.id for entry in world.memory.show(k)) for k in (1, None)]
    assert [len(ids) for ids in found] == [1, 3]
    world.memory.present([2])
    assert world.memory.take_retrieved() == tuple(found)
    assert world.memory.take_retrieved() == ()


def test_what_was_ever_shown_can_be_addressed_by_its_id() -> None:
    world = World(k=1, addressing="seen")
    assert world.outcomes(op(DELETE, target=1)) == [Outcome.INVALID_TARGET]
    world.apply(op(CREATE, "Ada lives in Velt"), op(CREATE, "Bo lives in Dorn"))
    world.apply(op(READ, "Bo lives"))
    world.apply(op(READ, "Ada lives"))
    assert [entry.id for entry in world.memory.show()] == [1]
    assert world.memory.targets == {1: 1, 2: 2}
    assert world.outcomes(op(UPDATE, "Bo left", 2), op(UPDATE, "Bo is back", 2)) == [Outcome.OK, Outcome.OK]
    assert world.texts() == ["Ada lives in Velt", "Bo is back"]
    assert world.outcomes(op(DELETE, target=2), op(DELETE, target=2)) == [Outcome.OK, Outcome.INVALID_TARGET]
    assert world.outcomes(op(DELETE, target=9), op(DELETE)) == [Outcome.INVALID_TARGET, Outcome.INVALID_TARGET]


def noisy(*texts: str, **limits: Any) -> World:
    """A world whose store held these before."""
    made = World(noise=texts, **limits)
    made.memory.fill(made.vectors.vectors_for(Text(text, False) for text in texts))
    made.store.write(made.memory.take_pending())
    return made


def test_noise_lies_in_the_store_and_is_nobodys() -> None:
    world = noisy("Bo lives in Dorn", "Cy owns a mill")
    assert world.texts() == ["Bo lives in Dorn", "Cy owns a mill"]
    assert (world.memory.written, world.memory.peak, world.memory.reads) == (0, 0, 0)
    assert world.memory.digest == began_with([(1, "Bo lives in Dorn"), (2, "Cy owns a mill")]) != began_with(())
    (created,) = world.apply(op(CREATE, "Ada lives in Velt"))
    assert created.entry == 3
    assert (world.memory.written, world.memory.peak) == (1, 1)
    world.apply(op(READ, "Bo lives in Dorn"))
    assert world.memory.show()[0] == MemoryEntry(1, "Bo lives in Dorn")  # found as any other


def test_noise_takes_no_room_until_somebody_makes_it_their_own() -> None:
    world = noisy("Bo lives in Dorn", "Cy owns a mill", max_entries=1)
    assert world.outcomes(op(READ, "Bo lives"), op(CREATE, "Ada lives in Velt")) == [Outcome.OK, Outcome.OK]
    assert world.outcomes(op(CREATE, "Di lives in Quill")) == [Outcome.OVER_BUDGET]
    place = [entry.id for entry in world.memory.show()].index(1) + 1
    assert world.outcomes(op(UPDATE, "Bo lives in Quill", place)) == [Outcome.OK]
    assert (world.memory.written, world.memory.peak) == (2, 2)
    place = [entry.id for entry in world.memory.show()].index(2) + 1
    assert world.outcomes(op(DELETE, target=place)) == [Outcome.OK]
    assert (world.memory.written, world.memory.peak) == (2, 2)


def test_noise_cannot_be_named_by_its_id_before_it_was_shown() -> None:
    world = noisy("Bo lives in Dorn", addressing="seen")
    assert world.outcomes(op(DELETE, target=1)) == [Outcome.INVALID_TARGET]
    assert world.memory.targets == {}
    world.apply(op(READ, "Bo"))
    world.memory.show()
    assert world.outcomes(op(DELETE, target=1)) == [Outcome.OK]
