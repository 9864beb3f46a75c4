"""A diary: one entry a chunk, in the policy's words; each question reads those that are nearest to it."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from atommem_cli import AgentOptions as Options
from atommem_cli import Episode, Expects, MemoryOp, Observation, OpKind, Speaker, apply, ask

__all__ = ["Options", "build"]


def build(options: Options) -> Diary:
    """The agent."""
    return Diary(options)


class Diary(Speaker):
    """Writes down every chunk, once, and changes nothing any more."""

    name = "diary"
    calls_per_chunk = 1
    operations = (OpKind.CREATE, OpKind.READ)

    def play(self, episode: Episode) -> Generator[Any, Any, None]:
        for chunk in episode.chunks:
            fields = {"chunk": chunk.text, "scratchpad": "", "questions": self.questions(episode)}
            prompt = self.dialect.messages("notes", fields, episode.memory.untold)
            observation = Observation(prompt, episode.limits.reply, Expects.NOTES, chunk=chunk.index)
            reply = yield from ask(observation)
            yield from apply(self.parse(Expects.NOTES, reply.text, episode.marks))
        for number, question in enumerate(episode.task.questions):
            yield from apply([MemoryOp(OpKind.READ, question.text)])
            yield from self.read_answer(episode, number, {"memories": self.memories(episode)})

    def parse(self, expects: Expects, reply: str, *marks: Any) -> tuple[MemoryOp, ...]:
        ops = super().parse(expects, reply, *marks)
        return tuple(MemoryOp(OpKind.CREATE, op.text) for op in ops) if expects is Expects.NOTES else ops
