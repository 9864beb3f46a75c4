"""Raw records become questions with the right documents, answers and supporting facts; bad files say what is wrong."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from raw_records import Row, hotpot, lines, musique, wiki, write

from atommem_cli.core.errors import SourceError, UsageError
from atommem_cli.core.types import Question, Task
from atommem_cli.data.preparation import prepare, read_tasks
from atommem_cli.tasks import hotpotqa
from atommem_cli.tasks._hub import read_hub

ALL = {"docs": 4, "questions": 1}


def tasks(name: str, source: Path, out: Path, **options: int) -> list[Task]:
    prepare(name, source=str(source), out=out, options=ALL | options)
    return list(read_tasks(out / "validation"))


def texts(task: Task) -> set[tuple[str, str]]:
    return {(document.title, document.text) for document in task.documents}


# --- what the records say -------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "record", "joint"), [("hotpotqa", hotpot, ""), ("2wikimultihopqa", wiki, " ")])
def test_sentences_are_joined_as_the_data_set_wants(
    name: str, record: Callable[[int], Row], joint: str, tmp_path: Path
) -> None:
    write(tmp_path / "validation.jsonl", [record(1)])
    (task,) = tasks(name, tmp_path, tmp_path / "out")
    assert task.id == f"{name}-validation-00000"
    assert task.source == name
    assert texts(task) == {(f"Page 1-{at}", f"Page 1-{at} opens.{joint or ' '}Page 1-{at} goes on.") for at in range(4)}
    (question,) = task.questions
    assert replace(question, supporting=()) == Question("h1", "What is fact 1?", ("value 1",), kind="bridge")
    first, second = question.supporting
    assert (task.documents[first.document].title, first.text) == ("Page 1-0", "Page 1-0 opens.")
    assert (task.documents[second.document].title, second.text) == ("Page 1-1", "Page 1-1 goes on.")


def test_musique_has_aliases_paragraphs_as_support_and_no_unanswerable_question(tmp_path: Path) -> None:
    rows = [musique(1, answer_aliases=["one", "", "value 1", "One"]), musique(2, answerable=False), musique(3)]
    write(tmp_path / "validation.jsonl", rows)
    first, third = tasks("musique", tmp_path, tmp_path / "out", docs=5)
    (question,) = first.questions
    assert question.answers == ("value 1", "one", "One")
    assert question.kind == "3hop1"
    assert {(first.documents[s.document].title, s.text) for s in question.supporting} == {
        ("Page 1-0", "Text 1-0."),
        ("Page 1-1", "Text 1-1."),
    }
    assert third.questions[0].id == "3hop1__3"
    manifest = prepare("musique", source=str(tmp_path), out=tmp_path / "out", options=ALL | {"docs": 5})
    assert manifest.questions_skipped == {"unanswerable": 1}
    assert (manifest.questions_read, manifest.questions_used, manifest.pool) == (3, 2, 10)


def test_a_supporting_fact_beyond_the_paragraph_is_left_out_and_counted_and_its_paragraph_stays(tmp_path: Path) -> None:
    facts = {"title": ["Page 1-0", "Page 1-1", "Nowhere", "Page 1-0"], "sent_id": [0, 7, 0, 0]}
    write(tmp_path / "validation.jsonl", [hotpot(1, supporting_facts=facts)])
    (task,) = tasks("hotpotqa", tmp_path, tmp_path / "out", docs=2)
    assert [support.text for support in task.questions[0].supporting] == ["Page 1-0 opens."]
    assert {document.title for document in task.documents} == {"Page 1-0", "Page 1-1"}
    assert (
        prepare("hotpotqa", source=str(tmp_path), out=tmp_path / "out", options=ALL | {"docs": 2}).supporting_lost == 2
    )


def test_questions_that_cannot_be_used_are_counted_by_reason(tmp_path: Path) -> None:
    empty = {"title": [], "sentences": []}
    rows = [hotpot(1), hotpot(1), hotpot(2, answer="  "), hotpot(3, question=""), hotpot(4, context=empty)]
    write(tmp_path / "validation.jsonl", rows)
    manifest = prepare("hotpotqa", source=str(tmp_path), out=tmp_path / "out", options=ALL)
    assert manifest.questions_skipped == {"blank": 2, "duplicate_id": 1, "without_context": 1}


def test_a_file_without_a_usable_question_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "validation.jsonl", [musique(1, answerable=False)])
    with pytest.raises(UsageError, match="there is no usable question"):
        prepare("musique", source=str(tmp_path), out=tmp_path / "out", options=ALL)


def test_training_never_sees_a_question_of_validation(tmp_path: Path) -> None:
    write(tmp_path / "validation.jsonl", [hotpot(1), hotpot(2)])
    write(tmp_path / "train.jsonl", [hotpot(3), hotpot(4, question=" what IS  fact 2? "), hotpot(5)])
    manifest = prepare("hotpotqa", split="train", source=str(tmp_path), out=tmp_path / "out", options=ALL)
    asked = {question.id for task in read_tasks(tmp_path / "out/train") for question in task.questions}
    assert asked == {"h3", "h5"}
    assert manifest.questions_skipped == {"in_validation": 1}
    assert sorted(manifest.inputs) == ["train.jsonl", "validation.jsonl"]


# --- formats ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "names",
    [
        ["validation.json"],
        ["validation.jsonl.gz"],
        ["validation.parquet"],
        ["validation-00000-of-00002.parquet", "validation-00001-of-00002.parquet"],
        ["validation-0.jsonl", "validation-1.jsonl", "validation-2.jsonl"],
    ],
)
@pytest.mark.parametrize(("name", "record"), [("hotpotqa", hotpot), ("2wikimultihopqa", wiki), ("musique", musique)])
def test_every_format_and_any_shards_give_the_same_tasks(
    name: str, record: Callable[[int], Row], names: list[str], tmp_path: Path
) -> None:
    rows = [record(number) for number in range(6)]
    plain = write(tmp_path / "plain" / "validation.jsonl", rows)
    size = len(rows) // len(names)
    for at, file in enumerate(names):
        write(tmp_path / "other" / file, rows[at * size : (at + 1) * size])
    expected = tasks(name, plain, tmp_path / "a", docs=9)
    assert tasks(name, tmp_path / "other", tmp_path / "b", docs=9) == expected
    assert len(expected) == 6


def test_fields_that_nobody_needs_may_be_anything_or_absent(tmp_path: Path) -> None:
    rows = [wiki(1, evidences=[], extra={"a": 1}), wiki(2, evidences={"fact": ["x"]}, extra=[1, "b"])]
    del rows[0]["type"], rows[1]["type"]
    write(tmp_path / "validation.jsonl", rows)
    assert [task.questions[0].kind for task in tasks("2wikimultihopqa", tmp_path, tmp_path / "out")] == ["", ""]


def test_a_path_with_wildcards_in_it_is_taken_as_it_is(tmp_path: Path) -> None:
    folder = tmp_path / "a[1] *?"
    write(folder / "validation.jsonl", [hotpot(1)])
    assert len(tasks("hotpotqa", folder, tmp_path / "out")) == 1


# --- what can be wrong ------------------------------------------------------------------------------


def without(row: Row, field: str) -> Row:
    return {key: value for key, value in row.items() if key != field}


@pytest.mark.parametrize(
    ("file", "content", "says"),
    [
        ("validation.jsonl", lines([without(hotpot(1), "answer")]), "the field answer is missing"),
        (
            "validation.jsonl",
            lines([hotpot(1), hotpot(2, answer=None)]),
            "line 2: the field answer is missing; a test set without answers",
        ),
        (
            "validation.jsonl",
            lines([hotpot(1, context={"title": ["a"]})]),
            "the field context.sentences is missing",
        ),
        (
            "validation.jsonl",
            lines([hotpot(1), hotpot(2, supporting_facts="none")]),
            'line 2: the field supporting_facts is "none" and not an object with title and sent_id',
        ),
        (
            "validation.jsonl",
            lines([hotpot(1, supporting_facts={"title": ["a"], "sent_id": ["first"]})]),
            'the field supporting_facts.sent_id\\[\\] is "first" and not a whole number',
        ),
        ("validation.jsonl", lines([hotpot(1), hotpot(2)])[:-90], "is damaged: line 2 is not JSON"),
        ("validation.json", "<!DOCTYPE html>\n<p>404", "is a page of HTML"),
        ("validation.jsonl", "version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "`git lfs pull` fetches"),
        ("validation.jsonl", lines([hotpot(1)]) + "{broken\n" + lines([hotpot(2)]), "is damaged: line 2 is not JSON"),
        ("validation.jsonl", "", "there is no record in it"),
        ("validation.jsonl", '["a", "b"]', "the records are not JSON objects"),
        ("validation.json", json.dumps({"data": []}), "there is no record in it"),
        ("validation.jsonl.gz", b"not gzip", "validation.jsonl.gz is damaged"),
        ("validation.parquet", b"not parquet", "validation.parquet cannot be read"),
        ("validation.csv", "id,question\n", "no file of the split validation"),
        ("train.jsonl", lines([hotpot(1)]), "no file of the split validation"),
    ],
)
def test_a_bad_file_is_named_in_one_sentence_with_its_field(
    file: str, content: str | bytes, says: str, tmp_path: Path
) -> None:
    path = tmp_path / "raw" / file
    path.parent.mkdir()
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(SourceError, match=says) as caught:
        prepare("hotpotqa", source=str(path.parent), out=tmp_path / "out", options=ALL)
    assert str(path.parent) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_a_missing_path_an_unknown_format_another_split_and_two_formats_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="nowhere: there is no such file or folder"):
        prepare("hotpotqa", source=str(tmp_path / "nowhere"), out=tmp_path / "out")
    (tmp_path / "a.csv").write_text("x")
    with pytest.raises(SourceError, match=r"a\.csv: unknown format; known are \.jsonl"):
        prepare("hotpotqa", source=str(tmp_path / "a.csv"), out=tmp_path / "out")
    train = write(tmp_path / "train-1.jsonl", [hotpot(1)])
    with pytest.raises(SourceError, match="this is the split train, and validation is to be prepared"):
        prepare("hotpotqa", source=str(train), out=tmp_path / "out")
    write(tmp_path / "two" / "validation.jsonl", [hotpot(1)])
    write(tmp_path / "two" / "validation.parquet", [hotpot(1)])
    with pytest.raises(SourceError, match="several formats"):
        prepare("hotpotqa", source=str(tmp_path / "two"), out=tmp_path / "out")


# --- the hub ----------------------------------------------------------------------------------------


def test_the_hub_is_read_with_the_same_schema(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`load_dataset` takes a folder in place of a name of the hub: the same code, without a network."""
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    rows = [without(hotpot(number), "level") for number in range(3)]
    write(tmp_path / "hub" / "validation.parquet", rows)
    write(tmp_path / "hub" / "train.parquet", rows[:1])
    layout = replace(hotpotqa.LAYOUT, hub=str(tmp_path / "hub"), config=None)
    read, _ = read_hub(layout, "validation")
    assert [{**row} for row in read] == rows

    write(tmp_path / "other" / "validation.parquet", [without(row, "context") for row in rows])
    with pytest.raises(SourceError, match="the field context is missing"):
        list(read_hub(replace(layout, hub=str(tmp_path / "other")), "validation")[0])


OFFLINE = """
import socket, sys
from atommem_cli.core.errors import BackendError, UsageError
from atommem_cli.data.preparation import prepare

def refuse(*_):
    raise AssertionError("a connection was tried")

socket.socket.connect = refuse
made = prepare("hotpotqa", source=sys.argv[1], out=sys.argv[2], options={"docs": 4})
assert made.tasks == 1
try:
    prepare("hotpotqa", out=sys.argv[2] + "/hub")
except BackendError as error:
    print(error)
"""


def test_local_files_need_no_network_and_leave_nothing_at_home_and_the_hub_says_so_without(tmp_path: Path) -> None:
    source = write(tmp_path / "validation.jsonl", [hotpot(1)])
    home = tmp_path / "home"
    home.mkdir()
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("HF_", "XDG_"))}
    done = subprocess.run(
        [sys.executable, "-c", OFFLINE, str(source), str(tmp_path / "out")],
        env={**environment, "HOME": str(home), "HF_HUB_OFFLINE": "1", "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "cannot load hotpotqa/hotpot_qa (distractor) from the hub" in done.stdout
    assert "give a local copy with --source" in done.stdout
    assert [path for path in home.rglob("*") if path.is_file()] == []
