"""Worlds, checked by a reader of our own that knows the closed style's grammar and nothing of the generator."""

from __future__ import annotations

import re
from collections import Counter
from itertools import combinations
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from atommem_cli.core.stream_facts import UNKNOWN, answer, final_state
from atommem_cli.core.stream_words import VOCABULARY
from atommem_cli.core.types import Document, Event, OpKind, Task
from atommem_cli.tasks.stream import Options, generate

WIDE = {"docs": 60, "people": 6, "relations": 6, "questions": 4, "hops": {1: 0.5, 2: 0.35, 3: 0.15}}


def wide(**options: Any) -> Options:
    """A world that has room for everything."""
    return Options(**{**WIDE, **options})


SHARES = st.sampled_from([0.0, 0.1, 0.3])


@st.composite
def options(draw: st.DrawFn, style: str | None = None) -> Options:
    people, relations = draw(st.integers(1, 11)), draw(st.integers(1, 6))
    return Options(
        style=style or draw(st.sampled_from(["closed", "rich"])),
        docs=draw(st.integers(4, 80)),
        people=people,
        relations=relations,
        change=draw(st.sampled_from([0.0, 0.4, 0.9])),
        retract=draw(SHARES),
        expire=draw(st.sampled_from([0.0, 0.1, 0.9])),
        distractors=draw(SHARES),
        near_duplicates=draw(SHARES),
        noise=draw(SHARES),
        questions=draw(st.integers(1, min(6, people * relations))),
        hops=draw(st.sampled_from([{1: 1.0}, {2: 1.0}, {1: 0.5, 2: 0.35, 3: 0.15}, {3: 1.0}])),
    )


tasks = st.builds(
    generate, options(), st.integers(0, 2**40), st.sampled_from(["train", "validation"]), st.integers(0, 99)
)
closed_tasks = st.builds(generate, options("closed"), st.integers(0, 2**40), st.just("train"), st.integers(0, 99))


# --- a reader of the closed style -----------------------------------------------------------------

GRAMMAR = {
    "delete": r"(?:day \d )?(?P<s>\w+) no (?P<r>\w+) \.",
    "update": r"(?P<s>\w+) (?:now|not \w+ but) (?P<r>\w+) (?P<v>\w+) \.",
    "create": r"(?:until day \d )?(?P<s>\w+) (?P<r>\w+) (?P<v>\w+) \.",
}


def read(text: str) -> tuple[str, str, str, str | None] | None:
    """Operation, subject, relation, value."""
    for kind, pattern in GRAMMAR.items():
        if found := re.fullmatch(pattern, text):
            return kind, found["s"], found["r"], found.groupdict().get("v")
    return None


def ask(task: Task, question: str, lacking: str = "") -> str:
    """The answer of a reader that does what each statement says, but never performs one operation."""
    facts: dict[tuple[str, str], str] = {}
    for document in task.documents:
        if (said := read(document.text)) and said[0] != lacking:
            kind, subject, relation, value = said
            if kind == "delete":
                facts.pop((subject, relation), None)
            elif value is not None:
                facts[subject, relation] = value
    at, *relations = question.removesuffix(" ?").split()
    for relation in relations:
        at = facts.get((at, relation), UNKNOWN)
    return at


@settings(max_examples=150, deadline=None)
@given(closed_tasks)
def test_every_answer_and_every_hinge_is_exact_for_a_reader_of_the_text(task: Task) -> None:
    for question in task.questions:
        truth = ask(task, question.text)
        assert question.answers == (truth,)
        fails_without = {kind for kind in ("update", "delete") if ask(task, question.text, kind) != truth}
        if question.hinge in ("update", "delete"):
            assert fails_without == {question.hinge}
        else:
            assert fails_without == set()
            assert (truth == UNKNOWN) == (question.hinge == "none")


@settings(max_examples=100, deadline=None)
@given(closed_tasks)
def test_events_say_what_the_text_says(task: Task) -> None:
    for document in task.documents:
        said = read(document.text)
        if document.event is None:
            assert said is None
        else:
            assert said is not None
            assert document.event == Event(*said[1:])


# --- both styles -----------------------------------------------------------------------------------


@settings(max_examples=150, deadline=None)
@given(tasks)
def test_hinges_and_supporting_facts_follow_from_the_events(task: Task) -> None:
    for question in task.questions:
        truth = answer(final_state(task.documents), question.path)
        stale = answer(final_state(task.documents, [OpKind.UPDATE]), question.path)
        revived = answer(final_state(task.documents, [OpKind.DELETE]), question.path)
        assert question.answers == (truth,)
        assert (stale != truth) == (question.hinge == "update")
        assert (revived != truth) == (question.hinge == "delete")
        assert (truth == UNKNOWN) == (question.hinge in ("delete", "none"))
        rests_on = [task.documents[support.document] for support in question.supporting]
        assert [document.text for document in rests_on] == [support.text for support in question.supporting]
        assert answer(final_state(rests_on), question.path) == truth
        if question.hinge == "delete":
            assert rests_on[-1].event is not None
            assert rests_on[-1].event.value is None
        if question.hinge == "create":
            keys = {(d.event.subject, d.event.relation) for d in rests_on if d.event}
            said = {d.event for d in task.documents if d.event and (d.event.subject, d.event.relation) in keys}
            assert said == {d.event for d in rests_on}
        assert question.kind == f"{len(question.path) - 1}hop"


@settings(max_examples=100, deadline=None)
@given(tasks)
def test_a_text_stands_for_one_event_even_inside_another(task: Task) -> None:
    said = {d.text: d.event for d in task.documents}
    assert len(said) == len({(d.text, d.event) for d in task.documents})
    for (text, event), (other, meaning) in combinations(said.items(), 2):
        if event != meaning:
            assert text not in other
            assert other not in text


@settings(max_examples=100, deadline=None)
@given(options(), st.integers(0, 2**40))
def test_a_task_has_the_documents_and_questions_that_were_asked_for(chosen: Options, seed: int) -> None:
    task = generate(chosen, seed, "train", 3)
    assert task.id == "stream-train-00003"
    assert len(task.documents) == chosen.docs
    assert all(document.title == "" and document.text for document in task.documents)
    assert len(task.questions) == chosen.questions
    assert len({question.path for question in task.questions}) == chosen.questions
    assert len({question.id for question in task.questions}) == chosen.questions
    assert all(len(question.path) - 1 <= max(chosen.hops) for question in task.questions)
    assert sum(document.event is None for document in task.documents) >= int(chosen.noise * chosen.docs)


@settings(max_examples=30, deadline=None)
@given(options(), st.integers(0, 2**40), st.integers(0, 50))
def test_a_task_depends_on_its_arguments_alone(chosen: Options, seed: int, index: int) -> None:
    task = generate(chosen, seed, "train", index)
    generate(chosen, seed + 1, "train", index)
    assert generate(chosen, seed, "train", index) == task
    assert generate(chosen, seed, "validation", index).documents != task.documents
    assert generate(chosen, seed + 1, "train", index).documents != task.documents


@settings(max_examples=60, deadline=None)
@given(closed_tasks)
def test_days_only_go_on_and_what_holds_until_a_day_ends_the_day_after(task: Task) -> None:
    today = 1
    until: dict[tuple[str, str], int] = {}
    for document in task.documents:
        event, words = document.event, document.text.split()
        if event is None:
            continue
        if words[0] == "until":
            until[event.subject, event.relation] = int(words[2])
            assert int(words[2]) >= today
        if words[0] == "day":
            assert int(words[1]) >= today
            today = int(words[1])
            assert until.pop((event.subject, event.relation)) == today - 1
    assert not until


# --- the closed vocabulary --------------------------------------------------------------------------


def test_the_closed_style_uses_every_word_of_its_list_and_no_other() -> None:
    used: set[str] = set()
    for index in range(150):
        task = generate(wide(people=8, expire=0.4), 1, "train", index)
        texts = [
            *(d.text for d in task.documents),
            *(q.text for q in task.questions),
            *(q.answers[0] for q in task.questions),
        ]
        for text in texts:
            used |= set(text.split(" "))
        assert all(4 <= len(d.text.split()) <= 8 for d in task.documents)
    assert used == set(VOCABULARY)
    assert list(VOCABULARY) == sorted(set(VOCABULARY))
    assert 90 <= len(VOCABULARY) <= 130


# --- the knobs --------------------------------------------------------------------------------------


@pytest.mark.parametrize("style", ["closed", "rich"])
def test_the_default_mix_is_what_was_asked_for(style: str) -> None:
    chosen = wide(style=style)
    asked = [q for index in range(250) for q in generate(chosen, 7, "train", index).questions]
    hinges, kinds = Counter(q.hinge for q in asked), Counter(q.kind for q in asked)
    for hinge, share in chosen.hinges.items():
        assert hinges[hinge] / len(asked) == pytest.approx(share, abs=0.05)
    for hops, share in chosen.hops.items():
        assert kinds[f"{hops}hop"] / len(asked) == pytest.approx(share, abs=0.06)


def test_rates_of_zero_make_a_world_without_changes() -> None:
    chosen = wide(change=0, retract=0, expire=0, hinges={"create": 1, "none": 1})
    for index in range(20):
        task = generate(chosen, 5, "train", index)
        assert final_state(task.documents) == final_state(task.documents, [OpKind.UPDATE, OpKind.DELETE])
        assert {q.hinge for q in task.questions} <= {"create", "none"}


@pytest.mark.parametrize("hinge", ["create", "update", "delete", "none"])
def test_one_hinge_alone_can_be_asked_for(hinge: str) -> None:
    chosen = wide(hinges={hinge: 1}, change=0, retract=0, expire=0)
    found = Counter(q.hinge for index in range(30) for q in generate(chosen, 5, "train", index).questions)
    assert found[hinge] / found.total() > 0.95


def test_near_duplicates_are_look_alikes_and_sentences_said_again() -> None:
    plain, crowded = (
        [generate(wide(distractors=0, near_duplicates=share), 2, "train", i) for i in range(20)] for share in (0, 0.4)
    )

    def repeated(task: Task) -> int:
        return sum(n - 1 for text, n in Counter(d.text for d in task.documents if d.event).items())

    assert sum(map(repeated, plain)) == 0
    assert sum(map(repeated, crowded)) == 20 * 12
    looks = {frozenset(pair) for task in crowded for pair in combinations(_people(task.documents), 2) if _alike(*pair)}
    assert looks
    for task in crowded:
        asked = {q.path[0] for q in task.questions}
        assert all(not _alike(a, b) for a, b in combinations(asked, 2))


def _people(documents: tuple[Document, ...]) -> list[str]:
    return sorted({d.event.subject for d in documents if d.event})


def _alike(a: str, b: str) -> bool:
    return len(a) == len(b) and sum(x != y for x, y in zip(a, b, strict=True)) <= 2 and a[:2] == b[:2]


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"people": 12}, "names for 11 at most"),
        ({"people": 1, "relations": 2, "questions": 3}, "people x relations"),
        ({"noise": 0.5, "distractors": 0.5}, "at most 0.9 together"),
        ({"hops": {1: 0.0}}, "hops: weights"),
        ({"hinges": {}}, "hinges: weights"),
        ({"hinges": {"forget": 1.0}}, "hinges"),
        ({"hops": {4: 1.0}}, "hops"),
        ({"docs": 3}, "docs"),
        ({"facts": 3}, "facts"),
    ],
)
def test_options_that_cannot_be_met_are_refused(wrong: dict[str, object], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        Options.model_validate(wrong)
