"""Distractors: as many as asked for, after all others, proved to share nothing with the questions; else refused."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from commands import atommem
from raw_records import SHARED, hotpot, real_data, write

from atommem_cli.core.chunking import WordTokenizer, chunk_documents
from atommem_cli.core.errors import SourceError, UsageError
from atommem_cli.core.types import Document, Task
from atommem_cli.data.preparation import prepare, read_tasks

WORDS = WordTokenizer()


def made(out: Path, name: str = "stream", **settings: Any) -> list[Task]:
    prepare(name, out=out, **{"limit": 12, **settings})
    return list(read_tasks(out / "validation"))


def hotpots(folder: Path, rows: int, **settings: Any) -> list[Task]:
    write(folder / "validation.jsonl", [hotpot(number, 4) for number in range(rows)])
    options = {"docs": 6, "questions": 1}
    return made(folder / "out", "hotpotqa", source=str(folder), options=options, limit=3, **settings)


def words(text: str) -> set[str]:
    return set(re.findall(r"\w+", text.casefold()))


def split(task: Task) -> tuple[list[Document], list[Document]]:
    first = [document for document in task.documents if not document.distractor]
    return first, list(task.documents[len(first) :])


@pytest.mark.parametrize("style", ["closed", "rich"])
def test_statements_of_other_worlds_touch_nothing_that_a_path_of_this_one_touches(tmp_path: Path, style: str) -> None:
    options = {"style": style, "docs": 20, "hops": {2: 1.0}}
    for task in made(tmp_path, options=options, distractors=5):
        own, others = split(task)
        assert len(own) == 20
        assert len(others) == 5
        assert all(document.distractor and document.event is not None for document in others)
        facts = {(d.event.subject, d.event.relation) for d in own if d.event is not None}
        new = [(d.event.subject, d.event.relation) for d in others if d.event is not None]
        assert facts.isdisjoint(new)
        assert len(set(new)) == 5
        for question in task.questions:
            subject, *links, _ = question.path
            told = [d.event for d in own if d.event is not None]
            people = {e.value for e in told if [e.subject, e.relation] == [subject, *links] and e.value} | {subject}
            values = {e.value for e in told if e.subject in people and e.relation == question.path[-1] and e.value}
            gold = {word.casefold() for word in people | values | {*question.answers} - {"unknown"}}
            assert gold.isdisjoint(words(" ".join(document.text for document in others)))


@pytest.mark.parametrize("style", ["closed", "rich"])
def test_a_passage_tells_several_things_about_one_person(tmp_path: Path, style: str) -> None:
    options = {"style": style, "passage": 3, "hops": {2: 1.0}}
    for task in made(tmp_path, options=options, distractors=4):
        own, others = split(task)
        assert len(own) == 8
        assert len({document.text for document in others}) == 4
        assert all(document.distractor and document.event is None for document in others)
        first = [re.findall(r"\w+", said) for document in others for said in document.text.split(".") if said.strip()]
        assert len(first) == 12
        if style == "closed":
            for at in range(0, 12, 3):
                people, relations, _ = zip(*first[at : at + 3], strict=True)
                assert len({*people}) == 1
                assert len({*relations}) == 3
            path = {*task.questions[0].path[:1], *task.questions[0].answers} - {"unknown"}
            assert path.isdisjoint(words(" ".join(document.text for document in others)))


def test_worlds_without_passages_say_nothing_of_them(tmp_path: Path) -> None:
    made(tmp_path / "plain")
    assert '"passage"' not in (tmp_path / "plain/validation/manifest.json").read_text()
    made(tmp_path / "long", options={"passage": 2})
    assert '"passage": 2' in (tmp_path / "long/validation/manifest.json").read_text()


def test_passages_of_other_questions_hold_neither_gold_titles_nor_answers(tmp_path: Path) -> None:
    (tmp_path / "plain").mkdir()
    for task in hotpots(tmp_path, 12, distractors=4):
        own, others = split(task)
        assert len(others) == 4
        texts = " ".join(f"{document.title} {document.text}" for document in others)
        gold = [task.documents[s.document].title for s in task.questions[0].supporting]
        assert not any(title in texts for title in gold)
        assert not any(re.search(rf"\b{re.escape(answer)}\b", texts) for answer in task.questions[0].answers)
        assert {d.title for d in own}.isdisjoint(d.title for d in others)


def test_the_rest_of_a_task_is_the_same_without_them_and_so_are_more_tasks_and_workers(tmp_path: Path) -> None:
    bare = made(tmp_path / "bare")
    with_some = made(tmp_path / "some", distractors=3)
    assert [split(task)[0] for task in with_some] == [list(task.documents) for task in bare]
    assert made(tmp_path / "fewer", distractors=3, limit=5) == with_some[:5]
    assert made(tmp_path / "workers", distractors=3, workers=2) == with_some
    assert b"distractor" not in (tmp_path / "bare/validation/tasks.jsonl").read_bytes()
    assert "distractor_documents" not in (tmp_path / "bare/validation/manifest.json").read_text()


def test_too_few_of_them_are_one_sentence_that_says_how_many_there_are(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"--distractors 50: among all passages of other questions \d+ share nothing"):
        hotpots(tmp_path, 4, distractors=50)
    with pytest.raises(UsageError, match="distractors is -1"):
        made(tmp_path / "few", distractors=-1)


SOURCE = """
from atommem_cli import Document, Question, Section, SourcePlan, Support, Task

class Options(Section):
    order: bool = True

def inputs(source, split, validation):
    return {}

def build(options, request):
    return SourcePlan("own", "ours", [options], make)

def make(options):
    fact, other = Document("", "Ada lives in Velt."), Document("", "It rains.", distractor=True)
    documents = (fact, other) if options.order else (other, fact)
    return Task("own-0", "own", documents, (Question("q", "Where?", ("Velt",), (Support(0, documents[0].text),)),))
"""


def test_a_source_of_ones_own_may_mark_them_itself_and_has_no_bank(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(SOURCE)
    own = str(tmp_path / "own.py")
    assert [document.distractor for document in made(tmp_path / "own", own)[0].documents] == [False, True]
    with pytest.raises(UsageError, match="gives no passages of other questions"):
        made(tmp_path / "bank", own, distractors=1)
    with pytest.raises(SourceError, match="a document after distractors that is none"):
        made(tmp_path / "wrong", own, options={"order": False})


@pytest.mark.parametrize(("by", "size", "overlap"), [("tokens", 7, 3), ("documents", 12, 0), ("documents", 1, 0)])
def test_no_chunk_holds_distractors_and_others(tmp_path: Path, by: str, size: int, overlap: int) -> None:
    for task in made(tmp_path, distractors=3, options={"docs": 8}):
        own, others = split(task)
        chunks, cut = chunk_documents(task.documents, WORDS, size=size, overlap=overlap, by=by)
        assert cut == 0
        stages = [{task.documents[i].distractor for i in chunk.documents} for chunk in chunks]
        assert all(len(stage) == 1 for stage in stages)
        assert stages == sorted(stages, key=lambda stage: True in stage)
        alone, _ = chunk_documents(own, WORDS, size=size, overlap=overlap, by=by)
        first, last = ([c.text for c, s in zip(chunks, stages, strict=True) if s == {late}] for late in (False, True))
        assert [chunk.text for chunk in alone] == first
        assert by == "tokens" or [document.text for document in others] == last  # one chunk each


def test_the_command_line_takes_a_number(tmp_path: Path) -> None:
    atommem("prepare", "stream", "--split", "dev", "--limit", "3", "--distractors", "2", cwd=tmp_path)
    assert [len(task.documents) for task in read_tasks(tmp_path / "data/stream/validation")] == [10, 10, 10]


_LETTERS = r"[^_\W]+"


def plain(text: str) -> str:
    return f" {' '.join(re.findall(_LETTERS, text.casefold()))} "


@real_data
@pytest.mark.parametrize("name", ["hotpotqa", "2wikimultihopqa", "musique"])
def test_real_records_have_enough_of_them_and_they_are_related(tmp_path: Path, name: str) -> None:
    options = {"docs": 30, "questions": 1}
    tasks = made(tmp_path, name, source=str(SHARED / name), options=options, distractors=7, limit=20)
    related = [0, 0]
    for task, another in zip(tasks, tasks[1:] + tasks[:1], strict=True):
        own, others = split(task)
        assert (len(own), len(others)) == (30, 7)
        (question,) = task.questions
        gold = {re.sub(r" \([^)]*\)$", "", task.documents[s.document].title) for s in question.supporting}
        gold |= {answer for answer in question.answers if answer.casefold() not in ("yes", "no")}
        texts = [plain(f"{document.title} {document.text}") for document in others]
        assert not any(plain(name) in text for name in gold for text in texts)
        asked = {word for word in words(question.text) if len(word) > 3}
        for which, documents in enumerate((others, split(another)[1])):
            related[which] += sum(len(asked & words(f"{d.title} {d.text}")) for d in documents)
    assert related[0] > 1.3 * related[1]
