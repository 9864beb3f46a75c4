"""Answers that were true once: what `why` says of them, whatever broke first."""

from __future__ import annotations

import pytest

from atommem_cli.core.chunking import WordTokenizer, chunk_documents
from atommem_cli.core.types import Document, Event, Question, Support, Task
from atommem_cli.explain import cause_counts, miss_causes
from atommem_cli.explain.causes import Cause

TASK = Task(
    "t",
    "stream",
    (
        Document("", "mara home velt .", Event("mara", "home", "velt")),
        Document("", "mara now home dorn .", Event("mara", "home", "dorn")),
    ),
    (
        Question(
            "q", "mara home ?", ("dorn",), (Support(1, "mara now home dorn ."),), "1hop", "supersede",
            path=("mara", "home"), stale=("velt",),
        ),
    ),
)  # fmt: skip


@pytest.mark.parametrize(
    ("answer", "shown", "cause", "outdated"),
    [
        ("dorn", [[1, "mara home dorn"]], None, False),
        ("velt", [[2, "mara home velt"], [1, "mara home dorn"]], Cause.OUTDATED, True),
        ("velt", [[2, "mara home velt"]], Cause.NOT_RETRIEVED, True),
        ("quill", [[1, "mara home dorn"]], Cause.NOT_USED, False),
        ("velt or dorn", [[1, "mara home dorn"]], Cause.FORMAT, False),
    ],
)
def test_an_outdated_answer_is_a_cause_of_its_own_where_all_was_in_view_and_counted_everywhere(
    answer: str, shown: list[list[object]], cause: Cause | None, outdated: bool
) -> None:
    chunks, _ = chunk_documents(TASK.documents, WordTokenizer(), size=20, overlap=0)
    made = {"kind": "create", "text": "mara home dorn", "outcome": "ok", "entry": 1, "target": None}
    read = {"step": 0, "chunk": 0, "shown": [], "finish": "stop", "ops": [made]}
    asked = {"step": 1, "chunk": None, "question": 0, "shown": shown, "finish": "stop", "ops": []}
    scores = {"em": [float(answer == "dorn")]}
    line = {"episode": "t#0", "stop": "answered", "answers": [{"text": answer, "tagged": True}], "scores": scores}

    (told,) = miss_causes.explain(TASK, chunks, line, [read, asked], "em")
    assert (told.cause, told.outdated) == (cause, outdated)
    tallies = cause_counts.Tallies()
    tallies.add(TASK, [told])
    counted = tallies.by_kind()
    assert [*counted] == ["all", "1 hop", "supersede"]
    assert counted["supersede"].outdated == outdated
    assert counted["supersede"].contradicted == (cause is Cause.OUTDATED)
    table = cause_counts.table(counted)
    assert ("answered what is no more" in table.headers) == outdated
    assert ("stale value believed" in table.headers) == (cause is Cause.OUTDATED)
    if outdated:
        assert [row[-1] for row in table.rows] == ["1 (100 %)"] * 3
