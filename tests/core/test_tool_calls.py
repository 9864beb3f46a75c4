"""Calls that come apart from a reply, as text and back: the pairing of calls and results that servers insist on."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atommem_cli.core import tool_calls
from atommem_cli.core.calls import Message
from atommem_cli.core.tool_calls import ToolCall

ADD, LOOK = ToolCall("Add_memory", {"content": "Ada </tool_call> é"}), ToolCall("Retrieve_memory", {"query": "Ada"})
JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner, max_size=3))


@given(
    st.text(alphabet="ab <\n").map(str.strip),
    st.lists(st.tuples(st.sampled_from("fg"), st.dictionaries(st.text(), JSON))),
)
def test_what_is_written_is_read_again(said: str, made: list[tuple[str, dict[str, Any]]]) -> None:
    calls = [ToolCall(*one) for one in made]
    assert tool_calls.read(tool_calls.write(said, calls)) == (said, calls)


@pytest.mark.parametrize(
    "call",
    [
        ToolCall("f", '{"a": '),
        ToolCall("f", [1]),
        ToolCall(None, {}),
        ToolCall("no such name!", {}),
        ToolCall("f" * 65, {}),
        ToolCall({"a": 1}, None),
    ],
)
def test_a_call_that_no_server_takes_is_told_as_text(call: ToolCall) -> None:
    text = tool_calls.write("so", [LOOK, call])
    assert tool_calls.read(text) == (text, [])
    assert text.count("</tool_call>") == 2
    turns = tool_calls.turns([Message("assistant", text), Message("tool", "a"), Message("tool", "b")])
    assert turns == [
        {"role": "assistant", "content": text},
        {"role": "user", "content": "a"},
        {"role": "user", "content": "b"},
    ]


def test_arguments_without_end_become_a_call_that_is_told_as_bad() -> None:
    nested: Any = {}
    for _ in range(100_000):
        nested = [nested]
    text = tool_calls.write("", [ToolCall("f", nested)])
    assert json.loads(text.removeprefix("<tool_call>").removesuffix("</tool_call>")) == {"name": "f", "arguments": ""}
    del nested


def test_results_stand_under_the_ids_of_their_calls() -> None:
    reply = tool_calls.write("well", [ADD, LOOK])
    told = [
        Message("system", "rules"),
        Message("user", "one"),
        Message("assistant", reply),
        Message("tool", "kept"),
        Message("tool", "found"),
        Message("user", "two"),
        Message("assistant", tool_calls.write("", [LOOK])),
        Message("tool", "found"),
    ]
    turns = tool_calls.turns(told)
    assert [turn["role"] for turn in turns] == [message.role for message in told]
    assert turns[2]["content"] == "well"
    assert [call["function"] for call in turns[2]["tool_calls"]] == [
        {"name": name, "arguments": json.dumps(arguments, ensure_ascii=False)} for name, arguments in (ADD, LOOK)
    ]
    asked = [call["id"] for turn in turns for call in turn.get("tool_calls", ())]
    assert asked == [turn["tool_call_id"] for turn in turns if turn["role"] == "tool"]
    assert len(set(asked)) == 3
    assert all(len(one) == 9 and one.isalnum() for one in asked)


@pytest.mark.parametrize("gone", [0, 1, 2])
def test_calls_and_results_of_which_a_filter_took_some_are_told_as_texts(gone: int) -> None:
    reply = tool_calls.write("", [ADD, LOOK])
    told = [Message("assistant", reply), Message("tool", "a"), Message("tool", "b"), Message("user", "on")]
    left = [message for at, message in enumerate(told) if at != gone]
    turns = tool_calls.turns(left)
    assert [turn["content"] for turn in turns] == [message.content for message in left]
    assert not any("tool_calls" in turn or turn["role"] == "tool" for turn in turns)
