"""The original downloads are prepared as they are; what cannot be is named in a sentence that says what to do."""

from __future__ import annotations

import bz2
import codecs
import json
import lzma
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from raw_records import Row, hotpot, lines, musique, original, wiki, write

from atommem_cli.core.errors import SourceError, UsageError
from atommem_cli.core.types import Question
from atommem_cli.data.preparation import check, prepare, read_tasks
from atommem_cli.tasks import _json

ALL = {"docs": 9, "questions": 1}


def sha(name: str, source: Path, out: Path, **changes: Any) -> str:
    return prepare(name, source=str(source), out=out, options=ALL, **changes).sha256


def asked(folder: Path) -> list[Question]:
    return [question for task in read_tasks(folder) for question in task.questions]


# --- layouts ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "record", "files"),
    [
        ("hotpotqa", hotpot, ("hotpot_dev_distractor_v1.json", "hotpot_train_v1.1.json")),
        ("2wikimultihopqa", wiki, ("dev.json", "train.json")),
    ],
)
def test_an_original_folder_gives_the_tasks_of_the_hub_s_records(
    name: str, record: Callable[[int], Row], files: tuple[str, str], tmp_path: Path
) -> None:
    rows, more = [record(number) for number in range(6)], [record(number) for number in range(4, 12)]
    write(tmp_path / "hub/validation.jsonl", rows)
    write(tmp_path / "hub/train.jsonl", more)
    raw = tmp_path / "raw"
    raw.mkdir()
    for file, some in zip(files, (rows, more), strict=True):
        (raw / file).write_text(json.dumps([original(row) for row in some]))
    (raw / "hotpot_dev_fullwiki_v1.json").write_text(json.dumps([original(hotpot(99))]) if name == "hotpotqa" else "")
    (raw / "test.json").write_text("[]")
    if name != "hotpotqa":
        (raw / "hotpot_dev_fullwiki_v1.json").unlink()
    for split in ("validation", "train"):
        assert sha(name, raw, tmp_path / "a", split=split) == sha(name, tmp_path / "hub", tmp_path / "b", split=split)
    assert sha(name, raw / files[0], tmp_path / "c", split="dev") == sha(name, raw, tmp_path / "a")
    assert len(asked(tmp_path / "a/train")) == 6, "two were in validation"


def test_musique_s_folder_as_unpacked_is_read_by_its_answerable_set(tmp_path: Path) -> None:
    rows = [musique(number) for number in range(4)]
    write(tmp_path / "hub/validation.jsonl", rows)
    raw = tmp_path / "data"
    write(raw / "musique_ans_v1.0_dev.jsonl", rows)
    full = [one for row in rows for one in (row | {"answerable": False, "question": "Other?"}, row)]
    write(raw / "musique_full_v1.0_dev.jsonl", full)
    (raw / "dev_test_singlehop_questions_v1.0.json").write_text("{}")
    expected = sha("musique", tmp_path / "hub", tmp_path / "a")
    assert sha("musique", raw, tmp_path / "b", split="dev") == expected
    assert sha("musique", raw / "musique_full_v1.0_dev.jsonl", tmp_path / "c") == expected


def test_several_sets_of_a_split_are_not_mixed(tmp_path: Path) -> None:
    for file in ("validation.jsonl", "dev.jsonl"):
        write(tmp_path / "a" / file, [hotpot(1)])
    for file in ("mine_dev.jsonl", "yours_dev.jsonl"):
        write(tmp_path / "b" / file, [hotpot(1)])
    for folder in ("a", "b"):
        with pytest.raises(SourceError, match=r"several times .*: give one of them as --source"):
            sha("hotpotqa", tmp_path / folder, tmp_path / "out")


def test_tables_with_objects_or_columns_are_the_same(tmp_path: Path) -> None:
    rows = [hotpot(number) for number in range(4)]
    pairs = [
        row
        | {
            field: [dict(zip(row[field], values, strict=True)) for values in zip(*row[field].values(), strict=True)]
            for field in ("context", "supporting_facts")
        }
        for row in rows
    ]
    for folder, some in (("a", rows), ("b", pairs)):
        write(tmp_path / folder / "validation.parquet", some)
    assert sha("hotpotqa", tmp_path / "a", tmp_path / "x") == sha("hotpotqa", tmp_path / "b", tmp_path / "y")
    column = [
        row | {"paragraphs": {key: [p[key] for p in row["paragraphs"]] for key in row["paragraphs"][0]}}
        for row in map(musique, range(4))
    ]
    write(tmp_path / "c/validation.parquet", column)
    write(tmp_path / "d/validation.parquet", [musique(number) for number in range(4)])
    assert sha("musique", tmp_path / "c", tmp_path / "z") == sha("musique", tmp_path / "d", tmp_path / "w")


def test_gold_facts_that_a_context_lacks_are_counted(tmp_path: Path) -> None:
    row = hotpot(1, supporting_facts={"title": ["Page 1-0", "Elsewhere"], "sent_id": [0, 0]})
    (tmp_path / "hotpot_dev_fullwiki_v1.json").write_text(json.dumps([original(row), original(hotpot(2))]))
    assert prepare("hotpotqa", source=str(tmp_path), out=tmp_path / "out", options={"docs": 4}).supporting_lost == 1


# --- answers ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "record"), [("hotpotqa", hotpot), ("2wikimultihopqa", wiki), ("musique", musique)])
@pytest.mark.parametrize("field", ["answer_aliases", "aliases"])
@pytest.mark.parametrize("shape", ["list", "word"])
def test_aliases_are_accepted_answers_in_every_layout(
    name: str, record: Callable[..., Row], field: str, shape: str, tmp_path: Path
) -> None:
    row = record(1, **{field: ["one ", "", "value 1"] if shape == "list" else "one"})
    write(tmp_path / "validation.jsonl", [row])
    prepare(name, source=str(tmp_path), out=tmp_path / "out", options={"docs": 4})
    assert asked(tmp_path / "out/validation")[0].answers == ("value 1", "one")


@pytest.mark.parametrize("place", ["data/id_aliases.json", "id_aliases.json"])
def test_2wiki_s_names_by_id_lie_beside_the_records_or_above(place: str, tmp_path: Path) -> None:
    rows = [wiki(1, answer_id="Q1"), wiki(2, answer_id=None), wiki(3, answer_id="Q404"), wiki(4)]
    write(tmp_path / "data/dev.jsonl", [original(row) for row in rows])
    named = [{"Q_id": "Q1", "aliases": ["US", "USA"], "demonyms": ["American"]}]
    named += [{"Q_id": "Q2", "aliases": [], "demonyms": []}]
    (tmp_path / place).write_text(lines(named))
    made = prepare("2wikimultihopqa", source=str(tmp_path / "data"), out=tmp_path / "out", options=ALL)
    answers = [question.answers for question in asked(tmp_path / "out/validation")]
    assert answers == [("value 1", "US", "USA", "American"), ("value 2",), ("value 3",), ("value 4",)]
    assert "id_aliases.json" in made.inputs
    (tmp_path / place).write_text(lines(named) + "{")
    with pytest.raises(SourceError, match=r"id_aliases\.json is damaged: line 3"):
        sha("2wikimultihopqa", tmp_path / "data", tmp_path / "new")


@pytest.mark.parametrize(("value", "text"), [(1984, "1984"), (3.5, "3.5"), (True, "true"), (0, "0"), (False, "false")])
def test_an_answer_that_is_no_text_is_read_as_it_is_written(value: Any, text: str, tmp_path: Path) -> None:
    (tmp_path / "validation.jsonl").write_text(lines([hotpot(1, answer=value, id=7)]))
    prepare("hotpotqa", source=str(tmp_path), out=tmp_path / "out", options={"docs": 4})
    (question,) = asked(tmp_path / "out/validation")
    assert (question.answers, question.id) == ((text,), "7")


# --- bytes ------------------------------------------------------------------------------------------

ROWS = [hotpot(number, question=f"Où est {number}?") for number in range(5)]
ARRAY, LINES = json.dumps(ROWS, ensure_ascii=False), lines(ROWS)


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("validation.json", codecs.BOM_UTF8 + ARRAY.encode()),
        ("validation.jsonl", codecs.BOM_UTF8 + LINES.encode()),
        ("validation.json", ("\ufeff" + ARRAY).encode("utf-16-le")),
        ("validation.jsonl", LINES.encode("utf-16")),
        ("validation.json", b"\r\n\t " + ARRAY.encode() + b" \r\n\r\n"),
        ("validation.jsonl", LINES.replace("\n", "\r\n\r\n").encode().rstrip()),
        ("validation.json", json.dumps(ROWS, indent=2).encode()),
        ("validation.json", json.dumps({"data": ROWS}).encode()),
        ("validation.json", codecs.BOM_UTF8 + json.dumps({"version": 1, "data": ROWS}, indent=1).encode()),
        ("validation.json", json.dumps({"train": ROWS[:1], "validation": ROWS}).encode()),
        ("validation.json", json.dumps({"dev": ROWS, "train": []}, indent=1).encode()),
        ("validation.jsonl.bz2", bz2.compress(LINES.encode())),
        ("validation.json.xz", lzma.compress(codecs.BOM_UTF8 + ARRAY.encode())),
        ("VALIDATION.JSON", ARRAY.encode()),
    ],
)
@pytest.mark.parametrize("block", [7, 1 << 20])
def test_encodings_marks_wrappers_and_packing_change_nothing(
    file: str, content: bytes, block: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_json, "BLOCK", block)
    write(tmp_path / "plain/validation.jsonl", ROWS)
    (tmp_path / file).write_bytes(content)
    assert sha("hotpotqa", tmp_path, tmp_path / "a") == sha("hotpotqa", tmp_path / "plain", tmp_path / "b")


@pytest.mark.parametrize(
    ("file", "content", "says"),
    [
        ("validation.jsonl", (LINES + LINES).encode("latin-1"), "line 1 is not UTF-8 .*: save the file as UTF-8"),
        ("validation.json", ARRAY.encode("latin-1"), "record 1 is not UTF-8"),
        ("validation.json", ARRAY.encode()[:-9], "record 5 is not JSON"),
        ("validation.json", ARRAY.encode()[:-1], "after record 5 a comma or the end of the array is missing"),
        ("validation.jsonl.bz2", b"BZh9 and no more", "is damaged"),
        ("validation.jsonl.xz", b"not xz", "is damaged"),
        ("validation.jsonl", lines([hotpot(1, question="\ud83d?")]).encode("utf-8", "surrogatepass"), "not UTF-8"),
        ("validation.jsonl", json.dumps(hotpot(1, question="\ud83d?")).encode(), "question holds half a character"),
        ("validation.jsonl", json.dumps(hotpot(1, answer=float("nan"))).encode(), "the field answer is NaN and not a"),
        ("validation.jsonl", b"[" * 200_000, "is damaged: a record is nested too deeply"),
    ],
)
def test_damage_is_named_by_its_place(file: str, content: bytes, says: str, tmp_path: Path) -> None:
    (tmp_path / file).write_bytes(content)
    with pytest.raises(SourceError, match=says):
        sha("hotpotqa", tmp_path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_control_characters_are_kept(tmp_path: Path) -> None:
    write(tmp_path / "validation.jsonl", [hotpot(1, answer="a\x00b\x1b[2J", id="\x07id")])
    prepare("hotpotqa", source=str(tmp_path), out=tmp_path / "out", options={"docs": 4})
    (question,) = asked(tmp_path / "out/validation")
    assert (question.id, question.answers) == ("\x07id", ("a\x00b\x1b[2J",))


# --- what is refused ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "row", "says"),
    [
        ("hotpotqa", {"_id": "a", "question": "q", "context": [["t", ["s"]]]}, "a test set without answers cannot be"),
        ("musique", {"id": "a", "question": "q", "paragraphs": []}, "a test set without answers cannot be scored"),
        (
            "hotpotqa",
            {"context": "Document 1:", "input": "q", "answers": ["a"], "num_docs": 50},
            "MemAgent's evaluation",
        ),
        (
            "hotpotqa",
            {"prompt": [], "reward_model": {}, "extra_info": {}},
            "publish them: atommem prepare memagent",
        ),
        (
            "musique",
            {"context": "", "questions": [], "answers": [], "metadata": {}},
            "atommem prepare memory_agent_bench",
        ),
        ("2wikimultihopqa", {"documents": [], "questions": []}, "atommem prepare records reads them"),
        ("hotpotqa", {"sample_id": "c", "conversation": {}, "qa": []}, "LoCoMo's conversations"),
        ("musique", {"question_id": "a", "question": "q", "answer": "a", "haystack_sessions": []}, "LongMemEval's"),
        ("hotpotqa", {"title": "t", "paragraphs": []}, "articles in SQuAD's layout"),
        ("hotpotqa", {"id": "1", "question": "q", "context": "c", "answers": {"text": []}}, "questions in SQuAD's"),
        ("hotpotqa", musique(1), "MuSiQue's layout: atommem prepare musique reads them"),
        ("musique", hotpot(1), "HotpotQA's layout: atommem prepare hotpotqa"),
        ("hotpotqa", {"id": "1", "question": "q", "answer": "a", "context": "c"}, "your own can be written so"),
        ("hotpotqa", hotpot(1, context="c"), 'the field context is "c" and not an object with title and sentences'),
    ],
)
def test_other_layouts_are_named_with_what_to_do(name: str, row: Row, says: str, tmp_path: Path) -> None:
    (tmp_path / "data.json").write_text(json.dumps([row]))
    with pytest.raises(SourceError, match=says) as caught:
        prepare(name, source=str(tmp_path / "data.json"), split="validation", out=tmp_path / "out")
    assert str(caught.value).startswith(f"{tmp_path / 'data.json'}: record 1: ")
    assert not (tmp_path / "out").exists()


def test_a_table_of_training_prompts_is_named(tmp_path: Path) -> None:
    write(tmp_path / "hotpotqa_dev.parquet", [{"prompt": ["x"], "reward_model": {"a": 1}, "extra_info": {"b": 1}}])
    with pytest.raises(SourceError, match="training prompts of verl"):
        sha("hotpotqa", tmp_path, tmp_path / "out")


@pytest.mark.parametrize(
    ("file", "says"),
    [
        ("data.zip", "an archive: unpack it"),
        ("data.tar.gz", "an archive"),
        ("dev.csv", "save its records as JSON lines"),
    ],
)
def test_files_that_are_not_read_say_what_to_do(file: str, says: str, tmp_path: Path) -> None:
    (tmp_path / file).write_bytes(b"PK")
    for source in (tmp_path / file, tmp_path):
        with pytest.raises(SourceError, match=says):
            sha("hotpotqa", source, tmp_path / "out")


def test_a_blank_test_set_and_a_folder_above_are_told(tmp_path: Path) -> None:
    write(tmp_path / "data/test.jsonl", [wiki(1, answer="")])
    with pytest.raises(UsageError, match=r"no usable question.*1 without .* \(in a test set the answers are blank"):
        sha("2wikimultihopqa", tmp_path / "data/test.jsonl", tmp_path / "out")
    with pytest.raises(SourceError, match="a test set is there, whose answers are not public"):
        sha("2wikimultihopqa", tmp_path / "data", tmp_path / "out")
    write(tmp_path / "data/dev.jsonl", [wiki(1)])
    with pytest.raises(SourceError, match=r"one is in .*data: give that as --source"):
        sha("2wikimultihopqa", tmp_path, tmp_path / "out")


def test_what_is_wrong_with_the_second_split_is_found_before_the_first(tmp_path: Path) -> None:
    write(tmp_path / "raw/train.jsonl", [hotpot(1)])
    with pytest.raises(SourceError, match="no file of the split validation"):
        check("hotpotqa", ["train", "validation"], out=tmp_path / "out", source=str(tmp_path / "raw"))
    write(tmp_path / "raw/dev.jsonl", [{"conversation": 1, "qa": 2}])
    with pytest.raises(SourceError, match="LoCoMo"):
        check("hotpotqa", ["train", "dev"], out=tmp_path / "out", source=str(tmp_path / "raw"))


# --- training and validation --------------------------------------------------------------------------


def test_train_from_a_file_is_checked_against_what_is_prepared_beside_it(tmp_path: Path) -> None:
    dev, train = tmp_path / "a_dev.jsonl", tmp_path / "a_train.jsonl"
    write(dev, [musique(number) for number in range(5)])
    write(train, [musique(number) for number in range(3, 9)])
    alone = prepare("musique", source=str(train), split="train", out=tmp_path / "alone", options=ALL)
    assert (alone.questions_used, alone.checked) == (6, {})
    assert "checked" not in (tmp_path / "alone/train/manifest.json").read_text()

    before = prepare("musique", source=str(dev), out=tmp_path / "out", options=ALL)
    made = prepare("musique", source=str(train), split="train", out=tmp_path / "out", options=ALL)
    assert made.questions_skipped == {"in_validation": 2}
    assert made.checked == {"validation/tasks.jsonl": before.sha256}
    assert prepare("musique", source=str(train), split="train", out=tmp_path / "out", options=ALL) == made
    assert prepare("musique", source=str(dev), out=tmp_path / "out", options=ALL, force=True) == before

    with pytest.raises(UsageError, match=r"2 questions of validation are in .*train, too: prepare validation first"):
        prepare("musique", source=str(dev), out=tmp_path / "alone", options=ALL)
    assert not (tmp_path / "alone/validation").exists()


def test_train_is_checked_against_a_file_that_is_given(tmp_path: Path) -> None:
    dev, train = tmp_path / "a_dev.jsonl", tmp_path / "a_train.jsonl"
    write(dev, [musique(number) for number in range(5)])
    write(train, [musique(number) for number in range(3, 9)])
    out = tmp_path / "out"
    made = prepare("musique", source=str(train), split="train", validation=str(dev), out=out, options=ALL)
    assert made.questions_skipped == {"in_validation": 2}
    assert made.checked == {"a_dev.jsonl": made.inputs["a_dev.jsonl"]}
    assert prepare("musique", source=str(dev), out=out, options=ALL).questions_used == 5
    again = prepare("musique", source=str(train), split="train", validation=str(dev), out=out, options=ALL)
    assert again == made


def test_questions_that_only_train_could_use_are_refused_without_it(tmp_path: Path) -> None:
    write(tmp_path / "a_dev.jsonl", [musique(1)])
    with pytest.raises(UsageError, match="--validation x: is for --split train"):
        check("musique", ["dev"], out=tmp_path / "out", source=str(tmp_path / "a_dev.jsonl"), validation="x")


def test_a_file_that_may_not_be_read_is_not_called_damaged(tmp_path: Path) -> None:
    (tmp_path / "validation.jsonl").mkdir()
    with pytest.raises(SourceError, match=r"validation\.jsonl cannot be read: Is a directory"):
        sha("musique", tmp_path, tmp_path / "deep/er/out")
    assert not (tmp_path / "deep").exists()
