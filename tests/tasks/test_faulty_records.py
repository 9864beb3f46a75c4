"""What records must not be: dates that there are not, and nothing to ask or to read; each is one sentence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from raw_records import write
from sessions import Row, locomo, longmemeval

from atommem_cli.core.errors import SourceError, UsageError
from atommem_cli.core.types import Task
from atommem_cli.data.files import read_tasks
from atommem_cli.data.preparation import prepare

FACTS: Row = {
    "context": "0. The capital of Velt is Orm.\n1. Ada lives in Velt.",
    "questions": ["Where does Ada live?"],
    "answers": [["Velt"]],
    "metadata": {"source": "factconsolidation_sh_6k"},
}
MIXED: Row = {"context": "Document 1:\nVelt\nAda lives in Velt.", "input": "Where does Ada live?", "answers": ["Velt"]}
OWN: Row = {
    "documents": [{"text": "Ada lives in Velt."}],
    "questions": [{"question": "Where is Ada?", "answer": "Velt"}],
}
RECORDS = {
    "locomo": locomo(),
    "longmemeval": longmemeval(),
    "memory_agent_bench": FACTS,
    "memagent": MIXED,
    "records": OWN,
}


def prepared(tmp_path: Path, source: str, text: str, **options: Any) -> list[Task]:
    file = tmp_path / f"{source}.json"
    file.write_text(text, "utf-8")
    prepare(source, source=str(file), out=tmp_path / "out", options=options, force=True)
    return list(read_tasks(tmp_path / "out" / "validation"))


def dated(source: str, date: object) -> Row:
    """A record with a date in it."""
    if source == "locomo":
        return locomo() | {"conversation": locomo()["conversation"] | {"session_2_date_time": date}}
    if source == "longmemeval":
        return longmemeval(haystack_dates=["2023/05/21 (Sun) 09:00", date, "2023/05/20 (Sat) 02:21"])
    return OWN | {"documents": [{"text": "Ada lives in Velt.", "date": date}]}


FIELDS = {"locomo": "conversation.session_2_date_time", "longmemeval": "haystack_dates[]", "records": "date"}
DAY, TIME, NUMBER, OTHER = "no such day", "no such time", "write it as it is to be read", "dates are written as"


@pytest.mark.parametrize(
    ("source", "date", "why"),
    [
        ("longmemeval", "2023/13/45 (Foo) 99:99", DAY),
        ("longmemeval", "2023/02/29 (Wed) 09:00", DAY),
        ("longmemeval", "2023/05/20 (Sat) 24:30", TIME),
        ("longmemeval", "2023/05/20 (Foo) 09:00", OTHER),
        ("longmemeval", "yesterday", OTHER),
        ("longmemeval", 1684569600, NUMBER),
        ("locomo", "13:56 pm on 8 May, 2023", TIME),
        ("locomo", "1:76 pm on 8 May, 2023", TIME),
        ("locomo", "1:56 pm on 31 June, 2023", DAY),
        ("locomo", "2023-00-10", DAY),
        ("locomo", True, NUMBER),
        ("records", "2024-13-45", DAY),
        ("records", "Feb 30, 2024", DAY),
        ("records", "2024-05-01T25:00", TIME),
        ("records", 45231, NUMBER),
        ("records", "-5", NUMBER),
        ("records", "20241301", NUMBER),
        ("records", False, NUMBER),
    ],
)
def test_a_date_that_is_none_is_named_with_its_file_record_and_field(
    source: str, date: object, why: str, tmp_path: Path
) -> None:
    with pytest.raises(SourceError) as caught:
        prepared(tmp_path, source, json.dumps([RECORDS[source], dated(source, date)]))
    place = f"{source}.json: record 2: " + ("document 1: " if source == "records" else "")
    assert f"{place}the field {FIELDS[source]} is " in str(caught.value)
    assert why in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_date_of_a_question_and_those_of_tables_are_looked_at_too(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"record 1: the field question_date is '2023/05/32', .* no such day"):
        prepared(tmp_path, "longmemeval", json.dumps([longmemeval(question_date="2023/05/32")]))
    (tmp_path / "wiki").mkdir()
    (tmp_path / "wiki" / "documents.csv").write_text("text,date\nAda lives in Velt.,2024-02-30\n")
    (tmp_path / "wiki" / "questions.csv").write_text("question,answer\nWhere is Ada?,Velt\n")
    with pytest.raises(SourceError, match=r"documents\.csv: row 2: the field date is '2024-02-30', .* no such day"):
        prepare("records", source=str(tmp_path / "wiki"), out=tmp_path / "out")


@pytest.mark.parametrize(
    ("source", "date"),
    [
        ("locomo", "12:09 am on 29 February, 2024"),
        ("locomo", "the week after"),
        ("longmemeval", "2024/02/29 (Thu) 23:59"),
        ("longmemeval", "2024-02-29"),
        ("records", "2024-05-01 14:30:59+05:30"),
        ("records", "spring 2024"),
        ("records", "2024/25"),
        ("records", "Sept. 3 2024"),
        ("records", "20240229"),
        ("records", "79"),
    ],
)
def test_dates_stand_in_documents_as_they_were_written(source: str, date: str, tmp_path: Path) -> None:
    (task,) = prepared(tmp_path, source, json.dumps([dated(source, f" {date} ")]))
    assert sum(f"Date: {date}\n" in document.text for document in task.documents) == 1


@pytest.mark.parametrize("source", [*RECORDS])
@pytest.mark.parametrize("text", ["", "\n \n", "[]"])
def test_a_file_of_nothing_has_no_record(source: str, text: str, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=rf"{source}\.json: there is no record in it"):
        prepared(tmp_path, source, text)


EMPTY: list[tuple[str, Row]] = [
    ("locomo", locomo() | {"qa": []}),
    ("memory_agent_bench", FACTS | {"questions": [], "answers": []}),
    ("memagent", {"context": MIXED["context"], "prompt": [{"content": []}], "reward_model": {"ground_truth": []}}),
    ("records", OWN | {"questions": []}),
]


@pytest.mark.parametrize(("source", "row"), EMPTY)
def test_records_without_a_question_are_said_to_ask_none(source: str, row: Row, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        prepared(tmp_path, source, json.dumps([row]))
    assert str(caught.value) == (
        f"{source}-validation: there is no usable question, so there is no task: its records ask none"
    )


@pytest.mark.parametrize(
    ("source", "row", "options", "why"),
    [
        ("locomo", locomo() | {"qa": locomo()["qa"][:1]}, {"kinds": ["temporal"]}, "1 of a kind that the option kinds"),
        ("longmemeval", longmemeval(), {"kinds": ["abstention"]}, "1 of a kind that the option kinds does not name"),
        ("memory_agent_bench", FACTS, {"subsets": ["mh"]}, "1 of a context that the option subsets does not name"),
        ("locomo", locomo() | {"qa": [locomo()["qa"][1] | {"question": " "}]}, {}, "1 without a text or an answer"),
        ("longmemeval", longmemeval(question=" "), {}, "1 without a text or an answer"),
        ("memory_agent_bench", FACTS | {"questions": [" "]}, {}, "1 without a text or an answer"),
        ("memagent", MIXED | {"answers": []}, {}, "1 without a text or an answer"),
        ("records", OWN | {"questions": [{"question": " ", "answer": "x"}]}, {}, "1 without a text or an answer"),
    ],
)
def test_why_no_question_is_left_is_said_in_words(
    source: str, row: Row, options: dict[str, Any], why: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=f"so there is no task: all are left out: {why}"):
        prepared(tmp_path, source, json.dumps([row]), **options)


@pytest.mark.parametrize(
    ("source", "row"),
    [
        ("locomo", locomo() | {"conversation": {}}),
        ("locomo", locomo() | {"conversation": {"session_1": [], "session_2": None}}),
        ("longmemeval", longmemeval(haystack_sessions=[], haystack_dates=[])),
        ("longmemeval", longmemeval(haystack_sessions=[[]], haystack_dates=["2023/05/20 (Sat) 02:21"])),
    ],
)
def test_a_conversation_in_which_nothing_is_said_is_named(source: str, row: Row, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=rf"{source}\.json: record 2: .* in which something is said"):
        prepared(tmp_path, source, json.dumps([RECORDS[source], row]))


def test_gaps_and_sessions_that_are_null_are_no_sessions(tmp_path: Path) -> None:
    row = locomo()
    row["conversation"] |= {"session_3": None, "session_4_date_time": "1:00 pm on 1 June, 2023"}
    assert prepared(tmp_path, "locomo", json.dumps([row])) == prepared(tmp_path, "locomo", json.dumps([locomo()]))


@pytest.mark.parametrize("source", [*RECORDS])
def test_distractors_of_a_single_record_are_refused_with_what_can_be_done(source: str, tmp_path: Path) -> None:
    file = write(tmp_path / "one.jsonl", [RECORDS[source]])
    with pytest.raises(UsageError) as caught:
        prepare(source, source=str(file), out=tmp_path / "out", distractors=3)
    assert str(caught.value) == (
        f"--distractors 3: they are taken from other records, and {source} has one alone: give it more, or a higher "
        "--limit; or have a model write them, with --distractors-by RECIPE"
    )


def test_what_a_source_cannot_use_is_named_as_it_was_typed(tmp_path: Path) -> None:
    file = write(tmp_path / "one.jsonl", [MIXED])
    with pytest.raises(UsageError, match="memagent: docs chooses a file of the hub, and --source is another one"):
        prepare("memagent", source=str(file), out=tmp_path / "out", options={"docs": 50})
    with pytest.raises(UsageError, match="stream is generated: leave out --source"):
        prepare("stream", source=str(file), out=tmp_path / "out")
    with pytest.raises(UsageError, match="stream is generated, and its train shares no question: leave out --valid"):
        prepare("stream", validation=str(file), split="train", out=tmp_path / "out")
    with pytest.raises(UsageError, match=r"records: option 'questions': Input should be 'all' or a valid integer$"):
        prepare("records", source=str(write(tmp_path / "r.jsonl", [OWN])), out=tmp_path, options={"questions": "mix"})
