"""Documents and questions of one's own: from any file the same tasks; what is wrong is said with its place."""

from __future__ import annotations

import csv
import json
import tracemalloc
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from raw_records import Row, lines, write

from atommem_cli.core.errors import AtommemError, SourceError, UsageError
from atommem_cli.core.types import Document, Question, Support, Task
from atommem_cli.data.files import Manifest, Request
from atommem_cli.data.preparation import prepare, read_tasks
from atommem_cli.data.sources import splits
from atommem_cli.scoring.abstention import SAYING_SO
from atommem_cli.tasks import records

PAGES = [
    {"id": "p1", "title": "Leave", "date": "2024-01-11", "text": "Everybody has 25 days of leave. It is paid."},
    {"id": "p2", "title": "Offices", "date": "2024-01-10", "text": 'The office is in Tartu, "by the river".'},
    {"id": "p3", "title": "Changes", "date": "2024-05-06", "text": "Everybody has 27 days of leave.\nFrom May on."},
]
ASKED = [
    {
        "id": "q1",
        "question": "How many days of leave are there?",
        "answer": "27",
        "aliases": ["27 days", "twenty-seven"],
        "kind": "number",
        "supporting": [{"document": "Changes", "text": "Everybody has 27 days of leave."}],
    },
    {"id": "q2", "question": "Where is the office?", "answer": "Tartu"},
]
TASK = Task(
    "records-validation-00000",
    "records",
    (
        Document("Leave (2024-01-11)", PAGES[0]["text"]),
        Document("Offices (2024-01-10)", PAGES[1]["text"]),
        Document("Changes (2024-05-06)", PAGES[2]["text"]),
    ),
    (
        Question(
            "q1",
            "How many days of leave are there?",
            ("27", "27 days", "twenty-seven"),
            (Support(2, "Everybody has 27 days of leave."),),
            "number",
        ),
        Question("q2", "Where is the office?", ("Tartu",)),
    ),
)


def made(source: Path, out: Path, split: str = "validation", **options: Any) -> list[Task]:
    prepare("records", source=str(source), out=out, split=split, options=options)
    return list(read_tasks(out / split))


def refused(source: Path, **options: Any) -> str:
    with pytest.raises(AtommemError) as error:
        made(source, source.parent / "refused", **options)
    return str(error.value)


def table(path: Path, rows: Sequence[Row], delimiter: str = ",", encoding: str = "utf-8") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    names = list(dict.fromkeys(name for row in rows for name in row))
    with path.open("w", newline="", encoding=encoding) as file:
        writer = csv.DictWriter(file, names, delimiter=delimiter)
        writer.writeheader()
        writer.writerows({name: cell(name, value) for name, value in row.items()} for row in rows)
    return path


def cell(name: str, value: Any) -> Any:
    """A list as a table holds it."""
    return "|".join(value) if name == "aliases" else json.dumps(value) if isinstance(value, list) else value


# --- from any file the same tasks -----------------------------------------------------------------


@pytest.mark.parametrize("ending", ["jsonl", "json", "parquet", "jsonl.gz", "csv", "tsv", "excel", "wrapped"])
def test_two_files_of_any_format_make_the_same_task(ending: str, tmp_path: Path) -> None:
    folder = tmp_path / "wiki"
    for name, rows in (("documents", PAGES), ("questions", ASKED)):
        if ending == "tsv":
            table(folder / f"{name}.tsv", rows, "\t")
        elif ending == "excel":  # as spreadsheets write them: semicolons, a byte-order mark, names in capitals
            upper = [{key.upper(): value for key, value in row.items()} for row in rows]
            table(folder / f"{name}.csv", upper, ";", "utf-8-sig")
        elif ending == "csv":
            table(folder / f"{name}.csv", rows)
        elif ending == "wrapped":
            folder.mkdir(exist_ok=True)
            (folder / f"{name}.json").write_text(json.dumps({name: rows}, indent=1))
        else:
            write(folder / f"{name}.{ending}", rows)
    assert made(folder, tmp_path / "out") == [TASK]


@pytest.mark.parametrize("ending", ["jsonl", "json", "parquet", "indented"])
def test_a_record_with_both_lists_makes_the_same_task_under_its_own_ids(ending: str, tmp_path: Path) -> None:
    record = {"id": "wiki", "documents": PAGES, "questions": ASKED}
    path = tmp_path / f"wiki.{'json' if ending == 'indented' else ending}"
    if ending == "indented":
        path.write_text(json.dumps(record, indent=2))
    else:
        write(path, [record])
    (task,) = made(path, tmp_path / "out")
    assert task.documents == TASK.documents
    assert [q.id for q in task.questions] == ["wiki-q1", "wiki-q2"]
    assert [(q.text, q.answers, q.supporting, q.kind) for q in task.questions] == [
        (q.text, q.answers, q.supporting, q.kind) for q in TASK.questions
    ]


def test_a_folder_of_pages_has_their_names_as_titles(tmp_path: Path) -> None:
    folder = tmp_path / "wiki" / "documents"
    folder.mkdir(parents=True)
    (folder / "b.md").write_text("# B\n\nTartu it is.")
    (folder / "a.txt").write_text("About A.")
    (folder / "logo.png").write_bytes(b"\x89")
    (folder / ".b.md").write_text("What an editor left.")
    write(tmp_path / "wiki" / "questions.jsonl", [{"question": "Where?", "answer": "Tartu"}])
    (task,) = made(tmp_path / "wiki", tmp_path / "out")
    assert task.documents == (Document("a", "About A."), Document("b", "# B\n\nTartu it is."))
    (folder / "a.txt").write_bytes(b"\xff")
    assert "a.txt is not UTF-8" in refused(tmp_path / "wiki", shuffle=True)


def test_pages_of_folders_within_are_read_too_and_named_by_their_paths(tmp_path: Path) -> None:
    folder = tmp_path / "wiki" / "documents"
    for name, text in (
        ("hr/Leave.markdown", "25 days."),
        ("it/Leave.md", "Hand in the laptop."),
        ("Top.txt", "Hello."),
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    asked = {"question": "How many days?", "answer": "25", "supporting": [{"document": "hr/Leave"}]}
    write(tmp_path / "wiki" / "questions.jsonl", [asked])
    (task,) = made(tmp_path / "wiki", tmp_path / "out")
    assert [one.title for one in task.documents] == ["Top", "Leave", "Leave"]
    assert task.questions[0].supporting == (Support(1, "25 days."),)
    write(tmp_path / "wiki" / "questions.jsonl", [{**asked, "supporting": [{"document": "Leave"}]}])
    assert "could be in 2 documents: name one by an id of its own, a page by its path" in refused(tmp_path / "wiki")
    (folder / "it" / "old.html").write_text("<p>Old.")
    assert "old.html: this format is not read: save it as one of .md, .markdown, .txt" in refused(tmp_path / "wiki")


def test_a_conversation_is_read_turn_by_turn_and_a_session_as_one_document(tmp_path: Path) -> None:
    turns = [{"role": "user", "content": "I moved to Tartu."}, {"role": "assistant", "content": "Noted."}]
    asked = {"question": "Where do I live?", "answers": ["Tartu", "in Tartu"]}
    rows = [
        {"messages": [turns[0] | {"date": "2024-05-01"}, turns[1]], **asked},
        {"sessions": [{"date": "2024-05-01", "messages": turns}, "Plain text."], "questions": [asked]},
    ]
    one, two = (
        write(tmp_path / f"{at}.jsonl", [json.loads(json.dumps(row, default=str))]) for at, row in enumerate(rows)
    )
    (task,) = made(one, tmp_path / "one")
    assert task.documents == (
        Document("", "Date: 2024-05-01\nuser: I moved to Tartu."),
        Document("", "assistant: Noted."),
    )
    assert task.questions == (Question("1-1", "Where do I live?", ("Tartu", "in Tartu")),)
    (task,) = made(two, tmp_path / "two")
    said = "Date: 2024-05-01\nuser: I moved to Tartu.\nassistant: Noted."
    assert task.documents == (Document("", said), Document("", "Plain text."))


def test_a_date_of_a_table_reads_as_its_day_or_its_minute(tmp_path: Path) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    asked = write(tmp_path / "wiki" / "questions.jsonl", [{"question": "q", "answer": "a"}])
    days = {"Day": datetime(2024, 5, 1), "Minute": datetime(2024, 5, 1, 14, 30)}
    rows = [{"title": name, "text": "x", "date": day} for name, day in days.items()]
    parquet.write_table(pa.Table.from_pylist(rows), asked.parent / "documents.parquet")
    (task,) = made(asked.parent, tmp_path / "out")
    assert [d.title for d in task.documents] == ["Day (2024-05-01)", "Minute (2024-05-01 14:30:00)"]


# --- several records, orders, splits --------------------------------------------------------------


def test_rows_of_several_records_are_brought_together_and_each_becomes_a_task(tmp_path: Path) -> None:
    documents = [{"record": r, "text": f"{r} says {n}."} for n in range(3) for r in ("ann", "bob", "eve")]
    asked = [{"record": r, "question": f"What says {r}?", "answer": "2"} for r in ("bob", "ann", "bob")]
    table(tmp_path / "mail" / "documents.csv", documents)
    table(tmp_path / "mail" / "questions.csv", asked)
    ann, bob = made(tmp_path / "mail", tmp_path / "out")
    assert [d.text for d in bob.documents] == [f"bob says {n}." for n in range(3)]
    assert [[q.id for q in task.questions] for task in (ann, bob)] == [["ann-1"], ["bob-1", "bob-2"]]
    table(tmp_path / "mail" / "questions.csv", [*asked, {"record": "zoe", "question": "?", "answer": "2"}])
    assert "questions.csv: question 4 names the record 'zoe', which no document belongs to" in refused(
        tmp_path / "mail"
    )


def test_documents_are_read_by_date_where_that_is_wanted(tmp_path: Path) -> None:
    write(tmp_path / "w.jsonl", [{"documents": PAGES, "questions": ASKED}])
    (task,) = made(tmp_path / "w.jsonl", tmp_path / "out", by_date=True)
    assert [d.title[:6] for d in task.documents] == ["Office", "Leave ", "Change"]
    assert task.questions[0].supporting == (Support(2, "Everybody has 27 days of leave."),)
    assert "documents have one order" in refused(tmp_path / "w.jsonl", by_date=True, shuffle=True)
    dates = ["2024-05", "2023", "2024/04/30", "2024-05-01T12:00:00+02:00", "2024-05-01 11:00"]
    rows = [{"title": "T", "text": day, "date": day} for day in dates]
    write(tmp_path / "w.jsonl", [{"documents": rows, "questions": ASKED[1:]}])
    (task,) = made(tmp_path / "w.jsonl", tmp_path / "dates", by_date=True)
    assert [dates.index(d.text) for d in task.documents] == [1, 2, 0, 3, 4]
    for bad, said in (("last Tuesday", "the date 'last Tuesday' cannot be sorted by"), ("", "'T' has no date")):
        write(tmp_path / "w.jsonl", [{"documents": [{"title": "T", "text": "x", "date": bad}], "questions": ASKED[1:]}])
        assert said in refused(tmp_path / "w.jsonl", by_date=True)


def test_a_file_is_validation_unless_its_name_or_the_user_says_otherwise(tmp_path: Path) -> None:
    record = {"documents": PAGES, "questions": ASKED}
    plain, train = write(tmp_path / "wiki.jsonl", [record]), write(tmp_path / "d" / "train.jsonl", [record])
    assert splits("records", str(plain)) == ["validation"]
    assert splits("records", str(train)) == ["train"]
    assert splits("records", str(train.parent)) == ["train"]
    write(tmp_path / "d" / "dev.jsonl", [record])
    assert splits("records", str(train.parent)) == ["train", "validation"]
    assert [task.id for task in made(plain, tmp_path / "out", "train")] == ["records-train-00000"]
    with pytest.raises(UsageError, match="name your file or folder with --source"):
        splits("records", None)


def test_questions_of_each_split_share_the_documents_and_training_asks_none_of_validation(tmp_path: Path) -> None:
    folder = tmp_path / "wiki"
    table(folder / "documents.csv", PAGES)
    write(folder / "questions-train.jsonl", [{"question": "Where is the  OFFICE?", "answer": "x"}, ASKED[0]])
    write(folder / "questions-validation.jsonl", ASKED[1:])
    assert splits("records", str(folder)) == ["train", "validation"]
    (folder / "questions-validation.jsonl").rename(folder / "questions.jsonl")  # not lost beside those of training
    assert splits("records", str(folder)) == ["train", "validation"]
    (folder / "questions.jsonl").rename(folder / "questions-validation.jsonl")
    (task,) = made(folder, tmp_path / "out", "train")
    assert [q.text for q in task.questions] == [ASKED[0]["question"]]
    manifest = prepare("records", source=str(folder), out=tmp_path / "out", split="train")
    assert manifest.questions_skipped == {"in_validation": 1}
    assert list(manifest.checked) == ["questions-validation.jsonl"]
    assert made(folder, tmp_path / "out") == [
        Task("records-validation-00000", "records", TASK.documents, TASK.questions[1:])
    ]


def test_the_manifest_has_the_files_and_the_licence_that_the_user_states(tmp_path: Path) -> None:
    table(tmp_path / "w" / "documents.csv", PAGES)
    table(tmp_path / "w" / "questions.csv", [*ASKED, {"question": "Who?", "answer": " "}])
    manifest: Manifest = prepare(
        "records", source=str(tmp_path / "w"), out=tmp_path / "out", options={"licence": "internal"}
    )
    assert (manifest.source, manifest.licence) == ("records", "internal")
    assert set(manifest.inputs) == {"documents.csv", "questions.csv"}
    assert (manifest.questions_skipped, manifest.kinds) == ({"blank": 1}, {"number": 1})


def test_a_large_file_is_read_no_further_than_its_tasks_need(tmp_path: Path) -> None:
    path = tmp_path / "many.jsonl"
    good = [{"id": n, "documents": PAGES, "questions": ASKED} for n in range(3)]
    path.write_text(lines(good) + "broken\n")
    manifest = prepare("records", source=str(path), out=tmp_path / "out", limit=2)
    assert (manifest.tasks, manifest.questions_used) == (2, 4)
    assert "line 4 is not JSON" in refused(path)


def test_memory_holds_some_records_and_not_the_file(tmp_path: Path) -> None:
    """10 MB of records in half of that: what is read at once is a block and a record."""
    body = "Nothing to see here. " * 500
    row = {"documents": [{"title": f"D{at}", "text": body} for at in range(10)], "questions": ASKED[1:]}
    path = tmp_path / "many.jsonl"
    path.write_text(lines([{"id": at, **row} for at in range(100)]))
    table(tmp_path / "w" / "documents.csv", [{"record": at % 100, "text": body} for at in range(1000)])
    table(tmp_path / "w" / "questions.csv", [{"record": at, **ASKED[1]} for at in range(100)])
    for source in (path, tmp_path / "w"):
        scratch = tmp_path / "scratch"
        scratch.mkdir(exist_ok=True)
        request = Request("validation", str(source), None, 42, None, None, None, scratch, lambda _: None)
        tracemalloc.start()
        plan = records.build(records.Options(), request)
        for job in plan.jobs:
            assert len(plan.make(job).documents) == 10
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert len(plan.jobs) == 100
        assert peak < 10 * len(body) * 100 / 2


# --- what is wrong --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("record", "said"),
    [
        ({"questions": ASKED}, "line 1: the field documents is missing (there are: questions; a record has documents"),
        ({"documents": PAGES}, "line 1: the field questions is missing (there are: documents;"),
        ({"documents": {"a": "b"}, "questions": ASKED}, "line 1: the field documents is no list"),
        (
            {"documents": [PAGES[0], {"title": "x"}], "questions": ASKED},
            "document 2: the field text or messages is",
        ),
        ({"documents": [{"text": ["x"]}], "questions": ASKED}, 'document 1: the field text is ["x"] and not a string'),
        ({"documents": [5], "questions": ASKED}, "document 1: a document is no object with fields"),
        ({"documents": [{"text": " "}], "questions": ASKED}, "line 1: there is no document with a text"),
        (
            {"documents": PAGES, "questions": [{"answer": "x"}]},
            "question 1: the field question is missing",
        ),
        ({"documents": PAGES, "questions": [ASKED[1], {"question": "q"}]}, "question 2: the field answer is missing"),
        (
            {"documents": [{"text": "x", "date": 1714521600}], "questions": ASKED},
            "document 1: the field date is 1714521600: write it as it is to be read",
        ),
        (
            {"documents": PAGES, "questions": [ASKED[1] | {"supporting": ["Tartu", "nowhere"]}]},
            "question 1, 'Where is the office?': the supporting fact \"nowhere\" does not stand in any document",
        ),
        (
            {"documents": PAGES, "questions": [ASKED[1] | {"supporting": [["p9", "Tartu"]]}]},
            "a supporting fact is in the document 'p9', and no document has this id or title",
        ),
        (
            {"documents": PAGES, "questions": [ASKED[1] | {"supporting": [["The_Offices", "Tartu"]]}]},
            "in the document 'The_Offices', and no document has this id or title; did you mean 'Offices'?",
        ),
        (
            {"documents": PAGES, "questions": [ASKED[1] | {"supporting": ["days of leave"]}]},
            "could be in 2 documents: name one by an id of its own",
        ),
        ({"documents": PAGES, "questions": [ASKED[1] | {"supporting": [7]}]}, "a list of {document, text} is wanted"),
        (
            {"documents": PAGES, "questions": [ASKED[1] | {"supporting": [["p2", 2]]}]},
            'question 1: the field supporting holds ["p2", 2]: the text of the fact is wanted, and not its number',
        ),
        (
            {"documents": [{"messages": "hello"}], "questions": ASKED},
            'document 1: the field messages is "hello": a list of {role, content} is wanted',
        ),
        ({"context": "c", "input": "i", "answers": ["a"]}, "these are MemAgent's evaluation tasks"),
        ({"question": "q", "answer": "a", "haystack_sessions": []}, "atommem prepare longmemeval reads them"),
        ({"_id": "1", "context": [], "supporting_facts": [], "question": "q", "answer": "a"}, "in HotpotQA's layout"),
    ],
)
def test_a_faulty_record_is_named_with_its_line_and_field(record: Row, said: str, tmp_path: Path) -> None:
    path = write(tmp_path / "mine.jsonl", [record])
    message = refused(path)
    assert said in message
    assert message.startswith(f"{path}: ")
    assert "\n" not in message


@pytest.mark.parametrize(
    ("documents", "questions", "said"),
    [
        ("title,text\nA,b,c\n", "question,answer\nq,a\n", "documents.csv is damaged: row 2 has 3 cells"),
        ('title,text\nA,"b\n', "question,answer\nq,a\n", "documents.csv is damaged: behind row 1: unexpected"),
        ("title,text,title\nA,b,c\n", "question,answer\nq,a\n", "two columns are called title"),
        ("title\nA\n", "question,answer\nq,a\n", "documents.csv: row 2: the field text or messages"),
        ("text\nb\n", "question,anwser\nq,a\n", "row 2: the field answer is missing (there are: q"),
        ("text\nb\n", "question,answer\n", "questions.csv: there is no record in it"),
        ("text\nb\n", "question,answer,supporting\nq,a,c\n", "question 1, 'q': the supporting fact \"c\" does"),
        ("record,text\nx,b\n", "question,answer\nq,a\n", "question 1 names no record, as documents do"),
    ],
)  # fmt: skip
def test_a_faulty_table_is_named_with_its_row_and_column(
    documents: str, questions: str, said: str, tmp_path: Path
) -> None:
    folder = tmp_path / "w"
    folder.mkdir()
    (folder / "documents.csv").write_text(documents)
    (folder / "questions.csv").write_text(questions)
    message = refused(folder)
    assert said in message
    assert "\n" not in message


def test_what_is_wrong_with_the_files_is_said(tmp_path: Path) -> None:
    alone = table(tmp_path / "alone.csv", PAGES)
    assert "a table holds documents or questions, not both: put documents.csv and questions.csv" in refused(alone)
    folder = tmp_path / "w"
    table(folder / "documents.csv", PAGES)
    assert "documents are there, and no questions.*" in refused(folder)
    table(folder / "questions.csv", ASKED)
    write(folder / "questions.jsonl", ASKED)
    assert "several times (questions.csv, questions.jsonl)" in refused(folder)
    (folder / "questions.csv").unlink()
    (folder / "questions.jsonl").rename(folder / "questions-train.jsonl")
    assert "no questions of the split validation (there are: questions-train.jsonl)" in refused(folder)
    (folder / "documents.csv").write_bytes(b"text\nM\xfcnchen\n")
    (folder / "questions-train.jsonl").rename(folder / "questions.jsonl")
    assert "not UTF-8 (byte 0xfc)" in refused(folder)
    (tmp_path / "sheets").mkdir()
    (tmp_path / "sheets" / "Documents.xlsx").write_bytes(b"PK")
    assert "Documents.xlsx: this format is not read: save it as one of .jsonl" in refused(tmp_path / "sheets")
    (tmp_path / "scans" / "documents").mkdir(parents=True)
    (tmp_path / "scans" / "page.pdf").write_bytes(b"%PDF")
    assert "there are no documents.* and questions.* (" in refused(tmp_path / "scans")
    for name, row in (("pages", PAGES[0]), ("asked", ASKED[0])):
        assert "in one folder are read, too: give the folder" in refused(write(tmp_path / f"{name}.jsonl", [row]))
    with pytest.raises(SourceError, match="there is no such file or folder"):
        made(tmp_path / "nowhere", tmp_path / "out")


def test_a_question_that_nothing_answers_is_asked_and_saying_so_is_right(tmp_path: Path) -> None:
    why = "There is no canteen."
    asked = [*ASKED, {"question": "Who cooks?", "answerable": False, "answer": why, "kind": "x"}]
    table(tmp_path / "w" / "documents.csv", PAGES)
    (tmp_path / "w" / "questions.jsonl").write_text(lines(asked))
    (task,) = made(tmp_path / "w", tmp_path / "out")
    wanted = Question("3", "Who cooks?", SAYING_SO, (), "x", unanswerable=True, explanation=why)
    assert (task.questions[:2], task.questions[2]) == (TASK.questions, wanted)
    cells: list[Row] = [{"question": "Who cooks?", "answer": "", "answerable": "false"}]
    cells += [{**ASKED[1], "answerable": "TRUE"}, {"question": "Where?", "answer": "Tartu"}]
    table(tmp_path / "t" / "documents.csv", PAGES)
    table(tmp_path / "t" / "questions.csv", cells)
    (task,) = made(tmp_path / "t", tmp_path / "cells")
    assert [one.unanswerable for one in task.questions] == [True, False, False]
    wrong = {"question": "Who?", "answerable": False, "supporting": [{"document": "p1"}]}
    (tmp_path / "t" / "questions.csv").unlink()
    (tmp_path / "t" / "questions.jsonl").write_text(lines([wrong]))
    assert "has no supporting facts" in refused(tmp_path / "t")


@pytest.mark.parametrize(
    ("pages", "asked", "said"),
    [
        ([{"titel": "A", "text": "b"}], ASKED, "line 1: the field titel is not read: did you mean title?"),
        (PAGES, [{**ASKED[1], "suporting": []}], "questions.jsonl: line 1: the field suporting is not read"),
        (PAGES, [{**ASKED[1], "answers": ["Tallinn"]}], "a question has answer and answers"),
        ([{"text": "b", "messages": ["hi"]}], ASKED, "a document has messages and text"),
        ([PAGES[0], {**PAGES[1], "id": "p1"}], ASKED, "documents.jsonl: two documents have the id 'p1'"),
        (PAGES, [ASKED[0], {**ASKED[1], "id": "q1"}], "questions.jsonl: two questions have the id 'q1'"),
    ],
)  # fmt: skip
def test_what_would_be_lost_without_a_word_is_refused(
    pages: list[Row], asked: list[Row], said: str, tmp_path: Path
) -> None:
    folder = tmp_path / "w"
    folder.mkdir()
    (folder / "documents.jsonl").write_text(lines(pages))
    (folder / "questions.jsonl").write_text(lines(asked))
    assert said in refused(folder)


def test_fields_of_other_names_may_stay(tmp_path: Path) -> None:
    folder = tmp_path / "w"
    folder.mkdir()
    (folder / "documents.jsonl").write_text(lines([{**PAGES[0], "titles": 2, "idx": 3}, *PAGES[1:]]))
    (folder / "questions.jsonl").write_text(lines([{**ASKED[0], "answers": [], "difficulty": 3}, ASKED[1]]))
    assert made(folder, tmp_path / "out") == [TASK]
    (folder / "documents.jsonl").write_text(lines([{"text": "b", "update": 1, "idx": 2}]))
    (folder / "questions.jsonl").write_text(lines(ASKED[1:]))
    assert made(folder, tmp_path / "bare")[0].documents == (Document("", "b"),)
