"""A reply is thought and what is said; every reader of replies gets the second alone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from atommem_cli.core.thoughts import MARKS, OwnMarks, marks_of, split


@pytest.mark.parametrize(
    ("reply", "thought", "said"),
    [
        ("plain", "", "plain"),
        ("", "", ""),
        ("<think>a</think>b", "a", "b"),
        ("<THINK>a</Think >b", "a", "b"),
        ("a</think>b", "a", "b"),
        ("a</think>b</think>c", "ab", "c"),
        ("a</think>\n\n</think>\n\nc", "a", "\n\nc"),
        ("<think>a <think>b</think> c</think>d", "a b c", "d"),
        ("a<think>b", "b", "a"),
        ("<think>cut at its lim", "cut at its lim", ""),
        ("a</think>b<think>c", "ac", "b"),
        ("<think></think>b", "", "b"),
        ("<think>a</thinking>b", "a", "b"),
        ("[THINK]a[/THINK]b", "a", "b"),
        ("<seed:think>a</seed:think>b", "a", "b"),
        ("<|START_THINKING|>a<|END_THINKING|>b", "a", "b"),
        ("<|channel>thought\na<channel|>b", "a", "b"),
        ("<|channel|>final<|message|>b", "", "b"),
        ("analysisWe should store it.assistantfinalb", "analysisWe should store it.assistantfinal", "b"),
        ("analysisWe should sto", "analysisWe should sto", ""),
        ("analysis of the text", "", "analysis of the text"),
        ("an analysis assistantfinal", "", "an analysis assistantfinal"),
        ("Here is my thought process: a\nHere is my response: b", None, " b"),
    ],
)
def test_a_reply_is_taken_apart(reply: str, thought: str | None, said: str) -> None:
    found = split(reply)
    assert found.said == said
    assert thought is None or found.thought == thought
    assert found.empty == (not said)
    assert "".join(reply[start:end] for start, end in found.where) == said


def test_gpt_oss_in_full() -> None:
    reply = "<|channel|>analysis<|message|>a<|end|><|start|>assistant<|channel|>final<|message|>b"
    assert split(reply).said == "b"
    assert split("<|channel|>analysis<|message|>cut").empty


def test_marks_inside_a_quotation_are_text_but_not_inside_of_a_thought() -> None:
    reply = "a</think>[b</think>c]d<think>[e</think>f]"
    spans = [(reply.index("["), reply.index("]")), (reply.rindex("["), reply.rindex("]"))]
    assert split(reply, MARKS, spans)[:2] == ("a[e", "[b</think>c]df]")


def test_a_stretch_of_what_is_said_is_found_in_the_reply() -> None:
    reply = "ab<think>c</think>de<think>f</think>g"
    found = split(reply)
    assert found.said == "abdeg"
    at = [reply.index(letter) for letter in "abdeg"]
    for start in range(5):
        for end in range(start + 1, 6):
            assert found.place(start, end) == (at[start], at[end - 1] + 1)
    with pytest.raises(ValueError, match="not within what is said"):
        found.place(3, 6)


@pytest.mark.parametrize("pair", MARKS)
def test_every_mark_in_every_position(pair: tuple[str, str]) -> None:
    opens, closes = pair
    assert split(f"{opens}A thought{closes}said").said == "said"
    assert split(f"{opens}A thought that was cut").empty
    if not (opens[0].isalnum() and closes[0].isalnum()):
        assert split(f"A thought{closes}said")[:2] == ("A thought", "said")


def test_marks_are_a_setting_of_the_policy() -> None:
    own = marks_of({"model": "m", "thoughts": [["<<", ">>"]]})
    assert split("<<a>>b", own).said == "b"
    assert split("<think>a</think>b", own).said == "<think>a</think>b"
    assert marks_of({"model": "m"}) == marks_of(None) == marks_of({"thoughts": None}) == MARKS
    assert split("<think>a</think>b", marks_of({"thoughts": []})).said == "<think>a</think>b"
    with pytest.raises(ValidationError, match="a mark cannot be empty"):
        TypeAdapter(OwnMarks).validate_python([["", "x"]])


@given(st.lists(st.sampled_from(["<think>", "</think>", "[/THINK]", "a", "<", "\n", "analysis", "assistantfinal"])))
def test_what_is_said_holds_no_mark_and_stands_behind_the_last_one_that_nothing_opened(pieces: list[str]) -> None:
    reply = "".join(pieces)
    said = split(reply).said
    for mark in ("<think>", "</think>", "[/THINK]"):
        assert mark not in said
    if "<think>" not in reply and not reply.lstrip().startswith("analysis"):
        assert said == reply.replace("[/THINK]", "</think>").rpartition("</think>")[2]


def test_it_is_linear() -> None:
    for piece in ("<think>", "</think>", "<think></think>", "<" * 10, "analysis"):
        split(piece * 50_000)
