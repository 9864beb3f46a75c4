"""MemoryAgentBench's conflict resolution: each numbered fact is a document, and questions say which of two holds."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from raw_records import Row, write

from atommem_cli.core.errors import SourceError, UsageError
from atommem_cli.core.types import Document, Question, Task
from atommem_cli.data.preparation import prepare, read_tasks
from atommem_cli.tasks.memory_agent_bench import RULE

NAME = "factconsolidation_sh_6k"
FACTS = ["0. The capital of Velt is Orm. ", "1. Ada lives in Velt.", "2. The capital of Velt is Tamm."]


def record(source: str = NAME, **changes: Any) -> Row:
    """A row in the hub's schema."""
    return {
        "context": "Here is a list of facts:\n" + "\n".join(FACTS) + "\n",
        "questions": ["What is the capital of Velt?", "Where does Ada live?"],
        "answers": [["Tamm", "Tamm City"], ["Velt"]],
        "metadata": {"source": source, "qa_pair_ids": [f"{source}_no{at}" for at in range(2)], "demo": None},
    } | changes


def made(source: Path, out: Path, **options: Any) -> list[Task]:
    prepare("memory_agent_bench", source=str(source), out=out, options=options)
    return list(read_tasks(out / "validation"))


def test_facts_are_documents_in_their_order_with_their_numbers(tmp_path: Path) -> None:
    write(tmp_path / "data" / "Conflict_Resolution-00000-of-00001.parquet", [record()])
    write(tmp_path / "data" / "Accurate_Retrieval-00000-of-00001.parquet", [record("ruler_qa1_197K")])
    (task,) = made(tmp_path, tmp_path / "out")
    assert task.documents == tuple(Document("", fact.strip()) for fact in FACTS)
    assert task.questions == (
        Question(
            "factconsolidation_sh_6k_no0",
            f"What is the capital of Velt? {RULE}",
            ("Tamm", "Tamm City"),
            kind="sh 6k",
            stale=("Orm",),
        ),
        Question("factconsolidation_sh_6k_no1", f"Where does Ada live? {RULE}", ("Velt",), kind="sh 6k"),
    )
    (bare,) = made(tmp_path, tmp_path / "bare", rule=False)
    assert [q.text for q in bare.questions] == ["What is the capital of Velt?", "Where does Ada live?"]


@pytest.mark.parametrize(
    ("subsets", "left"),
    [("sh", ["sh 6k", "sh 32k"]), (["mh", "262k"], ["mh 262k"]), (["6k", "32k"], ["sh 6k", "sh 32k"]), ([], None)],
)
def test_kinds_and_lengths_can_be_chosen(subsets: Any, left: list[str] | None, tmp_path: Path) -> None:
    sources = ["sh_6k", "sh_32k", "mh_64k", "mh_262k"]
    path = write(tmp_path / "c.jsonl", [record(f"factconsolidation_{name}") for name in sources])
    tasks = made(path, tmp_path / "out", subsets=subsets)
    assert [task.questions[0].kind for task in tasks] == (left or [name.replace("_", " ") for name in sources])
    manifest = prepare("memory_agent_bench", source=str(path), out=tmp_path / "out", options={"subsets": subsets})
    skipped = 2 * (4 - len(tasks))
    assert manifest.questions_skipped == ({"other_subset": skipped} if skipped else {})


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (
            record("ruler_qa1_197K"),
            "the field metadata.source is 'ruler_qa1_197K': of MemoryAgentBench the split Conflict",
        ),
        (record(context="One fact, and no number."), "the field context has no line with a numbered fact"),
        (record(answers=[["Tamm"]]), "there are 2 questions, and answers to 1"),
        (record(metadata={}), "the field metadata.source is missing"),
    ],
)
def test_what_is_wrong_with_a_record_is_said(row: Row, said: str, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=re.escape(said)):
        made(write(tmp_path / "c.jsonl", [row]), tmp_path / "out")


def test_it_has_no_training_split_and_other_files_are_not_taken(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="it is for evaluation and has no questions to train on"):
        prepare("memory_agent_bench", out=tmp_path / "out", split="train")
    write(tmp_path / "raw" / "Accurate_Retrieval-00000-of-00001.parquet", [record()])
    with pytest.raises(SourceError, match="no file of the split Conflict_Resolution"):
        made(tmp_path / "raw", tmp_path / "out")
