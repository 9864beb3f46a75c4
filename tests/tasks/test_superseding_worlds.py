"""The settings `supersede` and `cascade` of `stream`, checked by readers that know nothing of the generator."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from atommem_cli.core.stream_words import VOCABULARY
from atommem_cli.core.types import Task
from atommem_cli.data.task_rules import gold_fault, line_fault
from atommem_cli.tasks._rich import CASCADES, CLAUSES, NOUNS
from atommem_cli.tasks.stream import Options, generate

Facts = dict[tuple[str, str], str]
EVERY = {"create": 0.2, "update": 0.2, "supersede": 0.2, "delete": 0.1, "cascade": 0.2, "none": 0.1}


@st.composite
def options(draw: st.DrawFn, style: str) -> Options:
    people, relations = draw(st.integers(1, 8)), draw(st.integers(1, 6))
    return Options(
        style=style,
        docs=draw(st.integers(4, 60)),
        people=people,
        relations=relations,
        change=draw(st.sampled_from([0.0, 0.4, 0.8])),
        retract=draw(st.sampled_from([0.0, 0.2])),
        expire=draw(st.sampled_from([0.0, 0.2])),
        near_duplicates=draw(st.sampled_from([0.0, 0.2])),
        cascades=draw(st.sampled_from([0.0, 0.1, 0.3])),
        questions=draw(st.integers(1, min(4, people * relations))),
        hops={1: 0.4, 2: 0.4, 3: 0.2},
        hinges=draw(st.sampled_from([EVERY, {"cascade": 0.5, "supersede": 0.5}, EVERY | {"cascade": 0.8}])),
    )


def tasks(style: str) -> st.SearchStrategy[Task]:
    return st.builds(generate, options(style), st.integers(0, 2**40), st.just("train"), st.integers(0, 99))


# --- a reader of each style: what a text says, as (operation, subject, relation, value) -------------------------


def closed(text: str) -> tuple[str, str, str, str] | None:
    for kind, pattern in (
        ("cascade", r"no (?P<r>\w+) (?P<v>\w+) \."),
        ("delete", r"(?:day \d )?(?P<s>\w+) no (?P<r>\w+) \."),
        ("update", r"(?P<s>\w+) (?:now|not \w+ but) (?P<r>\w+) (?P<v>\w+) \."),
        ("create", r"(?:until day \d )?(?P<s>\w+) (?P<r>\w+) (?P<v>\w+) \."),
    ):
        if (found := re.fullmatch(pattern, text)) is not None:
            given_ = found.groupdict()
            return kind, given_.get("s", ""), given_["r"], given_.get("v", "")
    return None


NAME = r"([A-Z]\w+ [A-Z]\w+)"


def rich(text: str) -> tuple[str, str, str, str] | None:
    for relation, wordings in CASCADES.items():
        for wording in wordings:
            if (found := re.fullmatch(re.escape(wording).replace(r"\{\}", "(.+?)"), text)) is not None:
                return "cascade", "", relation, found[1]
    said = re.split(r"; (?=[A-Z])|in truth, ", text.rstrip("."))[-1]
    for relation, clauses in CLAUSES.items():
        for holds, gone in clauses:
            for kind, clause in (("delete", gone), ("create", holds)):
                words = re.escape(clause).replace(r"\{\}", "(?P<v>[^;,.]+)")
                if (found := re.search(rf"{NAME} (?:now )?{words}(?:$|, and what|; nothing)", said)) is not None:
                    return kind, found[1], relation, found["v"] if kind == "create" else ""
    return None


def read(task: Task, lacking: str, say: Callable[[str], tuple[str, str, str, str] | None]) -> Facts:
    """What a reader knows at the end who does what each statement says, but for one thing that it never does.

    lacking: "update", "second update" (of a fact), "delete" (in a cascade, too), "cascade", or "".
    """
    facts: Facts = {}
    changed: Counter[tuple[str, str]] = Counter()
    for kind, subject, relation, value in filter(None, (say(document.text) for document in task.documents)):
        if kind == "cascade":
            for key in [key for key, held in facts.items() if (key[1], held) == (relation, value)]:
                if lacking not in ("cascade", "delete"):
                    del facts[key]
        elif kind == "delete":
            if lacking != "delete":
                facts.pop((subject, relation), None)
        elif facts.get((subject, relation), value) == value:
            facts[subject, relation] = value
        elif lacking != "update" and not (lacking == "second update" and changed[subject, relation]):
            facts[subject, relation] = value
            changed[subject, relation] += 1
    return facts


def found(facts: Facts, path: tuple[str, ...]) -> str:
    at, *relations = path
    for relation in relations:
        at = facts.get((at, relation), "unknown")
    return at


READERS = {"closed": closed, "rich": rich}


@pytest.mark.parametrize("style", ["closed", "rich"])
def test_answers_and_hinges_can_be_computed_from_the_documents_alone(style: str) -> None:
    @settings(max_examples=100, deadline=None)
    @given(tasks(style))
    def check(task: Task) -> None:
        lacks = {
            lack: read(task, lack, READERS[style]) for lack in ("", "update", "second update", "delete", "cascade")
        }
        for question in task.questions:
            truth = found(lacks[""], question.path)
            assert question.answers == (truth,)
            wrong = {lack for lack, facts in lacks.items() if found(facts, question.path) != truth}
            asked = {
                "supersede": {"update", "second update"},
                "update": {"update"},
                "cascade": {"delete", "cascade"},
                "delete": {"delete"},
            }.get(question.hinge, set())
            assert wrong == asked
            assert (truth == "unknown") == (question.hinge in ("delete", "cascade", "none"))

    check()


@pytest.mark.parametrize("style", ["closed", "rich"])
def test_gold_facts_stand_in_their_documents_and_tasks_survive_their_file(style: str) -> None:
    for index in range(60):
        task = generate(Options(style=style, hinges=EVERY, cascades=0.1, docs=20, questions=3), 3, "train", index)
        assert (gold_fault(task), line_fault(task)) == ("", "")
        for question in task.questions:
            last = task.documents[question.supporting[-1].document] if question.supporting else None
            if question.hinge == "cascade":
                assert last is not None
                said = READERS[style](last.text)
                assert said is not None
                assert said[0] == "cascade"


@pytest.mark.parametrize("style", ["closed", "rich"])
def test_outdated_answers_are_what_old_statements_lead_to_and_right_ones_are_none(style: str) -> None:
    @settings(max_examples=60, deadline=None)
    @given(tasks(style))
    def check(task: Task) -> None:
        stated: dict[tuple[str, str], set[str]] = {}
        for kind, subject, relation, value in filter(None, (READERS[style](one.text) for one in task.documents)):
            if kind in ("create", "update"):
                stated.setdefault((subject, relation), set()).add(value)
        for question in task.questions:
            at = {question.path[0]}
            for relation in question.path[1:]:
                at = {value for subject in at for value in stated.get((subject, relation), ())}
            assert {*question.stale} == at - {*question.answers}
            assert [*question.stale] == sorted({*question.stale})
            if len(question.path) == 2:
                assert bool(question.stale) == (question.hinge not in ("create", "none"))

    check()


def test_other_settings_do_not_say_what_is_outdated() -> None:
    told = [q.stale for index in range(50) for q in generate(Options(docs=20), 3, "train", index).questions]
    assert {*told} == {()}


@pytest.mark.parametrize("style", ["closed", "rich"])
@pytest.mark.parametrize("hinge", ["supersede", "cascade"])
def test_a_setting_is_asked_for_by_its_hinge(style: str, hinge: str) -> None:
    chosen = Options(style=style, hinges={hinge: 1.0}, docs=12, change=0.5, retract=0, expire=0)
    hinges = Counter(q.hinge for index in range(100) for q in generate(chosen, 5, "train", index).questions)
    assert hinges[hinge] >= 90


@pytest.mark.parametrize("style", ["closed", "rich"])
def test_nothing_names_a_value_that_a_cascade_has_taken_away(style: str) -> None:
    for index in range(60):
        chosen = Options(style=style, hinges=EVERY, cascades=0.2, docs=30, people=5, near_duplicates=0.2)
        task = generate(chosen, 9, "train", index)
        over: set[str] = set()
        for document in task.documents:
            said = READERS[style](document.text)
            if said is not None and said[0] == "cascade":
                over.add(said[3])
            else:
                assert said is None or said[3] not in over or said[2] not in NOUNS
        assert over


def test_cascades_without_a_question_are_a_share_of_the_documents_in_words_of_the_closed_list() -> None:
    used, there = set[str](), 0
    for index in range(40):
        plain = generate(Options(hinges={"create": 1.0}, docs=40, people=6, cascades=0.1), 2, "train", index)
        count = sum(document.text.startswith("no ") for document in plain.documents)
        assert count <= 4
        there += count
        used |= {word for document in plain.documents for word in document.text.split()}
        assert len(plain.documents) == 40
    assert used <= set(VOCABULARY)
    assert there > 40


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"cascades": 0.5, "noise": 0.5}, "cascades: at most 0.9 together"),
        ({"hinges": {"cascades": 1.0}}, "hinges"),
    ],
)
def test_options_that_cannot_be_met_are_refused(wrong: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        Options.model_validate(wrong)
