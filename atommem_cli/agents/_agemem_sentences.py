"""Chunks whose documents are cut to their first sentences, as the contexts of AgeMem's code are (papers.md 2.5)."""

from __future__ import annotations

import re
from itertools import islice

from atommem_cli.core import chunking
from atommem_cli.core.chunking import Span
from atommem_cli.core.episode import Episode
from atommem_cli.core.headings import quoted_document
from atommem_cli.core.types import Chunk, Document

_ENDS = re.compile(r"[.!?。！？][\"'”’)\]]*(?=\s)")
"""Ends of sentences but the last one; an abbreviation ends one, too."""


class Beginnings:
    """The first sentences of a task's documents."""

    def __init__(self, episode: Episode, most: int) -> None:
        """
        Args:
            most: sentences of each document.
        """
        self._episode = episode
        documents = episode.task.documents
        stream, spans = chunking.render(documents)
        self._gone = [_rest(document, end, most) for document, (_, end) in zip(documents, spans, strict=True)]
        """What of the stream is left out, for each document."""
        self._stream = stream

    def of(self, chunk: Chunk) -> str:
        """What a chunk shows; the tokens of the rest are counted as never shown."""
        kept, at, end = [], chunk.start, chunk.start + len(chunk.text)
        for first, last in (self._gone[i] for i in chunk.documents):
            if first < end and at < last:
                kept.append(self._stream[at : max(at, first)])
                left_out = self._stream[max(at, first) : min(end, last)]
                self._episode.truncated_tokens += len(self._episode.tokenizer.spans(left_out))
                at = min(end, last)
        return "".join([*kept, self._stream[at:end]])


def _rest(document: Document, end: int, most: int) -> Span:
    """Where a document goes on after its first sentences, in a stream in which it has this end."""
    text = quoted_document(document.text)
    last = next(islice(_ENDS.finditer(text), most - 1, None), None)
    return end - len(text) + (last.end() if last else len(text)), end
