"""Long-context tasks: gold is never lost, filler is clean, positions are uniform, bytes do not depend on workers."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from raw_records import SHARED, hotpot, musique, real_data, write
from scipy import stats

from atommem_cli.core.errors import UsageError
from atommem_cli.core.types import Question, Task
from atommem_cli.data.preparation import prepare, read_tasks


def make(folder: Path, name: str, rows: Sequence[dict[str, object]], **settings_: object) -> list[Task]:
    write(folder / "validation.jsonl", rows)
    out = Path(tempfile.mkdtemp(dir=folder))
    options = {key: settings_.pop(key) for key in ("docs", "questions") if key in settings_}
    prepare(name, source=str(folder), out=out, options=options, **settings_)  # type: ignore[arg-type]
    return list(read_tasks(out / "validation"))


def titles(task: Task) -> set[str]:
    return {document.title for document in task.documents}


# --- gold and the size of a task -------------------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(
    sizes=st.lists(st.integers(2, 6), min_size=4, max_size=9),
    docs=st.integers(1, 8),
    questions=st.one_of(st.just("mix"), st.integers(1, 4)),
    seed=st.integers(0, 1000),
)
def test_gold_is_never_lost_and_every_question_is_asked_once(
    sizes: list[int], docs: int, questions: int | str, seed: int
) -> None:
    folder = Path(tempfile.mkdtemp())
    try:
        rows = [hotpot(number, size) for number, size in enumerate(sizes)]
        made = make(folder, "hotpotqa", rows, docs=docs, questions=questions, seed=seed)
    finally:
        shutil.rmtree(folder)
    assert [q.id for task in made for q in task.questions] == [row["id"] for row in rows]
    for task in made:
        assert len(task.documents) == max(docs, 2)
        assert len(set(task.documents)) == len(titles(task)) == len(task.documents)
        for question in task.questions:
            assert len(question.supporting) == 2
            for support in question.supporting:
                assert support.text in task.documents[support.document].text
        if len(task.questions) > 1:
            number = {question.id: int(question.id[1:]) for question in task.questions}
            assert all(f"Page {n}-{at}" in titles(task) for n in number.values() for at in range(sizes[n]))


def test_questions_whose_paragraphs_do_not_fit_together_go_into_the_next_task(tmp_path: Path) -> None:
    made = make(tmp_path, "hotpotqa", [hotpot(n, 4) for n in range(7)], docs=9, questions=5)
    assert [len(task.questions) for task in made] == [2, 2, 2, 1]


def test_one_question_with_too_many_paragraphs_loses_others_of_its_own_but_no_gold(tmp_path: Path) -> None:
    made = make(tmp_path, "musique", [musique(n, 20) for n in range(3)], docs=6, questions=1)
    for number, task in enumerate(made):
        assert {f"Page {number}-0", f"Page {number}-1"} <= titles(task)
        assert all(title.startswith(f"Page {number}-") for title in titles(task))
        assert len(task.documents) == 6


def test_filler_shares_no_title_with_a_question_s_own_paragraphs(tmp_path: Path) -> None:
    rows = [musique(n, 4) for n in range(8)]
    for row in rows:
        row["paragraphs"][2]["title"] = "Same"  # type: ignore[index]
    made = make(tmp_path, "musique", rows, docs=20, questions=1)
    for task in made:
        assert Counter(document.title for document in task.documents)["Same"] == 1


def test_too_small_a_pool_names_the_largest_docs_and_that_one_works(tmp_path: Path) -> None:
    rows = [musique(n, 4) for n in range(5)]
    with pytest.raises(UsageError, match=r"has 20 different documents.*docs can be 20 at most"):
        make(tmp_path, "musique", rows, docs=21, questions=1)
    assert len(make(tmp_path, "musique", rows, docs=20, questions=1)[0].documents) == 20
    for row in rows:
        row["paragraphs"][0]["title"] = "Same"  # type: ignore[index]
    with pytest.raises(UsageError) as caught:
        make(tmp_path, "musique", rows, docs=20, questions=1)
    most = int(re.findall(r"\d+", str(caught.value))[-1])
    assert most == 16
    assert {len(task.documents) for task in make(tmp_path, "musique", rows, docs=most, questions=1)} == {16}


# --- draws ------------------------------------------------------------------------------------------


def test_the_mix_of_questions_per_task_is_the_paper_s(tmp_path: Path) -> None:
    made = make(tmp_path, "hotpotqa", [hotpot(n, 2) for n in range(2500)], docs=20)
    counts = Counter(len(task.questions) for task in made[:-1])
    drawn = sum(counts.values())
    expected = [drawn / 2] + [drawn / 18] * 9
    assert stats.chisquare([counts[n] for n in range(1, 11)], expected).pvalue > 0.001


def test_a_task_does_not_depend_on_the_limit_and_changes_with_the_seed(tmp_path: Path) -> None:
    rows = [hotpot(n) for n in range(40)]
    all_of_them = make(tmp_path, "hotpotqa", rows, docs=50)
    assert make(tmp_path, "hotpotqa", rows, docs=50, limit=3) == all_of_them[:3]
    other = make(tmp_path, "hotpotqa", rows, docs=50, seed=7)
    assert other[0].documents != all_of_them[0].documents


def test_filler_does_not_depend_on_the_order_of_the_records_it_comes_from(tmp_path: Path) -> None:
    rows = [hotpot(n) for n in range(30)]
    forward = make(tmp_path / "a", "hotpotqa", rows, docs=20, questions=1)
    backward = make(tmp_path / "b", "hotpotqa", [rows[0], *rows[:0:-1]], docs=20, questions=1)
    assert forward[0] == backward[0]


class KeepsEven:
    """Keeps questions with an even number, and remembers which it was asked about."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def __call__(self, questions: Sequence[Question]) -> list[bool]:
        self.asked += [question.id for question in questions]
        return [int(question.id[1:]) % 2 == 0 for question in questions]

    def describe(self) -> dict[str, str]:
        return {"filter": "even"}


def test_a_filter_chooses_the_questions_leaves_the_pool_alone_and_is_asked_no_more_than_needed(tmp_path: Path) -> None:
    rows = [hotpot(n) for n in range(200)]
    keep = KeepsEven()
    write(tmp_path / "validation.jsonl", rows)
    manifest = prepare(
        "hotpotqa",
        source=str(tmp_path),
        out=tmp_path / "out",
        options={"docs": 790, "questions": 1},
        limit=40,
        keep=keep,
    )
    made = list(read_tasks(tmp_path / "out/validation"))
    assert [task.questions[0].id for task in made] == [f"h{n}" for n in range(0, 80, 2)]
    assert manifest.pool == 800
    assert keep.asked == [f"h{n}" for n in range(128)]
    assert manifest.questions_skipped == {"filtered": 64}
    assert manifest.options["keep"] == {"filter": "even"}


def test_a_filter_that_keeps_nothing_is_told(tmp_path: Path) -> None:
    class KeepsNothing(KeepsEven):
        def __call__(self, questions: Sequence[Question]) -> list[bool]:
            return [False] * len(questions)

    write(tmp_path / "validation.jsonl", [hotpot(1)])
    with pytest.raises(UsageError, match="no usable question"):
        prepare("hotpotqa", source=str(tmp_path), out=tmp_path / "out", options={"docs": 4}, keep=KeepsNothing())


# --- real records -----------------------------------------------------------------------------------


@real_data
@pytest.mark.parametrize(
    ("name", "questions", "lost"), [("hotpotqa", 906, 0), ("2wikimultihopqa", 395, 0), ("musique", 167, 0)]
)
def test_real_records_are_all_used_and_gold_lies_anywhere(name: str, questions: int, lost: int, tmp_path: Path) -> None:
    manifest = prepare(name, source=str(SHARED / name), out=tmp_path, options={"docs": 60, "questions": 1})
    assert (manifest.questions_used, manifest.supporting_lost) == (questions, lost)
    assert manifest.documents.min == manifest.documents.max == 60
    positions: list[float] = []
    for task in read_tasks(tmp_path / "validation"):
        assert len(set(task.documents)) == 60
        supports = task.questions[0].supporting
        assert supports
        assert all(support.text in task.documents[support.document].text for support in supports)
        positions += {support.document for support in supports}
    counts = Counter(int(position // 6) for position in positions)
    assert stats.chisquare([counts[tenth] for tenth in range(10)]).pvalue > 0.001


@real_data
def test_real_records_point_beyond_their_paragraphs_now_and_then(tmp_path: Path) -> None:
    manifest = prepare(
        "2wikimultihopqa", split="train", source=str(SHARED / "2wikimultihopqa"), out=tmp_path, options={"docs": 20}
    )
    assert manifest.supporting_lost == 6
    assert manifest.questions_used == 500
