"""MemAgent (arXiv 2507.02259): one text, overwritten whole after every chunk; no retrieval.

Thoughts are no notes, and a reply without any (empty, or a thought cut at its limit) keeps the old ones.
"""

from __future__ import annotations

from atommem_cli.agents._steps import Options, Speaker
from atommem_cli.core.calls import Expects, Observation
from atommem_cli.core.episode import Episode, Play, apply, ask
from atommem_cli.core.types import OpKind

__all__ = ["Options", "build"]


def build(options: Options) -> MemAgent:
    """The agent."""
    return MemAgent(options)


class MemAgent(Speaker):
    """Rewrites its notes chunk by chunk and answers from them."""

    name = "memagent"
    calls_per_chunk = 1
    operations = (OpKind.SCRATCHPAD,)

    def play(self, episode: Episode) -> Play:
        for chunk in episode.chunks:
            fields = {
                "questions": self.questions(episode),
                "scratchpad": episode.memory.scratchpad,
                "chunk": chunk.text,
            }
            reply = yield from ask(
                Observation(
                    self.dialect.messages("notes", fields),
                    episode.limits.reply,
                    Expects.NOTES,
                    chunk=chunk.index,
                )
            )
            yield from apply(self.parse(Expects.NOTES, reply.text, episode.marks))
        for question in range(len(episode.task.questions)):
            yield from self.read_answer(episode, question, {"scratchpad": episode.memory.scratchpad})
