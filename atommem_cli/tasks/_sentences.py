"""Records whose paragraphs are lists of sentences: HotpotQA's and 2Wiki's, on the hub and in the original downloads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from atommem_cli.core.types import Question
from atommem_cli.tasks._records import Record, answers

SCHEMA: Mapping[str, Any] = {
    "id": str,
    "question": str,
    "answer": str,
    "supporting_facts": {"title": [str], "sent_id": [int]},
    "context": {"title": [str], "sentences": [[str]]},
}
OPTIONAL: Mapping[str, Any] = {"type": str}


def normal(row: dict[str, Any]) -> None:
    """Brings the original downloads' lists of pairs, and lists of objects, into the hub's objects of lists."""
    for field, keys in (("context", ("title", "sentences")), ("supporting_facts", ("title", "sent_id"))):
        value = row.get(field)
        if not isinstance(value, list):
            continue
        pairs = [[item.get(key) for key in keys] if isinstance(item, Mapping) else item for item in value]
        if all(isinstance(pair, list | tuple) and len(pair) == len(keys) for pair in pairs):
            row[field] = {key: [pair[at] for pair in pairs] for at, key in enumerate(keys)}


def read(row: Mapping[str, Any], joint: str) -> Record | str:
    """A record of this layout.

    Args:
        joint: what stands between two sentences; HotpotQA's bring their own leading space.
    """
    context, facts = row["context"], row["supporting_facts"]
    paragraphs = list(zip(context["title"], context["sentences"], strict=False))
    if not paragraphs:
        return "without_context"
    supporting: dict[tuple[int, str], None] = {}
    gold: dict[int, None] = {}
    lost = 0
    for title, sentence in zip(facts["title"], facts["sent_id"], strict=False):
        named = [at for at, (name, _) in enumerate(paragraphs) if name == title]
        gold.update(dict.fromkeys(named))
        # The real data point beyond the end of some paragraphs.
        there = [at for at in named if 0 <= sentence < len(paragraphs[at][1])]
        text = paragraphs[there[0]][1][sentence].strip() if there else ""
        if text:
            supporting[there[0], text] = None
        else:
            lost += 1
    question = Question(row["id"], row["question"].strip(), answers(row), kind=row.get("type") or "")
    documents = tuple((title, joint.join(sentences)) for title, sentences in paragraphs)
    return Record(question, documents, tuple(supporting), tuple(gold), lost)
