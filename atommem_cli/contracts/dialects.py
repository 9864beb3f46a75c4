"""What a dialect promises, whatever its file says; see `dialect.Dialect`."""

from __future__ import annotations

from atommem_cli.contracts import _said, promises
from atommem_cli.contracts._replies import HOSTILE, broken, operations
from atommem_cli.contracts.promises import insist
from atommem_cli.core.calls import Expects
from atommem_cli.core.safe_text import shown
from atommem_cli.core.types import MEMORY_OPS, MemoryEntry, MemoryOp, OpKind
from atommem_cli.dialects.dialect import Dialect

_ANSWERS = ("Velt", "forty two", "1931", "the mayor of Dorn")


def check(dialect: Dialect) -> None:
    """Insist on every promise of a dialect, as `load` of `dialects` reads it from its file.

    Raises:
        ContractBroken: one sentence.
    """
    promises.check(PROMISES, dialect)


def parse_is_the_inverse_of_write(dialect: Dialect) -> None:
    """Operations come back as they were written, with the numbers of the entries that they name."""
    _said.insist_inverse(lambda ops: dialect.write(Expects.OPERATIONS, ops), dialect.parse, MEMORY_OPS)


def answers_come_back(dialect: Dialect) -> None:
    """An answer comes back as it was written, from between its tags, whatever operations stand beside it."""
    for seed, text in enumerate(_ANSWERS):
        for ops in ([], operations(MEMORY_OPS, seed)):
            reply = dialect.write(Expects.ANSWER, ops, text)
            found = dialect.answer(reply)
            insist(
                (found.text, found.tagged) == (text, True),
                f"the answer {text!r} is written as {shown(reply)} and read as {shown(found.text)}: change tags.answer",
            )


def notes_come_back(dialect: Dialect) -> None:
    """Notes come back whole, and the word for nothing empties them."""
    for text in ("Ada lives in Velt.", "two\nlines", ""):
        reply = dialect.write(Expects.NOTES, [MemoryOp(OpKind.SCRATCHPAD, text)])
        found = dialect.notes(reply)
        insist(
            [(op.kind, op.text) for op in found] == [(OpKind.SCRATCHPAD, text)],
            f"the notes {text!r} are written as {shown(reply)} and read as {shown(found)}: change `nothing`",
        )


def no_reply_raises(dialect: Dialect) -> None:
    """Any reply can be read, without sense and without an exception."""
    whole = [dialect.write(Expects.ANSWER, operations(MEMORY_OPS, seed), "Velt") for seed in range(30)]
    for reply in [*HOSTILE, *whole, *(bent for seed, one in enumerate(whole) for bent in broken(one, seed, 20))]:
        for read in (dialect.parse, dialect.answer, dialect.notes):
            _said.quietly(read, reply, f"`{read.__name__}`")


def prompts_show_what_is_asked(dialect: Dialect) -> None:
    """The prompt of each kind of step shows what it is about: chunk, questions, the one question, the memory."""
    shown_entries = dialect.memories([MemoryEntry(7, "the first entry"), MemoryEntry(9, "the second entry")])
    insist(
        all(word in shown_entries for word in ("1", "the first entry", "2", "the second entry")),
        f"two entries are shown as {shown(shown_entries)}: `memory` shows number and text of each",
    )
    fields = {
        "questions": "which questions", "question": "which question", "scratchpad": "some notes", "query": "some query",
        "memories": shown_entries, "documents": "all documents", "chunk": "this chunk", "reads_left": "3",
        "reads_done": "0", "reads_most": "3",
    }  # fmt: skip
    for section, needed in {
        "reading": ("chunk", "questions", "memories"),
        "notes": ("chunk", "questions", "scratchpad"),
        "reader": ("question", "memories", "documents", "scratchpad"),
        "closed_book": ("question",),
    }.items():
        prompt = "\n".join(message.content for message in dialect.messages(section, fields, operating=True))
        missing = [name for name in needed if fields[name] not in prompt]
        insist(
            not missing,
            f"{section}: the prompt shows no {' and no '.join(missing)}: agents that hand it over are not heard; add "
            f"${{{missing[0] if missing else ''}}}",
        )


PROMISES: tuple[promises.Promise[Dialect], ...] = (
    parse_is_the_inverse_of_write,
    answers_come_back,
    notes_come_back,
    no_reply_raises,
    prompts_show_what_is_asked,
)
"""All of them."""
