"""MuSiQue (Trivedi et al. 2022): two- to four-hop questions with twenty paragraphs each."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from atommem_cli.core.types import Question
from atommem_cli.data.files import Plan, Request
from atommem_cli.tasks import _haystack, _records
from atommem_cli.tasks._haystack import Options
from atommem_cli.tasks._records import Layout, Record, answers

__all__ = ["LAYOUT", "Options", "build", "inputs"]


def _read(row: Mapping[str, Any]) -> Record | str:
    if row.get("answerable") is False:
        return "unanswerable"
    paragraphs = row["paragraphs"]
    if not paragraphs:
        return "without_context"
    gold = tuple(at for at, paragraph in enumerate(paragraphs) if paragraph["is_supporting"])
    # Ids read `2hop__13548_13529`: how many hops comes first.
    question = Question(row["id"], row["question"].strip(), answers(row), kind=row["id"].split("_")[0])
    documents = tuple((paragraph["title"], paragraph["paragraph_text"]) for paragraph in paragraphs)
    supporting = tuple((at, documents[at][1]) for at in gold)
    return Record(question, documents, supporting, gold, lost=0)


def _normal(row: dict[str, Any]) -> None:
    """Brings paragraphs that are an object of lists, as some tables have them, into a list of objects."""
    paragraphs = row.get("paragraphs")
    if isinstance(paragraphs, Mapping) and all(isinstance(column, list) for column in paragraphs.values()):
        columns = zip(*paragraphs.values(), strict=False)
        row["paragraphs"] = [dict(zip(paragraphs, values, strict=True)) for values in columns]


LAYOUT = Layout(
    name="musique",
    hub="dgslibisey/MuSiQue",
    config=None,
    licence="CC BY 4.0",
    schema={
        "id": str,
        "question": str,
        "answer": str,
        "paragraphs": [{"title": str, "paragraph_text": str, "is_supporting": bool}],
    },
    optional={"answerable": bool},
    normal=_normal,
    read=_read,
    prefer="ans",
)
inputs = partial(_records.inputs, LAYOUT)


def build(options: Options, request: Request) -> Plan:
    """The plan of one split; see `_haystack.build`."""
    return _haystack.build(LAYOUT, options, request)
