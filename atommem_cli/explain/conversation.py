"""What the conversation of an agent whose prompts grow carries of each gold fact, message by message.

The text of a chunk counts by what it covers, whatever else its message says: so a fact may be split over messages,
and of a document there is nothing to guess. All the rest (replies, results of tools, summaries) is read as a text of
the memory is; what a question asks is no statement, and marks of JSON and tags are none either.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

from atommem_cli.core.chunking import Span
from atommem_cli.core.types import Chunk, Task
from atommem_cli.explain.coverage import Coverage
from atommem_cli.explain.trail import Trail
from atommem_cli.scoring.stream_reader import key_of

_ESCAPED = re.compile(r"\\(?:u([0-9a-fA-F]{4})|(.))")
_MARKS = re.compile(r'["{}<>\[\]]')


class Conversation:
    """The messages of one episode's context, and what they carry; tells it to the trails."""

    def __init__(self, task: Task, chunks: Sequence[Chunk], trails: Sequence[Trail]) -> None:
        self._task = task
        self._chunks = {chunk.index: chunk for chunk in chunks}
        self._trails = trails
        self._view = Coverage(task, chunks)
        self._shows: dict[int, int] = {}
        """By message: the chunk in it."""
        self._held: Counter[Span] = Counter()
        """By stretch of the stream: messages that show it."""
        said: dict[tuple[str, str], list[int]] = defaultdict(list)
        for number, document in enumerate(task.documents):
            if document.event is not None:
                said[key_of(document.event)].append(number)
        self._rivals = [tuple(self._others(trail, said)) for trail in trails]
        """By trail: documents that state another value."""

    def hear(self, message: int, text: str, chunk: int | None) -> None:
        """A prompt shows a message for the first time.

        Args:
            chunk: the one that the prompt shows, if any, in whichever of its messages.
        """
        shown = self._chunks[chunk].text.strip() if chunk in self._chunks else ""
        holding = [said for said in (text, unescaped(text)) if shown and shown in said]
        if chunk is not None and holding:
            text = holding[0].replace(shown, "\n", 1)
            self._shows[message] = chunk
            self._held[self._span(chunk)] += 1
            self._cover(self._view.show(chunk))
        self.put(message, text)

    def put(self, message: int, text: str) -> None:
        """A message that holds no chunk stands there now."""
        for question in self._task.questions:
            text = text.replace(question.text, "\n")
        plain = _MARKS.sub("\n", unescaped(text))
        for trail in self._trails:
            reading = trail.read(plain)
            states = reading.states or (trail.event is None and plain != text and trail.read(text).states)
            if states:
                trail.context.states.add(message)
            if reading.contradicts:
                trail.context.contradicts.add(message)

    def take_out(self, message: int) -> None:
        """A message goes; one that no prompt ever showed leaves no trace."""
        for trail in self._trails:
            trail.context.states.discard(message)
            trail.context.contradicts.discard(message)
        chunk = self._shows.pop(message, None)
        if chunk is not None:
            self._held[self._span(chunk)] -= 1
            if not self._held[self._span(chunk)]:
                self._cover(self._view.hide(chunk))

    def _span(self, chunk: int) -> Span:
        start = self._chunks[chunk].start
        return start, start + len(self._chunks[chunk].text)

    def _cover(self, documents: frozenset[int]) -> None:
        """Parts of these documents are shown, or are not any more."""
        for trail, rivals in zip(self._trails, self._rivals, strict=True):
            if not documents.isdisjoint(trail.documents):
                trail.context.covered = self._any(trail.documents, trail.support.text)
            if not documents.isdisjoint(rivals):
                trail.context.overturned = self._any(rivals)

    def _any(self, documents: Iterable[int], text: str | None = None) -> bool:
        told = ((d, self._task.documents[d].text if text is None else text) for d in documents)
        return any(self._view.covers(document, text) for document, text in told)

    def _others(self, trail: Trail, said: Mapping[tuple[str, str], Sequence[int]]) -> Iterator[int]:
        if trail.event is not None:
            for number in said[key_of(trail.event)]:
                event = self._task.documents[number].event
                if event is not None and event.value not in (None, trail.event.value):
                    yield number


def unescaped(text: str) -> str:
    """A text without the escapes of JSON."""
    return _ESCAPED.sub(_character, text) if "\\" in text else text


def _character(escape: re.Match[str]) -> str:
    if escape[1]:
        return chr(int(escape[1], 16))
    return "\n" if escape[2] in "nrt" else escape[2]
