"""An Update or Delete touches the entry that it names for certain, or nothing."""

from __future__ import annotations

import itertools
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atommem_cli.core.types import OpKind, Outcome
from atommem_cli.dialects.tags import Targets, outside, pattern, payloads
from atommem_cli.dialects.wording import pieces

TARGETS = Targets(pieces("Memory ${number}: ${text}"))
BAD = None


@pytest.mark.parametrize(
    ("payload", "deleted", "updated"),
    [
        ("Memory 2", 2, (2, "")),
        ("memory 2.", 2, (2, "")),
        ("Memory2:", 2, (2, "")),
        ("#2", 2, (2, "")),
        ("[2]", 2, (2, "")),
        ("{Memory 2}", 2, (2, "")),
        (" (2) ", 2, (2, "")),
        ("Memory 2: Bo lives in Dorn.", 2, (2, "Bo lives in Dorn.")),
        ("Memory 2: 1931 opened", 2, (2, "1931 opened")),
        ("{2: text}", 2, (2, "text")),
        ("{Memory 2: text}", 2, (2, "text")),
        ("2: text", BAD, (2, "text")),
        ("[2]: text", BAD, (2, "text")),
        ("Memory 1 - x", 1, (1, "x")),
        ("Memory 1 \u2014 x", 1, (1, "x")),
        ("Memory 1. x", 1, (1, "x")),
        ("Memory 1 - 3", BAD, (1, "3")),
        ("Memory 1 - Memory 3", BAD, (1, "Memory 3")),
        ("2 entries are duplicates", BAD, BAD),
        ("2. entries", BAD, BAD),
        ("2:30 pm", BAD, BAD),
        ("1.5 million", BAD, BAD),
        ("Memory 1 and Memory 3", BAD, BAD),
        ("Memory 1, 3", BAD, BAD),
        ("1, 2", BAD, BAD),
        ("Memory 1-3", BAD, BAD),
        ("Memory 2.5", BAD, BAD),
        ("Memory 1 text", BAD, BAD),
        ("the second one", BAD, BAD),
        ("Memory two", BAD, BAD),
        ("1931 was the year", BAD, BAD),
        ("", BAD, BAD),
    ],
)
def test_what_is_named(payload: str, deleted: int | None, updated: tuple[int, str] | None) -> None:
    op = TARGETS.operation(OpKind.DELETE, payload)
    assert op.target == deleted
    assert op.defect is (Outcome.MALFORMED if deleted is None else None)
    op = TARGETS.operation(OpKind.UPDATE, payload)
    assert (op.target, op.text) == (updated or (None, payload))


@given(st.text(alphabet="Memory 123:.-#[](){}\nandx", max_size=30))
def test_a_deletion_begins_with_the_one_number_it_names(payload: str) -> None:
    op = TARGETS.operation(OpKind.DELETE, payload)
    if op.target is None:
        assert op.defect is Outcome.MALFORMED
    else:
        found = re.match(r"[\s\[({]*(memory)?\s*#?\s*(\d+)", payload, re.IGNORECASE)
        assert found
        assert int(found[2]) == op.target
        rest = payload[found.end() :]
        assert found[1] or "{" in payload[: found.start(2)] or not re.search(r"\w", rest)


@given(st.lists(st.sampled_from(["<a>", "</a>", "<b>", "</b>", "<c>", "</c>", "x", " "])))
def test_payloads_are_in_order_apart_and_none_is_invented(parts: list[str]) -> None:
    text = "".join(parts)
    tags = pattern(["a", "b", "c"])
    found = list(payloads(text, tags))
    assert [p.start for p in found] == sorted(p.start for p in found)
    for before, after in itertools.pairwise(found):
        assert before.whole[1] <= after.whole[0]
    for p in found:
        assert text[: p.start].endswith(f"<{p.tag}>")
        assert not p.closed or text[p.end :].startswith(f"</{p.tag}>")
        assert f"<{p.tag}>" not in text[p.start : p.end]
    if any(f"<{tag}>" in text and f"</{tag}>" in text[text.index(f"<{tag}>") :] for tag in "abc"):
        assert any(p.closed for p in found)
    assert len(outside(text, tags)) <= len(text)


def test_they_are_linear() -> None:
    tags = pattern(["a", "b", "c"])
    for text in ("<a>" + "<b>" * 50_000 + "</c>" * 50_000, "<a><b></b>" * 50_000, "<a>" + "<b><c>" * 50_000 + "</b>"):
        list(payloads(text, tags))
    for payload in (
        " " * 100_000,
        "[" + " " * 100_000 + "x",
        "Memory " + " " * 100_000 + "x",
        "2" + " " * 100_000 + "x",
    ):
        TARGETS.operation(OpKind.DELETE, payload)
