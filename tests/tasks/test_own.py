"""Documents with their questions become tasks: in their order, with their facts, and no more than are wanted."""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random

import pytest

from atommem_cli.core.errors import UsageError
from atommem_cli.core.types import Document, Question, Support, Task
from atommem_cli.data.files import Plan, Request
from atommem_cli.data.split_guard import digest
from atommem_cli.tasks import _own
from atommem_cli.tasks._own import Told


def told(number: int, documents: int = 3, questions: int = 2) -> Told:
    """Question i of a record is answered in its document i."""
    texts = [f"Note {number}-{at} says {number * 10 + at}." for at in range(documents)]
    asked = [
        Question(
            f"{number}-{at}", f"What says note {number}-{at}?", (str(number * 10 + at),), (Support(at, texts[at]),)
        )
        for at in range(questions)
    ]
    return Told(tuple(Document(f"Note {number}-{at}", text) for at, text in enumerate(texts)), tuple(asked))


def request(folder: Path, split: str = "validation", limit: int | None = None, **changes: object) -> Request:
    folder.mkdir(exist_ok=True)
    given = {"source": None, "seed": 42, "keep": None, "validation": None, "beside": None, "progress": lambda _: None}
    return Request(split=split, limit=limit, scratch=folder, **(given | changes))  # type: ignore[arg-type]


def made(plan: Plan) -> list[Task]:
    return [plan.make(job) for job in plan.jobs]


def planned(folder: Path, records: Sequence[Told], limit: int | None = None, **options: object) -> Plan:
    chosen = _own.Options(**options)  # type: ignore[arg-type]
    return _own.plan("mail", "ours", records, chosen, request(folder, limit=limit))


def test_documents_and_questions_stay_in_their_order_and_facts_in_their_documents(tmp_path: Path) -> None:
    first, second = made(planned(tmp_path, [told(1), told(2)]))
    assert (first.id, first.source) == ("mail-validation-00000", "mail")
    assert (first.documents, first.questions) == told(1)[:2]
    assert (second.documents, second.questions) == told(2)[:2]


def test_shuffled_documents_take_their_facts_along_and_depend_on_the_name_of_the_task(tmp_path: Path) -> None:
    tasks = made(planned(tmp_path / "a", [told(n, documents=8) for n in range(4)], shuffle=True))
    orders = set()
    for number, task in enumerate(tasks):
        assert sorted(task.documents, key=lambda d: d.title) == sorted(told(number, 8).documents, key=lambda d: d.title)
        for question in task.questions:
            (fact,) = question.supporting
            assert task.documents[fact.document].text == fact.text
            assert question.answers[0] in fact.text
        orders.add(tuple(document.title[-1] for document in task.documents))
    assert len(orders) == 4
    assert made(planned(tmp_path / "b", [told(n, documents=8) for n in range(2)], shuffle=True)) == tasks[:2]


def test_a_record_of_many_questions_becomes_several_tasks_of_the_same_documents(tmp_path: Path) -> None:
    tasks = made(planned(tmp_path, [told(1, questions=3), told(2)], questions=2))
    assert [[q.id for q in task.questions] for task in tasks] == [["1-0", "1-1"], ["1-2"], ["2-0", "2-1"]]
    assert tasks[0].documents == tasks[1].documents


def test_records_behind_the_limit_are_not_read(tmp_path: Path) -> None:
    read = []

    def records() -> Iterator[Told]:
        for number in range(9):
            read.append(number)
            yield told(number, questions=3)

    plan = _own.plan("mail", "ours", records(), _own.Options(questions=1), request(tmp_path, limit=4))
    assert [task.questions[0].id for task in made(plan)] == ["0-0", "0-1", "0-2", "1-0"]
    assert (read, plan.read) == ([0, 1], 6)


def test_what_cannot_be_asked_is_counted(tmp_path: Path) -> None:
    blank = Question("b", " ", ("x",))
    twice = told(1)
    plan = planned(tmp_path, [twice, twice, Told((Document("", "x"),), (blank,), ("unanswerable",), lost=2)])
    assert plan.skipped == {"duplicate_id": 2, "blank": 1, "unanswerable": 1}
    assert (plan.read, plan.lost_supporting, len(plan.jobs)) == (6, 2, 1)
    with pytest.raises(UsageError, match=r"mail-validation: there is no usable question.*1 without a text"):
        planned(tmp_path, [Told((Document("", "x"),), (blank,))])


class Even:
    def __init__(self) -> None:
        self.batches: list[int] = []

    def __call__(self, questions: Sequence[Question]) -> list[bool]:
        self.batches.append(len(questions))
        return [int(question.id.split("-")[1]) % 2 == 0 for question in questions]

    def describe(self) -> dict[str, str]:
        return {}


def test_a_filter_is_asked_in_batches_and_no_further_than_tasks_need(tmp_path: Path) -> None:
    keep = Even()
    records = [told(1, 100, 100), told(2), told(3)]
    plan = _own.plan("mail", "ours", records, _own.Options(), request(tmp_path, limit=2, keep=keep))
    first, second = made(plan)
    assert (len(first.questions), [q.id for q in second.questions]) == (50, ["2-0"])
    assert (keep.batches, plan.skipped) == ([64, 36, 2], {"filtered": 51})


def test_training_asks_no_question_of_validation(tmp_path: Path) -> None:
    file = tmp_path / "validation.jsonl"
    file.write_text("seen")
    seen = _own.unseen(request(tmp_path, "train"), [file], ["what says  NOTE 1-1?"])
    assert seen.digests == {digest("What says note 1-1?")}
    plan = _own.plan("mail", "ours", [told(1)], _own.Options(), request(tmp_path, "train"), guarded=seen)
    assert [q.id for q in made(plan)[0].questions] == ["1-0"]
    assert plan.skipped == {"in_validation": 1}
    assert list(plan.checked) == ["validation.jsonl"]
    assert _own.unseen(request(tmp_path), [file], iter([])) == (set(), {})


def test_a_plan_goes_to_other_processes_and_gives_documents_of_other_records(tmp_path: Path) -> None:
    plan = planned(tmp_path, [told(n) for n in range(3)])
    assert made(pickle.loads(pickle.dumps(plan))) == made(plan)
    assert plan.bank is not None
    others = list(plan.bank(plan.jobs[1], Random(1)))
    assert sorted(d.title for d in others) == [f"Note {n}-{at}" for n in (0, 2) for at in range(3)]
    assert planned(tmp_path, [told(1)]).bank is None


def test_a_date_and_a_speaker_are_words_of_the_text() -> None:
    assert _own.dated("Minutes", "2024-05-01", "x") == Document("Minutes (2024-05-01)", "x")
    assert _own.dated("", "2024-05-01", "x") == Document("", "Date: 2024-05-01\nx")
    assert [_own.dated("Minutes", "", "x"), _own.dated("", "", "x")] == [Document("Minutes", "x"), Document("", "x")]
    assert _own.conversation([("Ada", "Hello."), ("", "(pause)")]) == "Ada: Hello.\n(pause)"
