"""Vanilla RAG (AtomMem v3, A.3): each document one vector, the question as query, its top-k as material."""

from __future__ import annotations

from atommem_cli.agents._steps import Options, Speaker, document_text
from atommem_cli.core.episode import Episode, Play, apply
from atommem_cli.core.types import MemoryOp, OpKind

__all__ = ["Options", "build"]


def build(options: Options) -> Rag:
    """The agent."""
    return Rag(options)


class Rag(Speaker):
    """Stores every document that the chunks show, then retrieves per question."""

    name = "rag"
    operations = (OpKind.CREATE, OpKind.READ)

    def play(self, episode: Episode) -> Play:
        read = sorted({i for chunk in episode.chunks for i in chunk.documents})
        documents = [episode.task.documents[i] for i in read]
        yield from apply([MemoryOp(OpKind.CREATE, document_text(document)) for document in documents])
        yield from self.look_up_and_answer(episode)
