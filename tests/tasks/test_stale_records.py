"""Answers that were true once, where the data say which: MemoryAgentBench's older facts, and a field of one's own."""

from __future__ import annotations

from pathlib import Path

import pytest
from raw_records import Row, write

from atommem_cli.config import recipe as recipes
from atommem_cli.core.errors import SourceError, UsageError
from atommem_cli.core.types import Answer, Question
from atommem_cli.data.preparation import prepare, read_tasks
from atommem_cli.running import evaluation
from atommem_cli.scoring.metrics import SCORERS

FACTS = (
    "0. The capital of Velt is Orm.",
    "1. Ada Quill is a citizen of Velt.",
    "2. Ada Quill plays the position of goalkeeper.",
    "3. Bo Marn is a citizen of Dorn.",
    "4. The capital of Velt is Siv.",
    "5. Ada Quill is a citizen of Dorn.",
    "6. The capital of Velt is Tamm.",
    "7. Ada Quill works in Lund.",
    "8. Ada Quill was born in Lund.",
    "9. Ada Quill was born in Rell.",
    "10. The capital of Dorn is Tamm.",
    "11. Cy Orr was born in Lund.",
    "12. Ada Quill was born in Lund.",
)


def asked(*pairs: tuple[str, list[str]], kind: str = "sh") -> Row:
    return {
        "context": "\n".join(FACTS),
        "questions": [question for question, _ in pairs],
        "answers": [answers for _, answers in pairs],
        "metadata": {"source": f"factconsolidation_{kind}_6k"},
    }


def questions(name: str, path: Path, out: Path) -> list[Question]:
    prepare(name, source=str(path), out=out)
    return [question for task in read_tasks(out / "validation") for question in task.questions]


@pytest.mark.parametrize(
    ("question", "accepted", "stale"),
    [
        ("What is the capital of Velt?", ["Tamm", "Tamm City"], ("Orm", "Siv")),
        ("What is the capital of Velt?", ["tamm", "orm"], ("Siv",)),
        ("What is the capital of Dorn?", ["Tamm"], ()),
        ("What is the country of citizenship of Ada Quill?", ["Dorn"], ("Velt",)),
        ("What is the country of citizenship of Bo Marn?", ["Dorn"], ()),
        ("What position does Ada Quill play?", ["goalkeeper"], ()),
        (
            "Which city is Ada Quill from?",
            ["Lund"],
            (),
        ),  # works or was born there: it is not told
        ("Where is it?", ["Tamm"], ()),
        ("What is the capital of Velt?", ["Nowhere"], ()),
    ],
)
def test_older_facts_of_the_same_subject_are_what_an_answer_once_was(
    question: str, accepted: list[str], stale: tuple[str, ...], tmp_path: Path
) -> None:
    path = write(tmp_path / "c.jsonl", [asked((question, accepted))])
    assert [one.stale for one in questions("memory_agent_bench", path, tmp_path / "out")] == [stale]


def test_chains_say_nothing_of_what_is_stale(tmp_path: Path) -> None:
    path = write(tmp_path / "c.jsonl", [asked(("What is the capital of Velt?", ["Tamm"]), kind="mh")])
    assert [one.stale for one in questions("memory_agent_bench", path, tmp_path / "out")] == [()]


def own(**fields: object) -> Row:
    return {
        "documents": [{"text": "25 days of leave."}, {"text": "27 days of leave."}],
        "questions": [{"question": "How many days?", "answer": "27"} | fields],
    }


def test_records_of_ones_own_say_it_in_a_list_or_in_a_cell(tmp_path: Path) -> None:
    rows = [own(stale=["25", " 25 days ", ""]), own(stale="24"), own(), own(answerable=False, stale=[25])]
    path = write(tmp_path / "r.jsonl", rows)
    found = questions("records", path, tmp_path / "out")
    assert [one.stale for one in found] == [("25", "25 days"), ("24",), (), ("25",)]
    assert [one.unanswerable for one in found] == [False, False, False, True]
    folder = tmp_path / "wiki"
    folder.mkdir()
    (folder / "documents.csv").write_text("text\n27 days of leave.\n")
    (folder / "questions.csv").write_text("question,answer,stale\nHow many days?,27,24|25\nWho?,Ada,\n")
    assert [one.stale for one in questions("records", folder, tmp_path / "table")] == [("24", "25"), ()]


def test_an_answer_is_right_or_was_once(tmp_path: Path) -> None:
    path = write(tmp_path / "r.jsonl", [own(stale=["x", "Twenty"], aliases=["twenty"])])
    with pytest.raises(SourceError, match=r"line 1: question 1: the field stale has 'Twenty', which is accepted"):
        questions("records", path, tmp_path / "out")


def test_the_scorer_stale_works_on_them(tmp_path: Path) -> None:
    (question,) = questions("records", write(tmp_path / "r.jsonl", [own(stale=["25"])]), tmp_path / "data")
    scores = [SCORERS["stale"](Answer(text), question) for text in ("27", "it is 25", "27, not 25", "no idea")]
    assert scores == [1.0, -1.0, 0.0, 0.0]
    changes = ["policy={name: scripted, script: oracle}", "store={name: exact}", "eval.scorers=[em, stale]"]
    recipe = recipes.load("tiny", [*changes, f"task.folder={tmp_path / 'data'}"])
    assert evaluation.evaluate(recipe, tmp_path / "run")["scores"]["stale"]["mean"] == 1.0
    questions("records", write(tmp_path / "plain.jsonl", [own()]), tmp_path / "plain")
    with pytest.raises(UsageError, match=r"no question of .* says which are: .* records with stale"):
        evaluation.evaluate(recipe.changed([f"task.folder={tmp_path / 'plain'}"]), tmp_path / "other")
