"""Servers that are told of tools: what is sent, how calls come back, and what refuses them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

import pytest
from asked_server import policy, replies, reply
from builders import agent
from fake_server import Answer, Server, choice, completion, error
from little_tokenizers import hermes
from transformers import Qwen3Config

from atommem_cli.core import tool_calls
from atommem_cli.core.calls import Expects, Finish, Message, Observation, Tool
from atommem_cli.core.episode import Call
from atommem_cli.core.errors import BackendError
from atommem_cli.core.tool_calls import ToolCall
from atommem_cli.core.types import OpKind, Outcome
from atommem_cli.policies.openai_server import OpenAIServer

TOOLS = (Tool("Add_memory", "Keeps.", '{"type": "object", "properties": {"content": {"type": "string"}}}'),)


def asked(server: Server, **options: object) -> OpenAIServer:
    """Without a hurry: nothing here is about time."""
    return policy(server, **{"timeout_s": 60.0, **options})


def asking(*messages: Message) -> Call:
    told = messages or (Message("user", "Ada lives in Velt."),)
    return Call(None, Observation(told, 200, Expects.OPERATIONS, tools=TOOLS), 5)


def called(*functions: Any, finish: str | None = "tool_calls", content: str | None = None) -> Answer:
    calls = [{"id": f"c{n}", "type": "function", "function": one} for n, one in enumerate(functions)]
    return choice(finish, role="assistant", content=content, tool_calls=calls)


ADD = {"name": "Add_memory", "arguments": '{"content": "Ada: Velt"}'}
UNPARSED = '<tool_call>{"name": "Add_memory", "arguments": {"content": "x"}}</tool_call>'
"""Of a server without a tool parser."""


@pytest.fixture(autouse=True)
def no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


def test_tools_are_sent_and_calls_become_the_text_that_the_agent_parses() -> None:
    with Server(called(ADD, content="well")) as server:
        got = reply(asked(server), asking())
    assert server.bodies[0]["tools"] == [
        {
            "type": "function",
            "function": {
                "name": "Add_memory",
                "description": "Keeps.",
                "parameters": {"type": "object", "properties": {"content": {"type": "string"}}},
            },
        }
    ]
    assert got.finish is Finish.STOP
    assert tool_calls.read(got.text) == ("well", [ToolCall("Add_memory", {"content": "Ada: Velt"})])
    (op,) = agent("agemem", calling="native").parse(Expects.OPERATIONS, got.text)
    assert (op.kind, op.text, op.defect) == (OpKind.CREATE, "Ada: Velt", None)


def test_what_was_called_goes_back_with_its_results_under_ids() -> None:
    before = tool_calls.write("", [ToolCall("Add_memory", {"content": "Ada \ud83d"})])
    told = (Message("user", "one"), Message("assistant", before), Message("tool", "done"), Message("user", "two"))
    with Server() as server:
        assert reply(asked(server), asking(*told)).text == "echo: two"
    (_, assistant, result, _) = server.bodies[0]["messages"]
    (sent,) = assistant["tool_calls"]
    assert json.loads(sent["function"]["arguments"]) == {"content": "Ada \ufffd"}
    assert result == {"role": "tool", "tool_call_id": sent["id"], "content": "done"}


@pytest.mark.parametrize(
    ("answer", "outcomes", "finish"),
    [
        (called({**ADD, "arguments": {"content": "x"}}, finish="stop"), [None], Finish.STOP),  # Ollama
        (called(ADD, finish=None), [None], Finish.STOP),
        (choice("function_call", content=None, function_call=ADD), [None], Finish.STOP),
        (completion(UNPARSED), [None], Finish.STOP),
        (called({**ADD, "name": "Fly"}), [Outcome.MALFORMED], Finish.STOP),
        (called({**ADD, "arguments": '{"content": 3}'}), [Outcome.MALFORMED], Finish.STOP),
        (called({**ADD, "arguments": '{"content": "Ad'}, finish="length"), [Outcome.MALFORMED], Finish.LENGTH),
        (called({**ADD, "arguments": ""}), [Outcome.MALFORMED], Finish.STOP),
        (called({**ADD, "arguments": "[" * 100_000}), [Outcome.UNCLOSED], Finish.LENGTH),
        (called(None, {"arguments": "{}"}), [Outcome.MALFORMED] * 2, Finish.STOP),
        (choice("tool_calls", content="", tool_calls=["x", 3, [1]]), [Outcome.MALFORMED] * 3, Finish.STOP),
        (choice("tool_calls", content="", tool_calls={"a": 1}), [Outcome.MALFORMED], Finish.STOP),
        (choice("tool_calls", content=""), [], Finish.STOP),
        (called(ADD, ADD), [None, None], Finish.STOP),  # the agent finds the second one
    ],
)  # fmt: skip
def test_every_call_is_an_operation_however_it_came(answer: Answer, outcomes: Sequence[Any], finish: Finish) -> None:
    with Server(answer) as server:
        got = reply(asked(server), asking())
    assert got.finish is finish
    found = agent("agemem", calling="native").parse(Expects.OPERATIONS, got.text)
    assert [op.defect for op in found] == outcomes


def test_calls_and_an_answer_in_one_reply_are_both_read() -> None:
    with Server(called(ADD, content="<answer>Velt</answer>")) as server:
        got = reply(asked(server), asking())
    spoken: Any = agent("agemem", calling="native")
    assert [op.kind for op in spoken.parse(Expects.ANSWER, got.text)] == [OpKind.CREATE]
    assert spoken.answer(got.text).text == "Velt"


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (400, '"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set'),  # vLLM
        (400, "registry.ollama.ai/library/gemma:2b does not support tools"),  # Ollama
        (500, "tools param requires --jinja flag"),  # llama.cpp
        (404, "No endpoints found that support tool use."),  # OpenRouter
        (400, "`tool calling` is not supported with this model"),  # Groq
        (400, "Function calling is not enabled for this model"),
        (400, "Unrecognized request argument supplied: tools"),
    ],
)
def test_a_server_without_tools_is_one_sentence(status: int, text: str) -> None:
    with Server(error(status, text)) as server, pytest.raises(BackendError, match=r"agent\.calling=text") as refused:
        reply(asked(server, retries=0), asking())
    assert "\n" not in str(refused.value)
    assert len(server.bodies) == 1


def test_a_server_that_drops_tools_without_a_word_is_found_out_by_its_count(tmp_path: Path) -> None:
    hermes().save_pretrained(tmp_path)
    Qwen3Config().save_pretrained(tmp_path)
    told = asking(Message("user", "Ada"))
    bare, wanted = len("Ada"), len("Ada") + len(json.dumps(TOOLS[0].function))  # a byte, a token
    with Server(completion("x", usage={"prompt_tokens": wanted // 2, "completion_tokens": 1})) as server:
        assert reply(asked(server, tokenizer=str(tmp_path)), told).text == "x"
    few = completion("x", usage={"prompt_tokens": bare + 9, "completion_tokens": 1})
    told_so = f"does not show them .* {bare + 9} tokens where {wanted}"
    with Server(few) as server, pytest.raises(BackendError, match=told_so):
        reply(asked(server, tokenizer=str(tmp_path)), told)
    with Server(few) as server:  # words are no measure
        assert reply(asked(server), told).text == "x"


def test_other_refusals_mean_what_they_meant() -> None:
    long = error(400, "This model's maximum context length is 4096 tokens")
    with Server(long, error(500, "tool server broke")) as server:
        by = asked(server, retries=0)
        assert reply(by, asking()).finish is Finish.OVERFLOW
        assert reply(by, asking()).finish is Finish.ERROR


def test_no_message_of_calls_raises() -> None:
    dice = Random(7)
    junk: list[Any] = [
        None,
        3,
        "x",
        [],
        {},
        {"name": 1},
        '{"a": ',
        "\ud83d",
        {"function": None},
        ADD,
        "</tool_call>",
        True,
    ]
    spoken = agent("agemem", calling="native")
    answers = []
    for _ in range(200):
        entries = [
            {"id": dice.choice(junk), "function": {"name": dice.choice(junk), "arguments": dice.choice(junk)}}
            if dice.random() < 0.7
            else dice.choice(junk)
            for _ in range(dice.randrange(4))
        ]
        content = dice.choice([None, "", "so", "<tool_call>", "<answer>y</answer>", '[{"name": "Add_memory"}]'])
        answers.append(choice(dice.choice(["stop", "tool_calls", "length", None]), content=content, tool_calls=entries))
    with Server(*answers) as server:
        for got in replies(asked(server, retries=0), [asking()] * len(answers)):
            json.dumps([op.text for op in spoken.parse(Expects.OPERATIONS, got.text)])
            told = [Message("user", "x"), Message("assistant", got.text), Message("tool", "r")]
            assert len(tool_calls.turns(told)) == 3
