"""What an agent was shown of the documents, chunk by chunk."""

from __future__ import annotations

import bisect
from collections.abc import Sequence

from atommem_cli.core.chunking import Span, chunks_at, render
from atommem_cli.core.episode import shows_of
from atommem_cli.core.types import Chunk, Shows, Task
from atommem_cli.runs.layout import Line
from atommem_cli.runs.reader import Run


def material(run: Run, task: Task, line: Line) -> tuple[Chunk, ...]:
    """What the agent read or showed of a task.

    Of one that shows everything at once: the stream without the middle that did not fit the window. The journal has
    one number for that, of the task's longest question: others may have been shown a few tokens more than this.
    """
    shows = shows_of(run.agent)
    if shows is not Shows.WHOLE:
        return () if shows is Shows.NOTHING else run.chunks(task)
    whole, _ = render(task.documents)
    pieces = [(0, len(whole))]
    if line["truncated_tokens"] and run.recipe.window() is not None:
        tokens = run.tokenizer.spans(whole)
        room = max(0, len(tokens) - line["truncated_tokens"])
        head, tail = room - room // 2, room // 2
        ends = (tokens[head - 1][1] if head else 0, tokens[-tail][0] if tail else len(whole))
        pieces = [(0, ends[0]), (ends[1], len(whole))]
    return chunks_at(task.documents, ((a, b, 0) for a, b in pieces))


def needs_tokenizer(run: Run) -> bool:
    """Whether the policy's tokenizer must say what was shown: the run did not write down all that it takes.

    Raises:
        SourceError: a line of the run is damaged.
    """
    if shows_of(run.agent) is Shows.WHOLE and any(line["truncated_tokens"] for line in run.episodes.values()):
        return True
    return any(line["task"] not in run.cuts.lines for line in run.episodes.values())


class Coverage:
    """Which characters of the stream have been seen so far."""

    def __init__(self, task: Task, chunks: Sequence[Chunk]) -> None:
        self._task = task
        self._chunks = {chunk.index: chunk for chunk in chunks}
        self._text, self._documents = render(task.documents)
        self._spans = {chunk.index: (chunk.start, chunk.start + len(chunk.text)) for chunk in chunks}
        self._seen: list[Span] = []

    def show(self, chunk: int) -> frozenset[int]:
        """A chunk is shown; the documents in it, or none if it was shown before."""
        if chunk not in self._spans or self._spans[chunk] in self._seen:
            return frozenset()
        bisect.insort(self._seen, self._spans[chunk])
        return frozenset(self._chunks[chunk].documents)

    def hide(self, chunk: int) -> frozenset[int]:
        """A chunk that is shown is so no more; the documents in it."""
        self._seen.remove(self._spans[chunk])
        return frozenset(self._chunks[chunk].documents)

    def show_all(self) -> None:
        """Every chunk is shown."""
        self._seen = sorted(self._spans.values())

    def covers(self, document: int, text: str) -> bool:
        """Whether all of a text of a document has been shown; of the whole document, if that does not hold it."""
        whole = self._task.documents[document].text
        at = max(whole.find(text), 0) if text in whole else 0
        length = len(text) if text in whole else len(whole)
        start = self._documents[document][1] - len(whole) + at
        end = start + length
        for a, b in self._seen:
            if a > start and self._text[start:a].strip():
                return False
            start = max(start, b)
            if start >= end:
                return True
        return not self._text[start:end].strip()
