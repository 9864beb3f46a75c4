"""An episode step by step, as lines for a terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain

from atommem_cli.core.safe_text import visible
from atommem_cli.replay.episode_view import Book, EntryChange, Operation, Page, Reckoning
from atommem_cli.runs.memory_states import Said

NARROW = 40
"""Columns that a page needs at least."""
MOST = 20
"""Steps and questions of an episode, and memories, operations and changes of a step; of more the middle is counted."""


_MARGIN = 14


def lines(shown: Book, width: int = 100, *, full: bool = False) -> Iterator[str]:
    """The episode as plain text, without colours; safe to print, whatever a model wrote.

    Args:
        width: columns; of a text that takes more than two lines the middle is left out.
        full: everything else, however many (`MOST`).
    """
    width = max(width, NARROW)
    usage = shown.usage
    yield shortened(f"{shown.episode}: {shown.stop}", width)
    if shown.error:
        yield from _field("error", shown.error, width)
    used = (
        f"{usage['calls']} calls, {usage['prompt_tokens']} prompt tokens, {usage['new_tokens']} new tokens, "
        f"{len(shown.operations)} operations, at most {usage['entries']} entries, {usage['reads']} reads"
    )
    yield from _field("used", used, width)
    yield from _some([_page(page, width, full, shown.by_id) for page in shown.pages], "steps", width, full)
    yield ""
    yield _rule(f"the end, memory {shown.memory}", width)
    labels = [f" {number}" for number in range(1, len(shown.answers) + 1)] if len(shown.answers) > 1 else [""]
    answers = [_answer(one, label, width) for one, label in zip(shown.answers, labels, strict=True)]
    yield from _some(answers, "questions", width, full)


def _some(parts: Sequence[Iterable[str]], what: str, width: int, full: bool) -> Iterator[str]:
    """The lines of all parts; of more than `MOST` the middle is counted instead, unless all are asked for."""
    left = 0 if full else max(0, len(parts) - MOST)
    head = (len(parts) - left) // 2 if left else len(parts)
    yield from chain.from_iterable(parts[:head])
    if left:
        yield from _field("…", f"{left:,} more {what}: --full", width)
    yield from chain.from_iterable(parts[head + left :])


def _page(page: Page, width: int, full: bool, ids: bool) -> Iterator[str]:
    yield ""
    where = f"stage {page.stage}, {page.heading}" if page.stage else page.heading
    yield _rule(f"step {page.step}: {where}" if page.step >= 0 else page.heading, width)
    if page.step >= 0:
        yield from _field("shown", page.shown, width)
        if page.scratchpad:
            yield from _field("scratchpad", page.scratchpad, width)
        if page.query:
            yield from _field("query", page.query, width)
        told = enumerate(page.memories, start=1)
        named = [(f"entry {i}", text) if ids else (f"Memory {n}", f"{text}  (entry {i})") for n, (i, text) in told]
        memories = [_field(name, text, width) for name, text in named]
        yield from _some(memories, "memories", width, full)
        if page.context:
            yield from _field("context", f"{page.context} messages, {len(page.heard)} of them new", width)
        yield from _some([_heard(one, width) for one in page.heard], "new messages", width, full)
        yield from _field("reply", page.reply + ("" if page.finish == "stop" else f"  ({page.finish})"), width)
    if page.error:
        yield from _field("error", page.error, width)
    yield from _some([_operation(one, width) for one in page.operations], "operations", width, full)
    yield from _some([_change(one, width) for one in page.changes], "changes", width, full)


def _answer(one: Reckoning, label: str, width: int) -> Iterator[str]:
    yield from _field(f"question{label}", one.question.text, width)
    yield from _field("answer", one.answer + ("" if one.tagged or not one.answer else "  (without tags)"), width)
    yield from _field("gold", " | ".join(one.question.answers), width)
    yield from _field("scores", ", ".join(f"{name} {score:g}" for name, score in one.scores.items()), width)


def _heard(one: Said, width: int) -> Iterator[str]:
    return _field(f"message {one.id}", f"{one.role}: {one.text}", width)


def _operation(one: Operation, width: int) -> Iterator[str]:
    return _field(f"{'!' if one.refused else ' '}{one.number:>4}", described(one), width)


def _change(one: EntryChange, width: int) -> Iterator[str]:
    what = f"{one.old or '(nothing)'} -> {one.new}" if one.sign == "~" else one.new or one.old
    return _field(f"{one.sign} {one.place}", what, width)


def described(operation: Operation) -> str:
    """What an operation is and what became of it, on one line."""
    place = f" {operation.addressed}" if operation.addressed else ""
    text = f": {operation.text}" if operation.text else ""
    outcome = operation.outcome.replace("_", " ")
    if operation.refused:
        outcome = f"refused: {outcome}"
    what = "message" if operation.targets else "entry"
    entry = f", {what} {operation.entry}" if operation.entry is not None else ""
    by = ", by the agent" if operation.automatic else ""
    return f"{operation.kind} [{outcome}{by}{entry}]{place}{text}"


def _field(name: str, text: str, width: int) -> Iterator[str]:
    """A name and its text on about two lines."""
    room = max(width - _MARGIN, NARROW // 2)
    wrapped = textwrap.wrap(shortened(text, 2 * room - 8), room, break_on_hyphens=False) or ["(nothing)"]
    yield f"  {name:<{_MARGIN - 3}} {wrapped[0]}"
    for more in wrapped[1:]:
        yield " " * _MARGIN + more


def shortened(text: str, most: int) -> str:
    """A text of at most `most` characters on one line, its middle left out, nothing in it that moves a cursor."""
    ends = text if len(text) <= 4 * most else text[: 2 * most] + text[-2 * most :]
    flat = " ".join(visible(ends).split())
    if len(flat) <= most:
        return flat
    note = f" … {len(text):,} characters … "
    tail = max(0, most - len(note)) // 3
    return f"{flat[: max(0, most - len(note)) - tail]}{note}{flat[len(flat) - tail :]}"


def _rule(text: str, width: int) -> str:
    return f"--- {shortened(text, width - 8)} ".ljust(width, "-")
