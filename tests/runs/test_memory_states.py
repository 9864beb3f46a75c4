"""Memory and context after every operation: the same as a copy at each step, and one text per change."""

from __future__ import annotations

import tracemalloc
from collections import Counter
from random import Random
from typing import Any

import pytest

from atommem_cli.core.context import Context
from atommem_cli.core.types import MemoryOp, OpKind, Outcome
from atommem_cli.runs.layout import op_line
from atommem_cli.runs.memory_states import moments, states


def operation(kind: str, entry: int | None, text: str, outcome: str = "ok") -> dict[str, Any]:
    return {"kind": kind, "text": text, "outcome": outcome, "entry": entry}


def test_every_moment_is_what_a_copy_of_the_memory_would_be() -> None:
    dice = Random(5)
    held: dict[int, str] = {}
    copies, steps, created = [], [], 0
    for step in range(60):
        ops = []
        for _ in range(dice.randrange(4)):
            kind = dice.choice(["create", "update", "delete", "read"])
            if kind == "create" or not held:
                created += 1
                held[created] = text = f"text {step}"
                ops.append(operation("create", created, text))
            elif kind == "update":
                entry = dice.choice([*held])
                held[entry] = f"new {step}"
                ops.append(operation("update", entry, held[entry]))
            elif kind == "delete":
                entry = dice.choice([*held])
                del held[entry]
                ops.append(operation("delete", entry, ""))
            else:
                ops.append(operation("update", None, "x", "invalid_target"))
            copies.append(dict(held))
        steps.append({"step": step, "ops": ops})
    seen = list(moments(steps))
    assert [dict(moment.entries) for moment in seen] == copies
    assert [len(moment.entries) for moment in seen] == [len(copy) for copy in copies]
    assert seen[-1].entries == copies[-1]
    with pytest.raises(KeyError):
        seen[0].entries[created]


def test_memory_grows_with_the_entries_and_not_with_their_square() -> None:
    def peak(entries: int) -> int:
        steps = [{"step": 0, "ops": [operation("create", number, f"t{number}") for number in range(1, entries + 1)]}]
        tracemalloc.start()
        kept = list(moments(steps))
        assert len(kept[-1].entries) == entries
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    assert peak(4000) < 2.5 * peak(2000)


def test_the_conversation_is_that_of_the_agent_at_every_step() -> None:
    """Summaries of summaries, refusals, prompts that show a part of it, and messages that go before any prompt showed
    them included."""
    dice = Random(11)
    context = Context()
    lines, prompts, copies = [], [], []
    made, late, known, outcomes = 0, 0, set(), Counter()
    for step in range(200):
        for _ in range(dice.randrange(3)):
            made = context.add(dice.choice(["system", "user", "user"]), f"text {step} {dice.random()}")
        prompt = [message for message in context.messages if dice.random() < 0.7]
        new = [[one.id, one.message.role, one.message.content] for one in context.take_shown(prompt)]
        known |= {message for message, *_ in new}
        late += bool(new) and new[0][0] < max(message for message, *_ in told(context) if message in known)
        prompts.append([message for message in told(context) if message[0] in known])
        made = context.add("assistant", f"reply {step}")
        ops = []
        for _ in range(dice.randrange(3)):
            targets = tuple(dice.randrange(max(1, made - 8), made + 2) for _ in range(dice.randrange(4)))
            op = MemoryOp(dice.choice([OpKind.SUMMARIZE, OpKind.FILTER]), f" sum {step} ", targets=targets)
            (result,) = context.apply([op])
            outcomes[op.kind, result.outcome] += 1
            known.add(result.entry)
            ops.append(op_line(result))
            copies.append([message for message in told(context) if message[0] in known])
        lines.append({"step": step, **({"context": new} if new else {}), "ops": ops})
    steps = list(states(lines))
    assert [[(one.id, one.role, one.text) for one in step.context] for step in steps] == prompts
    assert [[(one.id, one.role, one.text) for one in m.context] for m in moments(lines)] == copies
    assert [[one.id for one in step.heard] for step in steps] == [
        [message for message, *_ in line.get("context", ())] for line in lines
    ]
    assert late > 20
    assert all(outcomes[kind, Outcome.OK] > 20 for kind in (OpKind.SUMMARIZE, OpKind.FILTER))
    assert {Outcome.NOOP, Outcome.INVALID_TARGET} < {outcome for _, outcome in outcomes}


def told(context: Context) -> list[tuple[int, str, str]]:
    return [(one.id, one.message.role, one.message.content) for one in context.entries]
