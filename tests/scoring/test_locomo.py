"""LoCoMo's score against the official script: its recorded scores, and its definition written a second time."""

from __future__ import annotations

import json
import re
import string
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nltk.stem import PorterStemmer

from atommem_cli.core.types import Answer, Question
from atommem_cli.scoring.locomo import CATEGORIES, locomo_f1

# Scores that the official code gave (see golden/README.md), one case a line.
GOLDEN: list[dict[str, Any]] = [
    json.loads(line)
    for line in (Path(__file__).parents[1] / "golden" / "locomo_scores.jsonl").read_text("utf-8").splitlines()
]
SAYING_SO = ("Not mentioned in the conversation", "No information available", "unknown")


def score(category: int, text: str, *golds: str) -> float:
    answers = SAYING_SO if category == 5 else golds
    return locomo_f1(Answer(text), Question("q", "?", answers, kind=CATEGORIES[category], unanswerable=category == 5))


# --- the official definition, written a second time; plain and slow on purpose, and not built on our code -----


def stems(text: str) -> list[str]:
    kept = "".join("" if c in string.punctuation else c for c in text.replace(",", "").lower())
    left = re.sub(r"\bthe\b|\ban\b|\ba\b|\band\b", " ", kept).split()
    return [PorterStemmer().stem(word) for word in left]


def reference_f1(text: str, gold: str) -> float:
    left, same = stems(gold), 0
    total = len(left) + len(stems(text))
    for word in stems(text):
        if word in left:
            left.remove(word)
            same += 1
    return 2 * same / total if same else 0.0


def reference(category: int, text: str, gold: str) -> float:
    if category == 1:
        parts = gold.split(",")
        return sum(max(reference_f1(said, part) for said in text.split(",")) for part in parts) / len(parts)
    return reference_f1(text, gold.partition(";")[0] if category == 3 else gold)


# --- equality with the official script ---------------------------------------------------------------------


def test_there_are_hundreds_of_golden_scores_of_all_categories() -> None:
    assert len(GOLDEN) > 300
    assert {case["category"] for case in GOLDEN} == {*CATEGORIES}
    assert 0.2 < sum(case["locomo_f1"] for case in GOLDEN) / len(GOLDEN) < 0.8


@pytest.mark.parametrize("category", sorted(CATEGORIES))
def test_the_score_equals_the_official_script(category: int) -> None:
    for case in GOLDEN:
        if case["category"] == category:
            value = score(category, case["text"], case["gold"])
            assert value == pytest.approx(case["locomo_f1"], abs=1e-12), case


WORDS = "the and a camping camps Camped skies sky dying die , ; . it's 2023 12,000 generously café"
WORD = st.sampled_from(WORDS.split())
TEXT = st.lists(WORD, min_size=1, max_size=8).map(" ".join) | st.text(max_size=20)


@settings(max_examples=150, deadline=None)
@given(category=st.sampled_from([1, 2, 3, 4]), text=TEXT, gold=TEXT)
def test_the_score_equals_the_definition(category: int, text: str, gold: str) -> None:
    expected = reference(category, text, gold) if text.strip() else 0.0
    assert score(category, text, gold) == pytest.approx(expected, abs=1e-12)


# --- what it is for ------------------------------------------------------------------------------------------


def test_the_kind_of_question_decides() -> None:
    gold, said = "running, pottery; and painting", "pottery, running"
    assert score(1, said, gold) == pytest.approx((1 + 2 / 3) / 2)  # "pottery; and painting" is one item
    assert score(4, said, gold) == pytest.approx(2 * 2 / 5)
    assert score(3, said, gold) == pytest.approx(1)  # nothing behind the semicolon counts, and order does not
    assert score(5, said, gold) == 0


@pytest.mark.parametrize("text", ["unknown", "Unknown.", "No information available", "It is NOT MENTIONED anywhere"])
def test_what_nothing_tells_is_answered_by_saying_so(text: str) -> None:
    assert score(5, text) == 1
    assert score(4, text, "Lisbon") == 0


@pytest.mark.parametrize("text", ["Lisbon", "I do not know", "unknown, but I guess Lisbon", "", " "])
def test_anything_else_is_made_up(text: str) -> None:
    assert score(5, text) == 0


def test_questions_of_other_sources_are_scored_whole() -> None:
    question = Question("q", "?", ("camping, hiking", "a trip"), kind="knowledge-update")
    assert locomo_f1(Answer("camps"), question) == pytest.approx(2 / 3)
    assert locomo_f1(Answer("trips"), question) == 1
