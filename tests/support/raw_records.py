"""Raw records in the hub's schemas, small enough to check by eye."""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

Row = dict[str, Any]

SHARED = Path(__file__).parents[2].parent / "shared" / "data"
real_data = pytest.mark.skipif(not SHARED.is_dir(), reason="the shared records are not on this machine")


def hotpot(number: int, paragraphs: int = 4, **changes: Any) -> Row:
    """Two gold paragraphs and some others; sentences bring their own leading space."""
    titles = [f"Page {number}-{at}" for at in range(paragraphs)]
    row = {
        "id": f"h{number}",
        "question": f"What is fact {number}?",
        "answer": f"value {number}",
        "type": "bridge" if number % 2 else "comparison",
        "level": "hard",
        "supporting_facts": {"title": titles[:2], "sent_id": [0, 1]},
        "context": {"title": titles, "sentences": [[f"{t} opens.", f" {t} goes on."] for t in titles]},
    }
    return row | changes


def wiki(number: int, paragraphs: int = 4, **changes: Any) -> Row:
    """As HotpotQA, but sentences have no leading space, there are triples, and there is no level."""
    row = hotpot(number, paragraphs) | {"evidences": [["a", "is", "b"]]}
    row["context"] = {
        "title": row["context"]["title"],
        "sentences": [[s.strip() for s in sentences] for sentences in row["context"]["sentences"]],
    }
    del row["level"]
    return row | changes


def musique(number: int, paragraphs: int = 5, **changes: Any) -> Row:
    """The first two paragraphs are gold."""
    row = {
        "id": f"3hop1__{number}",
        "paragraphs": [
            {
                "idx": at,
                "title": f"Page {number}-{at}",
                "paragraph_text": f"Text {number}-{at}.",
                "is_supporting": at < 2,
            }
            for at in range(paragraphs)
        ],
        "question": f"What is fact {number}?",
        "question_decomposition": [{"id": 1, "question": "x", "answer": "y", "paragraph_support_idx": 0}],
        "answer": f"value {number}",
        "answer_aliases": [],
        "answerable": True,
    }
    return row | changes


def lines(rows: Sequence[Row]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def write(path: Path, rows: Sequence[Row]) -> Path:
    """A file of records in the format that its name says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".parquet":
        import pyarrow as pa
        from pyarrow import parquet

        parquet.write_table(pa.Table.from_pylist(list(rows)), path)
    elif path.suffix == ".gz":
        path.write_bytes(gzip.compress(lines(rows).encode()))
    else:
        path.write_text(json.dumps(rows) if path.suffix == ".json" else lines(rows), encoding="utf-8")
    return path


def original(row: Row) -> Row:
    """A record of HotpotQA or 2Wiki as in the original downloads: `_id`, and lists of pairs."""
    row = {"_id": row["id"], **{key: value for key, value in row.items() if key != "id"}}
    facts, context = row["supporting_facts"], row["context"]
    row["supporting_facts"] = [list(pair) for pair in zip(facts["title"], facts["sent_id"], strict=True)]
    row["context"] = [list(pair) for pair in zip(context["title"], context["sentences"], strict=True)]
    return row
