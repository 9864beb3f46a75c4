"""The dialects: what a model may write is parsed, whatever it is, and written back the same."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atommem_cli import dialect
from atommem_cli.errors import UsageError
from atommem_cli.types import Expects, MemoryEntry, MemoryOp, OpKind, Outcome

DIALECTS = ("paper", "released", "tiny")
word = st.text(st.characters(whitelist_categories=("Ll", "Nd")), min_size=1, max_size=8)
phrase = st.lists(word, min_size=1, max_size=6).map(lambda words: "x " + " ".join(words))


@st.composite
def operations(draw: st.DrawFn) -> MemoryOp:
    kind = draw(st.sampled_from(list(OpKind)))
    addressed = kind in (OpKind.UPDATE, OpKind.DELETE)
    target = draw(st.integers(1, 99)) if addressed else None
    return MemoryOp(kind, "" if kind is OpKind.DELETE else draw(phrase), target)


@pytest.mark.parametrize("name", DIALECTS)
@given(ops=st.lists(operations(), max_size=6), answer=st.none() | phrase)
def test_parse_is_the_inverse_of_write(name: str, ops: list[MemoryOp], answer: str | None) -> None:
    spoken = dialect.load(name)
    reply = spoken.write(Expects.OPERATIONS, ops, answer)
    assert spoken.parse(reply) == tuple(ops)
    if answer is not None:
        found = spoken.answer(reply)
        assert (found.text, found.tagged) == (answer, True)


def parse(reply: str, name: str = "paper") -> list[tuple[OpKind, str, int | None, Outcome | None]]:
    return [(op.kind, op.text, op.target, op.defect) for op in dialect.load(name).parse(reply)]


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        ("no tags at all", []),
        ("<create_memory> a fact </create_memory>", [(OpKind.CREATE, "a fact", None, None)]),
        ("<CREATE_MEMORY>a</Create_Memory>", [(OpKind.CREATE, "a", None, None)]),
        ("<create_memory>lost", [(OpKind.CREATE, "lost", None, Outcome.UNCLOSED)]),
        (
            "<create_memory>a <read_memory>b</read_memory></create_memory>",
            [(OpKind.CREATE, "a ", None, Outcome.UNCLOSED), (OpKind.READ, "b", None, None)],
        ),
        ("</create_memory>stray", []),
        ("<delete_memory>Memory 3</delete_memory>", [(OpKind.DELETE, "", 3, None)]),
        ("<delete_memory>3.</delete_memory>", [(OpKind.DELETE, "", 3, None)]),
        ("<delete_memory>Memory 0</delete_memory>", [(OpKind.DELETE, "", 0, None)]),
        ("<delete_memory>all</delete_memory>", [(OpKind.DELETE, "all", None, Outcome.MALFORMED)]),
        ("<delete_memory>Memory -1</delete_memory>", [(OpKind.DELETE, "Memory -1", None, Outcome.MALFORMED)]),
        (
            "<delete_memory>" + "9" * 5000 + "</delete_memory>",
            [(OpKind.DELETE, "9" * 5000, None, Outcome.MALFORMED)],
        ),
        ("<update_memory>{2: new: text}</update_memory>", [(OpKind.UPDATE, "new: text", 2, None)]),
        ("<update_memory>Memory 2: 1931 opened</update_memory>", [(OpKind.UPDATE, "1931 opened", 2, None)]),
        ("<update_memory>new text</update_memory>", [(OpKind.UPDATE, "new text", None, Outcome.MALFORMED)]),
        ("<think><create_memory>a</create_memory></think>", []),
        ("<think><create_memory>never closed</create_memory>", []),
        ("<think>x</think><read_memory>q</read_memory>", [(OpKind.READ, "q", None, None)]),
    ],
)
def test_what_is_written_is_what_is_parsed(reply: str, expected: list[object]) -> None:
    assert parse(reply) == expected


def test_update_memory_means_the_scratchpad_in_the_released_tags() -> None:
    reply = "<update_memory>Memory 1: x</update_memory>"
    assert parse(reply, "released") == [(OpKind.SCRATCHPAD, "Memory 1: x", None, None)]
    assert parse(reply, "paper") == [(OpKind.UPDATE, "x", 1, None)]


@pytest.mark.parametrize(
    ("name", "reply", "text", "tagged"),
    [
        ("paper", "I think <answer> Paris </answer>", "Paris", True),
        ("paper", "<answer>Rome</answer> no: <answer>Paris</answer>", "Paris", True),
        ("paper", "<answer>Paris", "Paris", True),
        ("paper", "Paris", "Paris", False),
        ("paper", "<create_memory>x</create_memory> Paris", "Paris", False),
        ("paper", "<create_memory>Paris", "", False),
        ("paper", "<think>Rome</think>\nParis", "Paris", False),
        ("paper", "", "", False),
        ("released", r"<final_answer>\boxed{a {b} c}</final_answer>", "a {b} c", True),
        ("released", r"<final_answer>\boxed{Paris</final_answer>", "Paris", True),
        ("released", "<final_answer>Paris</final_answer>", "Paris", True),
    ],
)
def test_answers(name: str, reply: str, text: str, tagged: bool) -> None:
    answer = dialect.load(name).answer(reply)
    assert (answer.text, answer.tagged, answer.reply) == (text, tagged, reply)


def test_dropped_operations_leave_manual_example_and_prompt() -> None:
    spoken = dialect.load("paper")
    fields = {"questions": "Q?", "scratchpad": "notes", "query": "q", "memories": "m", "chunk": "c", "reads_left": "3"}
    whole = "\n".join(m.content for m in spoken.messages("reading", fields))
    for tag in ("create_memory", "read_memory", "update_memory", "delete_memory", "update_scratchpad"):
        assert tag in whole
    less = spoken.messages("reading", fields, frozenset({OpKind.DELETE, OpKind.SCRATCHPAD, OpKind.READ}))
    text = "\n".join(m.content for m in less)
    for gone in ("delete_memory", "update_scratchpad", "read_memory", "notes", "Current query", "3 more times"):
        assert gone not in text
    assert "create_memory" in text


def test_text_of_users_and_models_is_never_a_template() -> None:
    spoken = dialect.load("paper")
    message = spoken.messages("closed_book", {"question": "what is $chunk ${x} $$?"})[0]
    assert "what is $chunk ${x} $$?" in message.content
    assert spoken.memories([MemoryEntry(1, "$number"), MemoryEntry(2, "b")]) == "Memory 1: $number\nMemory 2: b"


def test_unknown_dialect_is_suggested() -> None:
    with pytest.raises(UsageError, match="did you mean 'paper'"):
        dialect.load("papers")


def test_a_hundred_thousand_hostile_replies_parse_without_exception() -> None:
    dice = random.Random(7)
    spoken = dialect.load("paper")
    tags = [
        f"<{s}{t}>" for t in ("create_memory", "update_memory", "delete_memory", "answer", "think") for s in ("", "/")
    ]
    pieces = [*tags, "Memory 1: x", "Memory", "999999999999", "<", ">", "</", "\x00", "\ud83d", "${x}", "\\boxed{", "}"]
    for _ in range(100_000):
        reply = "".join(dice.choices(pieces, k=dice.randint(0, 9)))
        ops = spoken.parse(reply)
        assert len(ops) <= reply.count("<")
        spoken.answer(reply)


def test_parsing_is_linear_in_the_reply() -> None:
    spoken = dialect.load("paper")
    for piece in ("<create_memory>", "<answer>", "<think>", "</create_memory>", "<" * 10, r"\boxed{"):
        reply = piece * 20_000
        assert len(spoken.parse(reply)) <= 20_000
        spoken.answer(reply)
