"""Task files of MemAgent and AtomMem are played as they are: their contexts come apart into just their documents."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from raw_records import Row, write

from atommem_cli.core.chunking import render
from atommem_cli.core.errors import SourceError, UsageError
from atommem_cli.core.types import Document, Question, Task
from atommem_cli.data.preparation import prepare, read_tasks
from atommem_cli.data.sources import splits
from atommem_cli.tasks import _published
from atommem_cli.tasks.memagent import documents

PAGES = [f"Page {n}\nText {n}." for n in range(12)]


def context(pages: list[str]) -> str:
    """As their scripts write it."""
    return "\n\n".join(f"Document {at}:\n{page}" for at, page in enumerate(pages, start=1))


def evaluation(number: int, **changes: Any) -> Row:
    """A record of `eval_N.json`."""
    row = {"context": context(PAGES), "input": f"What is {number}?", "answers": [str(number)], "index": number}
    return row | {"num_docs": 12} | changes


def trained(asked: Any, truth: Any, **changes: Any) -> Row:
    """A row that verl trains on."""
    return {
        "data_source": "hotpotqa",
        "prompt": [{"role": "user", "content": asked}],
        "context": context(PAGES),
        "ability": "memory",
        "reward_model": {"style": "rule", "ground_truth": truth},
        "extra_info": {"index": 0, "question": asked, "num_docs": 12},
    } | changes


def made(source: Path, out: Path, split: str = "validation", **options: Any) -> list[Task]:
    prepare("memagent", source=str(source), out=out, split=split, options=options)
    return list(read_tasks(out / split))


@pytest.mark.parametrize("ending", ["json", "jsonl"])
def test_an_evaluation_file_keeps_its_documents_their_order_and_its_questions(ending: str, tmp_path: Path) -> None:
    path = write(tmp_path / f"eval_12.{ending}", [evaluation(0), evaluation(1, answers=["one", "1"])])
    first, second = made(path, tmp_path / "out")
    assert first.documents == tuple(Document(f"Page {n}", f"Text {n}.") for n in range(12))
    assert render(first.documents)[0] == context(PAGES)
    assert (first.id, first.questions) == ("memagent-validation-00000", (Question("0", "What is 0?", ("0",)),))
    assert second.questions == (Question("1", "What is 1?", ("one", "1")),)


def test_training_files_hold_one_question_or_several(tmp_path: Path) -> None:
    write(tmp_path / "hotpotqa_train_32k.parquet", [trained("What is 7?", ["7"])])
    write(tmp_path / "hotpotqa_dev.parquet", [trained("What is 8?", ["8"]), trained("What is  7?", ["7"])])
    several = write(tmp_path / "m" / "multiquery_dev.parquet", [trained(["A?", "B?"], [["a"], ["b", "bee"]])])
    assert splits("memagent", str(tmp_path)) == ["train", "validation"]
    assert [q.text for task in made(tmp_path, tmp_path / "out") for q in task.questions] == [
        "What is 8?",
        "What is  7?",
    ]
    (task,) = made(several, tmp_path / "several")
    assert task.questions == (Question("0-0", "A?", ("a",)), Question("0-1", "B?", ("b", "bee")))
    assert len(task.documents) == 12
    with pytest.raises(UsageError, match=r"no usable question.* 1 asked by validation"):
        made(tmp_path, tmp_path / "out", "train")


@pytest.mark.parametrize(
    "pages",
    [
        ["Only\nText."],
        ["A\nSee this.\n\nDocument 7:\nnot one", "B\nText.\n\nA second paragraph."],
        ["A\nDocument 2:\nin a line of its own", "Document 3:\nText", "C\n"],
        ["A title alone", "B\n\n", f"C\n{'x' * 10_000}"],
    ],
)
def test_contexts_come_apart_as_they_were_put_together(pages: list[str]) -> None:
    found = documents(context(pages))
    assert [f"{d.title}\n{d.text}" for d in found] == [page if "\n" in page else f"{page}\n" for page in pages]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (evaluation(0, context="A needle in a haystack."), "the field context does not begin with 'Document 1:'"),
        (evaluation(0, answers="x"), 'the field answers is "x" and not a list'),
        (trained(["A?", "B?"], [["a"]]), "there are 2 questions, and answers to 1 (reward_model.ground_truth)"),
        (trained("A?", ["a"], prompt=[]), "the field prompt[].content is null and not a list"),
        ({"context": "c", "question": "q"}, "the field input is missing; the records should have context, input and"),
    ],
)
def test_what_is_wrong_with_a_record_is_said(row: Row, said: str, tmp_path: Path) -> None:
    path = tmp_path / "eval_50.json"
    path.write_text(json.dumps([row]))
    with pytest.raises(SourceError, match=re.escape(said)) as error:
        made(path, tmp_path / "out")
    assert str(error.value).startswith(f"{path}: record 1: ")


def test_without_a_source_the_file_of_so_many_documents_is_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hub's client is the only part that is another's: it is told what to fetch, and what comes back is read."""
    asked = []
    here = {
        "eval_50.json": write(tmp_path / "a" / "eval_50.json", [evaluation(0)]),
        "eval_200.json": write(tmp_path / "b" / "eval_200.json", [evaluation(1)]),
        "hotpotqa_train_32k.parquet": write(
            tmp_path / "c" / "t.parquet", [trained("T?", ["t"]), trained("What is 1?", ["1"])]
        ),
    }

    def fetch(repository: str, name: str) -> tuple[Path, str]:
        asked.append((repository, name))
        return here[name], f"hub/{name}"

    monkeypatch.setattr(_published, "fetch", fetch)
    manifest = prepare("memagent", out=tmp_path / "out", options={"docs": 50})
    assert (manifest.origin, manifest.inputs) == (("hub/eval_50.json",), {})
    assert next(iter(read_tasks(tmp_path / "out" / "validation"))).questions[0].text == "What is 0?"
    train = prepare("memagent", out=tmp_path / "train", split="train")
    assert (train.questions_used, train.questions_skipped) == (1, {"in_validation": 1})
    assert asked == [
        ("BytedTsinghua-SIA/hotpotqa", name) for name in ("eval_50.json", "hotpotqa_train_32k.parquet", "eval_200.json")
    ]
