"""The AtomMem agent (arXiv 2601.08323, 4.1): scratchpad, vector store and atomic CRUD operations.

Each step is one call without dialogue history: questions, scratchpad, persistent query, retrieved entries
and one chunk; the reply's operations run in order. Our rules where the released code stalls (papers.md
1.2): a reply that does nothing but read successfully sees the same chunk again, at most `limits.reads`
times in a row; every other reply, an unreadable one too, moves on. `advance: write` is the released code's
rule. After the last chunk the questions come one at a time; a reply without answer tags that reads is asked
again, under the same limit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import Field

from atommem_cli.agents import _steps
from atommem_cli.agents._steps import Speaker
from atommem_cli.core.calls import Expects, Observation
from atommem_cli.core.episode import Episode, Play, apply, ask
from atommem_cli.core.types import MEMORY_OPS, Answer, Chunk, OpKind, OpResult, Outcome

__all__ = ["Options", "build"]


SPARE = 40
"""Further calls of an episode under `advance: write`; the released code ends it after as many steps in all."""


class Options(_steps.Options):
    """Keys of the recipe's `agent` section."""

    advance: Literal["reply", "write"] = Field("reply", exclude_if=lambda value: value == "reply")
    """After which replies the next chunk comes. reply: after every one that does more than read. write: after those
    alone that create or update, whatever becomes of it (RUCBM/AtomMem@7b50580, papers.md 1.2); all others see the
    chunk again, with what was found: those that only read at most `limits.reads` times in a row, the rest at most 40
    times an episode (bound it with `budget.calls: 41` as there)."""

    reread: bool = Field(False, exclude_if=lambda value: not value)
    """Whether a Read of what is looked up already counts as one: its reply sees the chunk or question again, too."""


def build(options: Options) -> AtomMem:
    """The agent."""
    return AtomMem(options)


class AtomMem(Speaker):
    """Reads chunk by chunk, manages its memory, answers from it."""

    name = "atommem"
    calls_per_chunk = 1
    reads_again = True
    operations = MEMORY_OPS

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self.spare_calls = SPARE if options.advance == "write" else 0
        self._read = (Outcome.OK, Outcome.NOOP) if options.reread else (Outcome.OK,)

    def play(self, episode: Episode) -> Play:
        most, spare = episode.limits.reads, self.spare_calls
        for chunk in episode.chunks:
            reads = 0
            while True:
                reply = yield from ask(self._reading(episode, chunk, reads))
                results = yield from apply(self.parse(Expects.OPERATIONS, reply.text, episode.marks))
                if self._reads(results) and all(r.op.kind is OpKind.READ for r in results):
                    reads += 1
                    if reads > most:
                        break
                elif spare and not any(r.op.kind in _WRITES and r.op.defect is None for r in results):
                    spare -= 1
                    reads = 0
                else:
                    break
        for question in range(len(episode.task.questions)):
            for reads in range(most + 1):
                material = {**self._view(episode), **_counter(episode, reads)}
                reply = yield from ask(
                    self.answering(episode, question, material, reads_left=most - reads, operating=True)
                )
                results = yield from apply(self.parse(Expects.ANSWER, reply.text, episode.marks))
                answer = self.dialect.answer(reply.text, episode.marks)
                if answer.tagged or not self._reads(results):
                    episode.give(question, answer)
                    break
                episode.give(question, Answer("", answer.reply))

    def _reading(self, episode: Episode, chunk: Chunk, reads: int) -> Observation:
        reads_left = episode.limits.reads - reads
        fields = {
            **self._view(episode),
            **_counter(episode, reads),
            "questions": self.questions(episode),
            "chunk": chunk.text,
        }
        if reads_left:
            fields["reads_left"] = str(reads_left)
        return Observation(
            self.dialect.messages("reading", fields, episode.memory.untold, operating=True),
            episode.limits.reply,
            Expects.OPERATIONS,
            chunk=chunk.index,
            reads_left=reads_left,
        )

    def _view(self, episode: Episode) -> dict[str, str]:
        """Retrieve with the persistent query and show the memory."""
        memory = episode.memory
        return {"scratchpad": memory.scratchpad, "query": memory.query, "memories": self.memories(episode)}

    def _reads(self, results: Sequence[OpResult]) -> bool:
        return any(r.op.kind is OpKind.READ and r.op.text.strip() and r.outcome in self._read for r in results)


_WRITES = (OpKind.CREATE, OpKind.UPDATE)


def _counter(episode: Episode, reads: int) -> dict[str, str]:
    return {"reads_done": str(reads), "reads_most": str(episode.limits.reads)}
