"""The lines of a run folder: byte for byte as they were, and whatever is not as it is written has a name."""

from __future__ import annotations

import json
from typing import Any

import pytest

from atommem_cli.core.calls import Expects, Finish, Generation, Message, Observation
from atommem_cli.core.types import (
    Answer,
    Chunk,
    MemoryEntry,
    MemoryOp,
    OpKind,
    OpResult,
    Outcome,
    StopReason,
    Trajectory,
    Transition,
    Usage,
)
from atommem_cli.runs import layout

MADE = OpResult(MemoryOp(OpKind.CREATE, "x"), Outcome.OK, 1, "aa", "bb")
GONE = OpResult(
    MemoryOp(OpKind.FILTER, "old", target=0, targets=(1, 2), meta=(("why", "old"),)), Outcome.NOOP, None, "bb", "bb"
)
PLAIN = Transition(
    Observation((Message("user", "hi"),), 10, Expects.OPERATIONS, chunk=0),
    Generation("r", prompt_tokens=7, new_tokens=2),
    (MADE,),
    (MemoryEntry(3, "y"),),
    1,
    0.12345,
)
WHOLE = Transition(
    Observation((Message("user", "hi"),), 10, Expects.ANSWER, question=0, keep_tokens=True),
    Generation("r", Finish.OTHER, prompt_tokens=7, new_tokens=2, token_ids=(5, 6), error="odd"),
    (GONE,),
    (),
    1,
    to="extractor",
    context=((4, Message("tool", "found")),),
)
STEP = (
    '{"episode": "t#0", "step": 2, "expects": "operations", "chunk": 0, "question": null, "prompt": "hash", '
    '"shown": [[3, "y"]], "reply": "r", "finish": "stop", "prompt_tokens": 7, "new_tokens": 2, '
    '"ops": [{"kind": "create", "text": "x", "outcome": "ok", "entry": 1, "before": "aa", "after": "bb"}], '
    '"entries": 1, "seconds": 0.1235}'
)
WHOLE_STEP = (
    '{"episode": "t#0", "step": 2, "expects": "answer", "chunk": null, "question": 0, "to": "extractor", '
    '"prompt": "hash", "context": [[4, "tool", "found"]], "shown": [], "reply": "r", "finish": "other", '
    '"error": "odd", "tokens": [5, 6], "prompt_tokens": 7, "new_tokens": 2, '
    '"ops": [{"kind": "filter", "text": "old", "target": 0, "targets": [1, 2], "meta": [["why", "old"]], '
    '"outcome": "noop", "entry": null, "before": "bb", "after": "bb"}], "entries": 1, "seconds": 0.0}'
)
EPISODE = (
    '{"episode": "t#0", "task": "t", "sample": 0, "stop": "error", "error": "gone", '
    '"answers": [{"text": "a", "tagged": true}], "scores": {"em": [1.0]}, "usage": {"calls": 1, "prompt_tokens": 0, '
    '"new_tokens": 0, "entries": 0, "reads": 0}, "chunks": 1, "truncated_tokens": 4, "memory": "dd", '
    '"context": "cc", "steps": "ee"}'
)
CUT = '{"task": "t", "chunks": [[5, 8, 1]], "digest": "ba7816bf8f01cfea", "left_out": 2}'
CHUNK = Chunk(0, "abc", 5, 1, (0,))
PLAYED = Trajectory(
    "t#0", "t", 0, (Answer("a", tagged=True),), StopReason.ERROR, (), Usage(calls=1), (CHUNK,), truncated_tokens=4,
    error="gone", digest="dd", context="cc",
)  # fmt: skip
LINES: list[tuple[tuple[layout.Key[Any], ...], layout.Line, str]] = [
    (layout.STEP, layout.step_line("t#0", 2, "hash", PLAIN), STEP),
    (layout.STEP, layout.step_line("t#0", 2, "hash", WHOLE), WHOLE_STEP),
    (layout.OPENING, layout.opening_line("t#0", (), ()), '{"episode": "t#0", "step": -1, "ops": []}'),
    (
        layout.OPENING,
        layout.opening_line("t#0", (MemoryEntry(1, "x"),), ()),
        '{"episode": "t#0", "step": -1, "noise": [[1, "x"]], "ops": []}',
    ),
    (layout.EPISODE, layout.episode_line(PLAYED, {"em": [1.0]}, "ee"), EPISODE),
    (layout.CUT, layout.line_of(layout.CUT, layout.Cut("t", (CHUNK,), 2)), CUT),
    (
        layout.VERDICT,
        layout.line_of(layout.VERDICT, layout.Verdict("t#0", "ee", [1.0], ["cut"])),
        '{"episode": "t#0", "steps": "ee", "correct": [1.0], "replies": ["cut"]}',
    ),
]


@pytest.mark.parametrize(("shape", "line", "text"), LINES)
def test_a_line_is_written_byte_for_byte_as_ever(
    shape: tuple[layout.Key[Any], ...], line: layout.Line, text: str
) -> None:
    assert json.dumps(line) == text
    assert layout.misshapen(json.loads(text), shape) is None
    assert layout.holds(json.loads(text), shape)


@pytest.mark.parametrize(("shape", "line", "text"), LINES)
def test_what_is_missing_too_much_or_of_another_type_is_named(
    shape: tuple[layout.Key[Any], ...], line: layout.Line, text: str
) -> None:
    line = json.loads(text)
    for key in shape:
        if key.name not in line:
            continue
        left = {name: value for name, value in line.items() if name != key.name}
        assert layout.misshapen(left, shape) == (None if key.optional else key.name)
        assert layout.holds(left, shape) is (key.optional or not key.needed)
        assert layout.misshapen({**line, key.name: True}, shape) == key.name  # True is no number either
    assert layout.misshapen({**line, "more": 1}, shape) == "more"
    assert layout.holds({**line, "more": 1}, shape)
    assert layout.misshapen([], shape) == ""
    assert not layout.holds([], shape)


def test_a_recorded_reply_is_the_one_that_was_written() -> None:
    assert layout.recorded_reply(json.loads(STEP)) == PLAIN.generation
    assert layout.recorded_reply(json.loads(WHOLE_STEP)) == WHOLE.generation
