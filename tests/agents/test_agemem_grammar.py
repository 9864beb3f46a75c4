"""AgeMem's grammars: what is written is read again, what is bent is read as far as it means something."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from builders import agent

from atommem_cli.core.calls import Expects
from atommem_cli.core.errors import UsageError
from atommem_cli.core.types import MemoryOp, OpKind, Outcome

OPS = (
    MemoryOp(OpKind.CREATE, 'Ada said "</tool_call>" <think>', meta=(("who", "Ada"), ("memory_type", "fact"))),
    MemoryOp(OpKind.UPDATE, "b", 3, meta=(("k", "v"),)),
    MemoryOp(OpKind.DELETE, target=2),
    MemoryOp(OpKind.READ, "where", meta=(("metadata.who", "Ada"), ("top_k", "5"))),
    MemoryOp(OpKind.SUMMARIZE, meta=(("span", "3-7"),)),
    MemoryOp(OpKind.SUMMARIZE, "c", targets=(2, 4)),
    MemoryOp(OpKind.FILTER, "rain"),
    MemoryOp(OpKind.FILTER, "", targets=(5,)),
)


def read(reply: str, **options: Any) -> list[MemoryOp]:
    return [*agent("agemem", **options).parse(Expects.OPERATIONS, reply)]


def call(name: str, **arguments: Any) -> str:
    return f"<tool_call>{json.dumps([{'name': name, 'arguments': arguments}])}</tool_call>"


def test_what_is_written_is_read_again() -> None:
    spoken: Any = agent("agemem")
    reply = spoken.write(Expects.OPERATIONS, OPS)
    assert tuple(read(reply)) == OPS
    assert json.loads(reply.removeprefix("<tool_call>").removesuffix("</tool_call>"))[2] == {
        "name": "Delete_memory",
        "arguments": {"memory_id": 2, "confirmation": True},
    }
    both = spoken.write(Expects.ANSWER, OPS, "Velt")
    assert tuple(read(f"<think>maybe <answer>Dorn</answer></think>{both}")) == OPS
    assert spoken.answer(both).text == "Velt"
    assert spoken.answer(call("Add_memory", content="<answer>Dorn</answer>")).tagged is False


def test_the_closed_grammar_has_a_tag_for_each_tool() -> None:
    bare = (OPS[2], *OPS[5:], MemoryOp(OpKind.FILTER, "rain falls", targets=(2, 3)), MemoryOp(OpKind.UPDATE, "b", 3))
    spoken: Any = agent("agemem", dialect="tiny")
    reply = spoken.write(Expects.ANSWER, bare, "velt")
    assert "<summary> 2 4 : c </summary>" in reply
    assert "<update> memory 3 : b </update>" in reply
    assert tuple(read(reply, dialect="tiny")) == bare
    assert spoken.answer(reply).text == "velt"
    assert [op.defect for op in read("<filter> 2 <delete> two </delete>", dialect="tiny")] == [
        Outcome.UNCLOSED,
        Outcome.MALFORMED,
    ]


ADD = '{"name": "Add_memory", "arguments": {"content": "x"}}'
ADDED = (OpKind.CREATE, "x", None)


@pytest.mark.parametrize(
    "reply",
    [
        f"<tool_call>[{ADD}]</tool_call>",
        f"<think>so</think>\n<tool_call>\n[{ADD}]",
        f"[{ADD}]",
        f"```json\n[{ADD}]\n```",
        f"<tool_call>{ADD}</tool_call>",
        f"[{ADD}, ",
        '<tool_call>[{"name": " add_memory", "arguments": "{\\"content\\": \\"x\\"}"}]</tool_call>',
        '<tool_call>[{"name": "Add_memory", "parameters": {"content": "x"}}]</tool_call> and so on',
        f"[{ADD}]<answer>y</answer>",
    ],
)
def test_other_spellings_mean_the_same(reply: str) -> None:
    assert [(op.kind, op.text, op.defect) for op in read(reply)] == [ADDED]


def test_calls_may_stand_one_after_another_and_names_of_the_code_are_understood() -> None:
    reply = f"<tool_call>{ADD}\n{ADD}</tool_call><tool_call>{ADD}</tool_call>" + call("Clear_context", criteria="x")
    assert [op.kind for op in read(reply)] == [OpKind.CREATE] * 3 + [OpKind.FILTER]
    coded: Any = agent("agemem", version="coded")
    assert "Clear_context" in coded.write(Expects.OPERATIONS, [OPS[6]])
    assert "Clear_context" in coded.words.system(frozenset(), ())


@pytest.mark.parametrize(
    ("reply", "kind", "outcome", "fault"),
    [
        (call("Fly", to="Velt"), OpKind.CREATE, Outcome.MALFORMED, "there is no tool Fly"),
        (call("Add_memory", content=3), OpKind.CREATE, Outcome.MALFORMED, "content is a text"),
        (call("Add_memory", content="x", metadata=[1]), OpKind.CREATE, Outcome.MALFORMED, "metadata is an object"),
        (call("Update_memory", memory_id=True, content="x"), OpKind.UPDATE, Outcome.MALFORMED, "memory_id is a whole"),
        (call("Update_memory", memory_id=2), OpKind.UPDATE, Outcome.MALFORMED, "content is a text"),
        (call("Delete_memory", memory_id=2), OpKind.DELETE, Outcome.MALFORMED, "confirmation is true or false"),
        (call("Delete_memory", memory_id=2, confirmation=False), OpKind.DELETE, Outcome.NOOP, "not confirmed"),
        (call("Retrieve_memory", query="x", top_k=0), OpKind.READ, Outcome.MALFORMED, "top_k is at least 1"),
        (call("Retrieve_memory", query=None), OpKind.READ, Outcome.MALFORMED, "query is a text"),
        (call("Summary_context", span=[1]), OpKind.SUMMARIZE, Outcome.MALFORMED, "span is"),
        (call("Filter_context"), OpKind.FILTER, Outcome.MALFORMED, "criteria is a text"),
        (call("Filter_context", messages=["2"]), OpKind.FILTER, Outcome.MALFORMED, "messages are whole numbers"),
        ('<tool_call>[{"name": "Add_memory", "argum', OpKind.CREATE, Outcome.UNCLOSED, "cut off"),
        ("<tool_call>[nothing]</tool_call>", OpKind.CREATE, Outcome.MALFORMED, "this is no JSON"),
        ("[[[]]]", OpKind.CREATE, Outcome.MALFORMED, "a call has a name"),
        ('[{"name": "Add_memory", "arguments": "{"}]', OpKind.CREATE, Outcome.MALFORMED, "arguments are an object"),
    ],
)
def test_a_bad_call_has_an_outcome_and_says_why(reply: str, kind: OpKind, outcome: Outcome, fault: str) -> None:
    (op,) = read(reply)
    assert (op.kind, op.defect) == (kind, outcome)
    assert fault in dict(op.meta)["fault"]


def test_whatever_is_replied_is_read_in_time_that_grows_with_it(request: pytest.FixtureRequest) -> None:
    """A bounded number of bent replies; `tests/bench/bench_agemem.py` bends 100,000."""
    spoken: Any = agent("agemem")
    dice = random.Random(0)
    whole = spoken.write(Expects.OPERATIONS, OPS, "Velt")
    for _ in range(400):
        bent = [*whole]
        for _ in range(dice.randint(1, 12)):
            at = dice.randrange(len(bent))
            bent[at : at + dice.randint(0, 9)] = dice.choice(
                ["", '"', "[", "}", "</", "<tool_call>", "\\", "\ud83d", "9"]
            )
        for op in spoken.parse(Expects.ANSWER, "".join(bent)):
            assert isinstance(op, MemoryOp)
        spoken.answer("".join(bent))
    for piece in ("[", "<tool_call>", '<tool_call>[{"name": "', "<answer>", "{}", "<tool_call></tool_call>"):
        spoken.parse(Expects.ANSWER, piece * 20_000)


def test_words_that_are_none_are_one_sentence(tmp_path: Any) -> None:
    with pytest.raises(UsageError, match="agemem speaks paper and tiny"):
        agent("agemem", dialect="relaesed")
    assert agent("agemem", dialect="released").describe()["dialect"] == "paper"
    shipped = agent("agemem").words  # type: ignore[attr-defined]
    (tmp_path / "mine.yaml").write_text(json.dumps({**shipped.wording.model_dump(mode="json"), "tags": {"calls": "c"}}))
    with pytest.raises(UsageError, match=r"mine.yaml: nothing says how answer is written"):
        agent("agemem", dialect=str(tmp_path / "mine.yaml"))
    (tmp_path / "odd.yaml").write_text("grammar: json\nhello: 1\n")
    with pytest.raises(UsageError, match=r"odd.yaml: (tags|hello)"):
        agent("agemem", dialect=str(tmp_path / "odd.yaml"))
