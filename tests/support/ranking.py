"""An agent that does not let its policy retrieve: a helper notes facts, the agent ranks them itself.

A plug-in as any other (`--agent tests/support/ranking.py --set 'helpers.notes={name: scripted, script: ...}'`). Every
entry has the number of its chunk with it, and its rank is similarity times recency, as in Generative Agents
(arXiv 2304.03442, 4.1); the question sees the best ones, which the journal then has as shown.
"""

from __future__ import annotations

from atommem_cli import AgentOptions as Options
from atommem_cli import Expects, MemoryOp, Observation, OpKind, Speaker, Text, apply, ask, embed
from atommem_cli.core.episode import Episode, Play

__all__ = ["Options", "build"]

DECAY = 0.9


class Ranking(Speaker):
    name = "ranking"
    calls_per_chunk = 1
    operations = (OpKind.CREATE,)
    embeds = True
    helpers = ("notes",)

    def play(self, episode: Episode) -> Play:
        for chunk in episode.chunks:
            fields = {"questions": self.questions(episode), "chunk": chunk.text, "memories": ""}
            prompt = self.dialect.messages("reading", fields, episode.memory.untold)
            reply = yield from ask(
                Observation(prompt, episode.limits.reply, Expects.OPERATIONS, chunk=chunk.index), to="notes"
            )
            found = self.parse(Expects.OPERATIONS, reply.text, episode.marks)
            texts = [op.text for op in found if op.kind is OpKind.CREATE and op.defect is None]
            yield from apply([MemoryOp(OpKind.CREATE, text, meta=(("chunk", str(chunk.index)),)) for text in texts])
        for number, question in enumerate(episode.task.questions):
            entries = episode.memory.entries
            vectors = yield from embed([Text(question.text, True), *(Text(entry.text, False) for entry in entries)])
            newest = len(episode.chunks) - 1  # what `what-if` puts there has no chunk
            ages = [1 + newest - int(dict(entry.meta).get("chunk", newest)) for entry in entries]
            worth = [float(vector @ vectors[0]) * DECAY**age for vector, age in zip(vectors[1:], ages, strict=True)]
            best = sorted(range(len(entries)), key=lambda i: (-worth[i], i))[: episode.memory.k]
            shown = episode.memory.present([entries[i].id for i in best])
            yield from self.read_answer(episode, number, {"memories": self.dialect.memories(shown)})


build = Ranking
