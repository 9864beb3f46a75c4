"""LoCoMo and LongMemEval: dated sessions as documents, evidence as gold facts, questions of every type."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from raw_records import write
from sessions import Row, locomo, longmemeval

from atommem_cli.contracts import tasks as contract
from atommem_cli.core.errors import BackendError, SourceError, UsageError
from atommem_cli.core.types import Question, Task
from atommem_cli.data.files import Manifest, read_tasks
from atommem_cli.data.preparation import prepare
from atommem_cli.tasks import locomo as locomo_source
from atommem_cli.tasks import longmemeval as longmemeval_source

NOT_MENTIONED = "Not mentioned in the conversation"


def prepared(
    tmp_path: Path, source: str, rows: list[Row], split: str = "validation", **options: Any
) -> tuple[Manifest, list[Task]]:
    file = tmp_path / f"{source}.json"
    file.write_text(json.dumps(rows), "utf-8")
    manifest = prepare(source, source=str(file), out=tmp_path / "out", split=split, options=options, force=True)
    return manifest, list(read_tasks(tmp_path / "out" / split))


def by_kind(task: Task) -> dict[str, Question]:
    return {question.kind: question for question in task.questions}


# --- LoCoMo ------------------------------------------------------------------------------------------------


def test_sessions_are_documents_by_their_numbers_with_date_speakers_and_captions(tmp_path: Path) -> None:
    manifest, (task,) = prepared(tmp_path, "locomo", [locomo()])
    assert [document.title for document in task.documents] == ["", ""]
    assert [document.text for document in task.documents] == [
        "Date: 1:56 pm on 8 May, 2023\n"
        'Ada said, "I made this yesterday!" and shared a photo of a red kite.\n'
        'Bo said, "I bake and I swim."',
        'Date: 9:00 am on 2 June, 2023\nAda said, "I gave my kite to Cy."',
    ]
    assert (manifest.licence, manifest.questions_read, manifest.supporting_lost) == ("CC BY-NC 4.0", 5, 1)
    assert {*manifest.kinds} == {"multi-hop", "temporal", "open-domain", "single-hop", "adversarial"}


def test_evidence_is_the_turn_that_it_names_however_it_is_written(tmp_path: Path) -> None:
    _, (task,) = prepared(tmp_path, "locomo", [locomo()])
    told = {kind: [(one.document, one.text) for one in q.supporting] for kind, q in by_kind(task).items()}
    made = (0, 'Ada said, "I made this yesterday!" and shared a photo of a red kite.')
    gave = (1, 'Ada said, "I gave my kite to Cy."')
    assert told == {
        "multi-hop": [(0, 'Bo said, "I bake and I swim."')],
        "temporal": [made],
        "open-domain": [made, gave],
        "single-hop": [gave],
        "adversarial": [],
    }
    assert by_kind(task)["single-hop"].answers == ("1",)
    assert by_kind(task)["open-domain"].answers == ("Yes", "Yes; she makes kites")


def test_adversarial_questions_are_a_choice_whose_order_is_drawn_and_saying_so_answers_them(tmp_path: Path) -> None:
    _, tasks = prepared(tmp_path, "locomo", [locomo(number) for number in range(12)])
    asked = [by_kind(task)["adversarial"] for task in tasks]
    assert all(one.unanswerable and NOT_MENTIONED in one.answers and "unknown" in one.answers for one in asked)
    first, last = f'"a kite", or "{NOT_MENTIONED}"?', f'"{NOT_MENTIONED}", or "a kite"?'
    assert {one.text.removeprefix("What did Bo lose? Which of the two is right: ") for one in asked} == {first, last}
    assert by_kind(tasks[0])["temporal"].text.startswith("When did Ada make a kite? Answer with an approximate date")
    assert by_kind(tasks[0])["multi-hop"].text == "What does Bo do?"
    assert not by_kind(tasks[0])["multi-hop"].unanswerable


def test_without_hints_questions_are_asked_as_they_stand(tmp_path: Path) -> None:
    _, (task,) = prepared(tmp_path, "locomo", [locomo()], hints=False)
    assert [question.text for question in task.questions] == [one["question"] for one in locomo()["qa"]]


def test_a_document_is_a_turn_with_its_date_where_that_is_asked_for(tmp_path: Path) -> None:
    _, (task,) = prepared(tmp_path, "locomo", [locomo()], documents="turn")
    assert [document.text.split("\n")[0] for document in task.documents] == [
        "Date: 1:56 pm on 8 May, 2023",
        "Date: 1:56 pm on 8 May, 2023",
        "Date: 9:00 am on 2 June, 2023",
    ]
    assert [one.document for one in by_kind(task)["open-domain"].supporting] == [0, 2]


@pytest.mark.parametrize("kinds", ["adversarial", ["adversarial", "temporal"]])
def test_kinds_are_chosen_by_name(kinds: str | list[str], tmp_path: Path) -> None:
    wanted = {kinds} if isinstance(kinds, str) else {*kinds}
    manifest, (task,) = prepared(tmp_path, "locomo", [locomo()], kinds=kinds)
    assert {question.kind for question in task.questions} == wanted
    assert manifest.questions_skipped == {"other_kind": 5 - len(wanted)}
    with pytest.raises(UsageError, match=r"option 'kinds'.*'single-hop'"):
        prepared(tmp_path, "locomo", [locomo()], kinds="hard")


def test_ids_of_turns_may_be_missing_and_one_conversation_may_be_the_whole_file(tmp_path: Path) -> None:
    row = locomo()
    for said in row["conversation"]["session_2"]:
        del said["dia_id"]
    file = tmp_path / "one.json"
    file.write_text(json.dumps(row, indent=1), "utf-8")
    prepare("locomo", source=str(file), out=tmp_path / "out")
    (task,) = read_tasks(tmp_path / "out" / "validation")
    assert [one.document for one in by_kind(task)["open-domain"].supporting] == [0, 1]


# --- LongMemEval -------------------------------------------------------------------------------------------


def test_sessions_are_read_by_date_and_the_question_says_when_it_is_asked(tmp_path: Path) -> None:
    manifest, (task,) = prepared(tmp_path, "longmemeval", [longmemeval()])
    assert [document.text for document in task.documents] == [
        "Date: 2023/05/20 (Sat) 02:21\nuser: My bike is in the hall.\nassistant: Noted.",
        "Date: 2023/05/21 (Sun) 09:00\nuser: What is a fugue?\nassistant: A piece in parts.",
        "Date: 2023/05/25 (Thu) 18:10\nuser: My bike is in the shed now.",
    ]
    (question,) = task.questions
    assert question.text == "Where do I keep my bike, q1? (asked on 2023/05/30 (Tue) 23:40)"
    assert (question.answers, question.kind, question.unanswerable) == (("in the shed",), "knowledge-update", False)
    assert [(one.document, one.text) for one in question.supporting] == [(2, "user: My bike is in the shed now.")]
    assert (manifest.licence, manifest.supporting_lost, manifest.kinds) == ("MIT", 0, {"knowledge-update": 1})


def test_what_was_true_before_an_update_is_no_gold_fact_and_all_marked_turns_are_elsewhere(tmp_path: Path) -> None:
    rows = [longmemeval("a"), longmemeval("b", "multi-session")]
    update, several = prepared(tmp_path, "longmemeval", rows)[1]
    assert [one.text for one in update.questions[0].supporting] == ["user: My bike is in the shed now."]
    assert [(one.document, one.text) for one in several.questions[0].supporting] == [
        (0, "user: My bike is in the hall."),
        (2, "user: My bike is in the shed now."),
    ]


def test_abstention_questions_have_no_fact_and_their_answer_is_for_the_judge(tmp_path: Path) -> None:
    why = "You said where your bike is, and nothing of a boat."
    _, (task,) = prepared(tmp_path, "longmemeval", [longmemeval("q2_abs", answer=why)])
    (question,) = task.questions
    assert (question.unanswerable, question.explanation, question.supporting) == (True, why, ())
    assert "unknown" in question.answers
    assert why not in question.answers


def test_types_are_chosen_by_name_and_abstention_is_one_beside_them(tmp_path: Path) -> None:
    rows = [
        longmemeval("a"),
        longmemeval("b_abs"),
        longmemeval("c", "multi-session"),
        longmemeval("d_abs", "multi-session"),
    ]

    def chosen(*kinds: str) -> list[str]:
        return [task.questions[0].id for task in prepared(tmp_path, "longmemeval", rows, kinds=list(kinds))[1]]

    assert chosen("knowledge-update") == ["a", "b_abs"]
    assert chosen("abstention") == ["b_abs", "d_abs"]
    assert chosen("abstention", "multi-session") == ["b_abs", "c", "d_abs"]
    assert chosen() == ["a", "b_abs", "c", "d_abs"]


def test_an_evidence_session_without_a_marked_turn_is_counted_and_turns_can_be_documents(tmp_path: Path) -> None:
    row = longmemeval()
    del row["haystack_sessions"][1][0]["has_answer"]
    manifest, (task,) = prepared(tmp_path, "longmemeval", [row], documents="turn")
    assert manifest.supporting_lost == 1
    assert [one.document for one in task.questions[0].supporting] == [0]
    assert [document.text.split("\n")[1] for document in task.documents][:3] == [
        "user: My bike is in the hall.", "assistant: Noted.", "user: What is a fugue?",
    ]  # fmt: skip


def test_sessions_of_which_one_has_no_date_keep_their_order(tmp_path: Path) -> None:
    _, (task,) = prepared(tmp_path, "longmemeval", [longmemeval(haystack_dates=["2023-01-02", "", "2023/01/01"])])
    assert [document.text.split("\n")[0] for document in task.documents] == [
        "Date: 2023-01-02", "user: My bike is in the shed now.", "Date: 2023/01/01",
    ]  # fmt: skip
    with pytest.raises(SourceError, match="2 dates for 3 sessions"):
        prepared(tmp_path, "longmemeval", [longmemeval(haystack_dates=["2023/01/01", "2023/01/02"])])


def test_the_hubs_file_is_read_from_its_cache_without_a_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    with pytest.raises(BackendError, match=r"cannot load longmemeval_oracle\.json .*--source"):
        prepare("longmemeval", out=tmp_path / "out", options={"hub": "oracle"})
    there = tmp_path / "cache" / "datasets--xiaowu0162--longmemeval-cleaned"
    revision = "0" * 40
    (there / "refs").mkdir(parents=True)
    (there / "refs" / "main").write_text(revision)
    write(there / "snapshots" / revision / "longmemeval_oracle.json", [longmemeval("a"), longmemeval("b")])
    manifest = prepare("longmemeval", out=tmp_path / "out", options={"hub": "oracle"}, limit=1)
    assert manifest.origin == (f"hf://datasets/xiaowu0162/longmemeval-cleaned@{revision}/longmemeval_oracle.json",)
    assert (manifest.inputs, manifest.tasks) == ({}, 1)


# --- both --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("source", "row"), [("locomo", locomo()), ("longmemeval", longmemeval())])
def test_the_original_is_found_in_its_folder_and_named_with_its_digest(source: str, row: Row, tmp_path: Path) -> None:
    name = {"locomo": "locomo10.json", "longmemeval": "longmemeval_s"}[source]  # which the hub had without an ending
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "msc_personas_all.json").write_text("{}")
    (tmp_path / "raw" / name).write_text(json.dumps([row]))
    for given in (tmp_path / "raw", tmp_path / "raw" / name):
        manifest = prepare(source, source=str(given), out=tmp_path / "out")
        assert manifest.inputs == {name: hashlib.sha256((tmp_path / "raw" / name).read_bytes()).hexdigest()}
    other = {"locomo": "locomo10.jsonl", "longmemeval": "longmemeval_oracle.json"}[source]
    (tmp_path / "raw" / other).write_text(json.dumps([row]))
    with pytest.raises(SourceError, match=r"there are several .*give one of them"):
        prepare(source, source=str(tmp_path / "raw"), out=tmp_path / "out")


def test_sources_keep_their_contract(tmp_path: Path) -> None:
    file = write(tmp_path / "a.jsonl", [locomo(number) for number in range(4)])
    contract.check(locomo_source, source=str(file))
    file = write(tmp_path / "b.jsonl", [longmemeval(f"q{number}") for number in range(4)])
    contract.check(longmemeval_source, source=str(file))


def test_training_leaves_out_what_the_named_validation_asks(tmp_path: Path) -> None:
    held = write(tmp_path / "held.jsonl", [longmemeval("a")])
    file = write(tmp_path / "rest.jsonl", [longmemeval("a"), longmemeval("b")])
    manifest = prepare("longmemeval", source=str(file), validation=str(held), split="train", out=tmp_path / "out")
    assert (manifest.tasks, manifest.questions_skipped, [*manifest.checked]) == (
        1,
        {"in_validation": 1},
        ["held.jsonl"],
    )


WRONG: list[tuple[str, Row, str]] = [
    ("locomo", {"conversation": {}, "qa": 3}, "conversation, an object, and qa, a list"),
    ("locomo", locomo() | {"qa": [{"question": "x", "answer": "y", "category": 7}]}, r"category is 7 and not 1 to 5"),
    ("locomo", locomo() | {"qa": [{"question": "x", "category": 1}]}, r"qa\[0\]\.answer is missing"),
    ("locomo", locomo() | {"conversation": {"session_1": [{"text": "x"}]}}, r"session_1\[0\]\.speaker is missing"),
    ("locomo", locomo() | {"conversation": {"session_1": "x"}}, "conversation.session_1 is .* not a list"),
    ("locomo", longmemeval(), "LongMemEval's sessions .*atommem prepare longmemeval"),
    ("longmemeval", locomo(), "LoCoMo's conversations .*atommem prepare locomo"),
    (
        "longmemeval",
        longmemeval(haystack_sessions=[[{"role": "user"}]]),
        r"haystack_sessions\[\]\[\]\.content is missing",
    ),
]


@pytest.mark.parametrize(("source", "row", "said"), WRONG)
def test_what_is_wrong_with_a_record_is_one_sentence_with_its_place(
    source: str, row: Row, said: str, tmp_path: Path
) -> None:
    with pytest.raises(SourceError, match=rf"record 1: .*{said}") as caught:
        prepared(tmp_path, source, [row])
    assert "\n" not in str(caught.value)


def test_what_is_wrong_with_the_command_is_said_before_anything_is_made(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"locomo: .*download https://.*locomo10\.json"):
        prepare("locomo", out=tmp_path / "out")
    with pytest.raises(UsageError, match="longmemeval: validation alone is on the hub"):
        prepare("longmemeval", split="train", out=tmp_path / "out")
    with pytest.raises(UsageError, match="option 'hub' names a file of the hub"):
        prepared(tmp_path, "longmemeval", [longmemeval()], hub="m")
    with pytest.raises(UsageError, match="no usable question"):
        prepared(tmp_path, "longmemeval", [longmemeval()], kinds="abstention")
    assert not list((tmp_path / "out").rglob("manifest.json"))
