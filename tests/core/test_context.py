"""The conversation of an episode, and what a policy may do to it."""

from __future__ import annotations

import pytest

from atommem_cli.core.calls import Generation, Message
from atommem_cli.core.context import Context
from atommem_cli.core.types import MemoryOp, OpKind, Outcome


def conversation(dropped: frozenset[OpKind] = frozenset()) -> Context:
    context = Context(dropped)
    context.add("system", "rules")
    for number in range(3):
        context.add("user", f"chunk {number}")
        context.hear(Generation(f"reply {number}", token_ids=(number, 9)))
    return context


def shown(context: Context) -> list[str]:
    return [message.content for message in context.messages]


def filtered(*targets: int) -> MemoryOp:
    return MemoryOp(OpKind.FILTER, targets=targets)


def test_ids_count_from_one_and_replies_keep_their_tokens() -> None:
    context = conversation()
    assert [entry.id for entry in context.entries] == [1, 2, 3, 4, 5, 6, 7]
    assert context.next_id == 8
    assert context.messages[2] == Message("assistant", "reply 0", (0, 9))


def test_a_filter_takes_messages_out_and_their_ids_are_never_used_again() -> None:
    context = conversation()
    (result,) = context.apply([filtered(2, 3)])
    assert result.outcome is Outcome.OK
    assert result.entry is None
    assert shown(context) == ["rules", "chunk 1", "reply 1", "chunk 2", "reply 2"]
    assert context.add("user", "more") == 8


def test_a_summary_stands_where_the_first_message_stood() -> None:
    context = conversation()
    (result,) = context.apply([MemoryOp(OpKind.SUMMARIZE, " both ", targets=(5, 4))])
    assert (result.outcome, result.entry) == (Outcome.OK, 8)
    assert shown(context) == ["rules", "chunk 0", "reply 0", "both", "chunk 2", "reply 2"]
    assert context.messages[3].role == "user"


@pytest.mark.parametrize(
    ("op", "outcome"),
    [
        (filtered(), Outcome.NOOP),
        (filtered(99), Outcome.INVALID_TARGET),
        (filtered(2, 99), Outcome.INVALID_TARGET),
        (filtered(1), Outcome.INVALID_TARGET),
        (MemoryOp(OpKind.SUMMARIZE, "  ", targets=(2,)), Outcome.NOOP),
        (MemoryOp(OpKind.FILTER, "[", defect=Outcome.MALFORMED), Outcome.MALFORMED),
    ],
)
def test_what_cannot_be_done_is_an_outcome_and_changes_nothing(op: MemoryOp, outcome: Outcome) -> None:
    context = conversation()
    before, digest = shown(context), context.digest
    (result,) = context.apply([op])
    assert (result.outcome, result.before, result.after) == (outcome, digest, digest)
    assert shown(context) == before


def test_a_message_that_the_same_reply_took_out_is_stale_and_later_it_is_unknown() -> None:
    context = conversation()
    first, second = context.apply([filtered(2), filtered(2, 3)])
    assert (first.outcome, second.outcome) == (Outcome.OK, Outcome.STALE_TARGET)
    (later,) = context.apply([filtered(2)])
    assert later.outcome is Outcome.INVALID_TARGET


def test_a_dropped_kind_is_forbidden() -> None:
    (result,) = conversation(frozenset({OpKind.FILTER})).apply([filtered(2)])
    assert result.outcome is Outcome.FORBIDDEN


def test_the_digest_is_of_what_is_there_and_each_edit_names_it_before_and_after() -> None:
    context = conversation()
    results = context.apply([filtered(4), filtered(5)])
    assert results[0].after == results[1].before != results[0].before
    assert results[1].after == context.digest
    other = conversation()
    other.apply([filtered(5, 4)])
    assert other.digest == context.digest
    assert other.digest != conversation().digest


def test_what_a_prompt_shows_first_is_taken_once_and_summaries_are_no_news() -> None:
    context = conversation()
    assert [new.id for new in context.take_shown(context.messages)] == [1, 2, 3, 4, 5, 6, 7]
    context.apply([MemoryOp(OpKind.SUMMARIZE, "all", targets=(2, 3, 4))])
    context.add("user", "next")
    assert [new.message.content for new in context.take_shown(context.messages)] == ["next"]
    assert context.take_shown(context.messages) == ()


def test_what_no_prompt_shows_is_not_taken_until_one_does() -> None:
    context = conversation()
    elsewhere = (Message("user", "something else"), Message("assistant", "chunk 0"))
    assert context.take_shown(elsewhere) == ()
    assert [new.id for new in context.take_shown((*elsewhere, Message("user", "chunk 1")))] == [4]
    context.apply([filtered(2)])
    assert [new.id for new in context.take_shown(context.messages)] == [1, 3, 5, 6, 7]
