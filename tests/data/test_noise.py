"""Noise for stores: of three kinds, a series of its own for each task, whoever plays it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from raw_records import hotpot, write

from atommem_cli.config import recipe as recipes
from atommem_cli.core.errors import RecipeError, UsageError
from atommem_cli.core.types import Task
from atommem_cli.data import preparation
from atommem_cli.data.chosen_tasks import ChosenTasks, read
from atommem_cli.data.files import read_tasks

KINDS = ("irrelevant", "near_duplicate", "contradicting")


@pytest.fixture(scope="module", params=["closed", "rich"])
def stream(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp(request.param)
    preparation.prepare(
        "stream", out=out, split="validation", limit=40, options={"style": request.param, "hops": {2: 1}}
    )
    return out


@pytest.fixture(scope="module")
def hotpots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hotpot")
    write(folder / "validation.jsonl", [hotpot(number, 4) for number in range(16)])
    preparation.prepare(
        "hotpotqa", out=folder / "out", source=str(folder), options={"docs": 4, "questions": 1}, limit=12
    )
    return folder / "out"


def recipe(folder: Path, entries: int, kind: str, *changes: str) -> recipes.Recipe:
    noise = json.dumps({"entries": entries, "kind": kind})
    return recipes.load("tiny", [f"task.folder={folder}", f"store.noise={noise}", *changes])


def noisy(folder: Path, entries: int, kind: str, *changes: str) -> list[Task]:
    return list(read(recipe(folder, entries, kind, *changes), "validation", 12))


def names(text: str) -> set[str]:
    return set(re.findall(r"\w+", text.casefold()))


@pytest.mark.parametrize("kind", KINDS)
def test_a_series_belongs_to_its_task_and_fewer_are_its_beginning(stream: Path, kind: str) -> None:
    many, few = noisy(stream, 20, kind), noisy(stream, 5, kind)
    assert [task.noise[:5] for task in many] == [task.noise for task in few]
    assert len({task.noise for task in many}) == 12
    assert all(len(task.noise) == 20 for task in many)
    file = ChosenTasks(recipe(stream, 5, kind), "validation", 3)  # another limit, read by number
    assert [file[number] for number in range(3)] == few[:3]
    other = noisy(stream, 5, kind, "seed=7", "agent.name=rag", "memory.retrieve_k=3")
    assert [task.noise for task in other] != [task.noise for task in few]
    assert noisy(stream, 5, kind, "agent.name=rag", "memory.retrieve_k=3") == few


def test_none_is_the_recipe_without(stream: Path) -> None:
    plain = recipes.load("tiny", [f"task.folder={stream}"])
    none = recipe(stream, 0, "contradicting")
    assert none.digest == plain.digest != recipe(stream, 1, "irrelevant").digest
    assert recipe(stream, 1, "irrelevant").digest != recipe(stream, 1, "contradicting").digest
    assert "noise" not in plain.dump()
    assert none.changed(["store.noise.entries=3"]).store.noise == recipe(stream, 3, "contradicting").store.noise
    assert list(read(none, "validation", 5)) == list(read_tasks(stream / "validation", 5))


def test_another_store_keeps_the_noise_and_a_wrong_key_is_one_sentence(stream: Path) -> None:
    other = recipe(stream, 3, "irrelevant", "store.name=exact")
    assert (other.store.name, other.store.noise) == ("exact", recipe(stream, 3, "irrelevant").store.noise)
    with pytest.raises(
        RecipeError, match=r"store\.noise\.entires: unknown key; did you mean 'entries'\? .*entries, kind"
    ):
        recipe(stream, 3, "irrelevant", "store.noise.entires=4")


def test_irrelevant_entries_touch_nothing_that_the_questions_need(stream: Path) -> None:
    for task in noisy(stream, 20, "irrelevant"):
        assert len({*task.noise}) == 20
        events = [document.event for document in task.documents if document.event is not None]
        facts = {(event.subject, event.relation) for event in events}
        for question in task.questions:
            subject, *links, last = question.path
            people = {subject}
            for link in links:
                people = {e.value for e in events if e.subject in people and e.relation == link and e.value}
            values = {e.value for e in events if e.subject in people and e.relation == last and e.value}
            wanted = {name.casefold() for name in {subject, *people, *values, *question.answers} - {"unknown"}}
            assert wanted.isdisjoint(names(" ".join(task.noise)))
        assert not any(text.startswith(f"{subject} {relation} ") for text in task.noise for subject, relation in facts)
        own = {document.text for document in task.documents}
        assert own.isdisjoint(task.noise)


def test_near_duplicates_say_what_the_documents_say_and_in_other_words(stream: Path) -> None:
    for task in noisy(stream, 16, "near_duplicate"):
        assert {document.text for document in task.documents}.isdisjoint(task.noise)
        events = [document.event for document in task.documents if document.event is not None]
        facts = {f"{e.subject} {e.relation} {e.value or 'unknown'}" for e in events}
        plain = [text.removesuffix(" .").replace(" now ", " ") for text in task.noise]
        others = [document.text.rstrip(" .") for document in task.documents if document.event is None]
        assert {*plain} - {*others} == facts  # twice each: all of them
        assert {*others} <= {*plain}


def test_contradicting_entries_give_gold_facts_other_values(stream: Path) -> None:
    with_gold = [task for task in noisy(stream, 6, "contradicting") if task.questions[0].supporting]
    assert len(with_gold) > 6
    for task in with_gold:
        gold = {s.document: task.documents[s.document].event for q in task.questions for s in q.supporting}
        true = {(e.subject, e.relation): e.value for e in gold.values() if e is not None}
        for text in task.noise:
            ((key, value),) = [(key, value) for key, value in true.items() if text.startswith(f"{key[0]} {key[1]} ")]
            assert text.removeprefix(f"{key[0]} {key[1]} ") not in (value, key[0], "unknown", "None", "")
        assert {key for key in true for text in task.noise if text.startswith(" ".join(key))} == {*true}


def test_passages_are_contradicted_by_another_answer_number_or_name(hotpots: Path) -> None:
    for task in noisy(hotpots, 4, "contradicting"):
        said = {task.documents[s.document].title: s.text.strip() for s in task.questions[0].supporting}
        for entry in task.noise:
            title, _, text = entry.partition("\n")
            assert text.strip() != said[title]
            assert _unnumbered(text.strip()) == _unnumbered(said[title])  # its sentences hold numbers, no answer


def test_passages_of_the_task_stand_there_in_nearly_the_same_words(hotpots: Path) -> None:
    for task in noisy(hotpots, 24, "near_duplicate"):
        whole = [f"{document.title}\n{document.text}" for document in task.documents]
        assert {*whole}.isdisjoint(task.noise)
        more = {"note", "again", "also", "as", "was", "said"}
        assert {frozenset(names(text) - more) for text in task.noise} == {frozenset(names(text)) for text in whole}
        assert len({*task.noise}) == 24


def test_passages_of_other_tasks_are_no_documents_of_this_one(hotpots: Path) -> None:
    for task in noisy(hotpots, 4, "irrelevant"):
        assert {f"{d.title}\n{d.text}" for d in task.documents}.isdisjoint(task.noise)


def _unnumbered(text: str) -> str:
    return re.sub(r"\d+", "#", text)


def test_more_than_there_are_is_one_sentence(hotpots: Path) -> None:
    said = r"store\.noise: 500 irrelevant entries are asked for, and .* has \d+ for hotpot"
    with pytest.raises(UsageError, match=said):
        noisy(hotpots, 500, "irrelevant")
