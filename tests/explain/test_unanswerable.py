"""Questions that nothing answers: what `why` says of an answer that was given all the same."""

from __future__ import annotations

from dataclasses import replace

import pytest

from atommem_cli.core.chunking import WordTokenizer, chunk_documents
from atommem_cli.core.types import Document, Question, Task
from atommem_cli.explain import cause_counts, miss_causes
from atommem_cli.explain.causes import Cause
from atommem_cli.runs import summary


@pytest.mark.parametrize(
    ("text", "score", "cause"),
    [
        ("unknown", 1.0, None),
        ("Lisbon", 0.0, Cause.MADE_UP),
        ("Ada", 0.0, Cause.MADE_UP),
        ("There is no information available on that", 0.0, Cause.FORMAT),
        ("", 0.0, Cause.FORMAT),
    ],
)
def test_an_answer_that_nothing_tells_is_made_up(text: str, score: float, cause: Cause | None) -> None:
    said = ("unknown", "No information available")
    question = Question("q", "Where does Ada live?", said, kind="knowledge-update", unanswerable=True)
    task = Task("t", "own", (Document("Letter", "Ada met Bo."),), (question,))
    chunks, _ = chunk_documents(task.documents, WordTokenizer(), size=9, overlap=0)
    answers = [{"text": text, "tagged": True}]
    line = {"episode": "t#0", "stop": "answered", "answers": answers, "scores": {"em": [score]}}
    asked = {"step": 1, "chunk": None, "question": 0, "shown": [], "finish": "stop", "ops": []}

    (told,) = miss_causes.explain(task, chunks, line, [asked], "em")
    assert (told.missed, told.cause, told.facts) == (cause is not None, cause, ())

    tallies = cause_counts.Tallies()
    tallies.add(task, [told])
    counted = tallies.by_kind()
    assert [*counted] == ["all", "abstention", "knowledge-update"]
    shown = cause_counts.table(counted)
    assert "abstention: what nothing tells" in shown.title
    assert ("made up" in shown.headers) == (cause is Cause.MADE_UP)


def test_a_type_that_says_it_is_not_counted_twice() -> None:
    question = Question("q", "?", ("unknown",), kind="adversarial", unanswerable=True)
    assert summary.labels(question) == ["adversarial"]
    assert summary.labels(replace(question, kind="multi-session")) == ["multi-session", "abstention"]
    assert summary.labels(replace(question, kind="multi-session", unanswerable=False)) == ["multi-session"]
