"""The AtomMem agent (arXiv 2601.08323, 4.1): scratchpad, vector store and atomic CRUD operations.

Each step is one call without dialogue history: questions, scratchpad, persistent query, retrieved entries
and one chunk; the reply's operations run in order. Our rules where the released code stalls (papers.md
1.2): a reply that does nothing but read successfully sees the same chunk again, at most `limits.reads`
times in a row; every other reply, an unreadable one too, moves on. After the last chunk the questions
come one at a time; a reply without answer tags that reads is asked again, under the same limit.
"""

from __future__ import annotations

from collections.abc import Sequence

from atommem_cli.agents._steps import Options, Speaker, all_questions
from atommem_cli.episode import Episode, Play, apply, ask
from atommem_cli.types import Answer, Chunk, Expects, Observation, OpKind, OpResult, Outcome

__all__ = ["Options", "build"]


def build(options: Options) -> AtomMem:
    """The agent."""
    return AtomMem(options)


class AtomMem(Speaker):
    """Reads chunk by chunk, manages its memory, answers from it."""

    name = "atommem"
    calls_per_chunk = 1
    reads_again = True
    operations = tuple(OpKind)

    def play(self, episode: Episode) -> Play:
        for chunk in episode.chunks:
            for reads_left in range(episode.limits.reads, -1, -1):
                reply = yield from ask(self._reading(episode, chunk, reads_left))
                results = yield from apply(self.parse(Expects.OPERATIONS, reply.text))
                if not (_reads(results) and all(r.op.kind is OpKind.READ for r in results)):
                    break
        for question in range(len(episode.task.questions)):
            for reads_left in range(episode.limits.reads, -1, -1):
                reply = yield from ask(self.answering(episode, question, self._view(episode), reads_left=reads_left))
                results = yield from apply(self.parse(Expects.ANSWER, reply.text))
                answer = self.dialect.answer(reply.text)
                if answer.tagged or not _reads(results):
                    episode.give(question, answer)
                    break
                episode.give(question, Answer("", reply.text))

    def _reading(self, episode: Episode, chunk: Chunk, reads_left: int) -> Observation:
        fields = {**self._view(episode), "questions": all_questions(episode), "chunk": chunk.text}
        if reads_left:
            fields["reads_left"] = str(reads_left)
        return Observation(
            self.dialect.messages("reading", fields, episode.memory.untold),
            episode.limits.reply,
            Expects.OPERATIONS,
            chunk=chunk.index,
            reads_left=reads_left,
        )

    def _view(self, episode: Episode) -> dict[str, str]:
        """Retrieve with the persistent query and show the memory."""
        memory = episode.memory
        shown = memory.show()
        return {
            "scratchpad": memory.scratchpad,
            "query": memory.query,
            "memories": self.dialect.memories(shown),
        }


def _reads(results: Sequence[OpResult]) -> bool:
    return any(r.op.kind is OpKind.READ and r.outcome is Outcome.OK for r in results)
