"""Documents to token chunks.

AtomMem tokenises the whole context once with the policy's tokenizer; chunk t shows tokens
[C t - o, C (t+1) + o) with C = 4000 and o = 100 (papers.md 1.1; RUCBM/AtomMem 7b50580). We cut the
*text* at the character offsets of those tokens, because decoding tokens does not always give the text back.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

from atommem_cli.core.headings import quoted_document
from atommem_cli.core.types import Chunk, Document

Span = tuple[int, int]


class Tokenizer(Protocol):
    """Counts and locates tokens; the chunker and the budgets need no more."""

    name: str

    def spans(self, text: str) -> Sequence[Span]:
        """Character span [start, end) of each token, in order."""


class WordTokenizer:
    """Words and punctuation marks as tokens: for policies that have no tokenizer of their own."""

    name = "words"

    def spans(self, text: str) -> list[Span]:
        return [m.span() for m in re.finditer(r"\w+|[^\w\s]", text)]


def render(documents: Sequence[Document]) -> tuple[str, list[Span]]:
    """The stream as one text, and each document's character span in it.

    A titled document reads `Document i:` / title / text (papers.md 1.4); untitled ones, one per line. A line in a
    title or text that begins like such a heading is quoted, so that no document can forge another one.
    """
    parts: list[str] = []
    spans: list[Span] = []
    at = 0
    for number, document in enumerate(documents, start=1):
        if document.title:
            title, text = quoted_document(document.title), quoted_document(document.text)
            part, gap = f"Document {number}:\n{title}\n{text}", "\n\n"
        else:
            part, gap = quoted_document(document.text), "\n"
        if parts:
            parts.append(gap)
            at += len(gap)
        parts.append(part)
        spans.append((at, at + len(part)))
        at += len(part)
    return "".join(parts), spans


def chunk_documents(
    documents: Sequence[Document],
    tokenizer: Tokenizer,
    *,
    size: int,
    overlap: int,
    by: str = "tokens",
    most: int | None = None,
) -> tuple[tuple[Chunk, ...], int]:
    """Cut a stream into chunks.

    Args:
        size: tokens per chunk, without the overlap; at least 1.
        overlap: tokens shown again on each side; 0 or more (used by `tokens` only).
        by: "tokens" (the paper's windows) or "documents" (whole documents are packed up to `size`
            tokens; a longer one stands alone, and so does a distractor). Either way no chunk holds distractors and
            other documents.
        most: at most this many chunks; what lies beyond is cut out of the *middle* of the stream, as
            the paper's code does.

    Returns:
        The chunks, and the number of tokens that no chunk shows.
    """
    text, spans = render(documents)
    tokens = tokenizer.spans(text)
    if not tokens:
        return (), 0
    windows: list[Span] = []
    for first, last, inside, late in _parts(documents, tokens, spans):
        packs, most_tokens = by == "documents", 0 if late else size
        windows += _packs(tokens[:last], first, inside, most_tokens) if packs else _windows(first, last, size, overlap)
    cut = 0
    if most is not None and len(windows) > most:
        head = most - most // 2
        kept = windows[:head] + windows[len(windows) - most // 2 :]
        cut = len(tokens) - len(set().union(*(range(a, b) for a, b in kept)))
        windows = kept
    bounds = [(tokens[first][0], tokens[last - 1][1], last - first) for first, last in windows]
    return _between(text, spans, bounds), cut


def chunks_at(documents: Sequence[Document], bounds: Iterable[tuple[int, int, int]]) -> tuple[Chunk, ...]:
    """The chunks of a stream, given first character, end and number of tokens of each."""
    return _between(*render(documents), bounds)


def distracting(documents: Sequence[Document], chunks: Iterable[Chunk]) -> set[int]:
    """Which chunks hold distractors, by index; none of them holds other documents."""
    late = {number for number, document in enumerate(documents) if document.distractor}
    return {chunk.index for chunk in chunks if not late.isdisjoint(chunk.documents)}


def _between(text: str, spans: Sequence[Span], bounds: Iterable[tuple[int, int, int]]) -> tuple[Chunk, ...]:
    starts, ends = [start for start, _ in spans], [end for _, end in spans]
    return tuple(
        Chunk(index, text[a:b], a, tokens, tuple(range(bisect_right(ends, a), bisect_left(starts, b))))
        for index, (a, b, tokens) in enumerate(bounds)
    )


def cut_middle(text: str, tokenizer: Tokenizer, most: int) -> tuple[str, int]:
    """The text without its middle, so that at most `most` tokens stay; and how many went."""
    tokens = tokenizer.spans(text)
    if len(tokens) <= most:
        return text, 0
    head, tail = most - most // 2, most // 2
    kept = text[: tokens[head - 1][1]] if head else ""
    if tail:
        kept += "\n...\n" + text[tokens[len(tokens) - tail][0] :]
    return kept, len(tokens) - most


def _parts(
    documents: Sequence[Document], tokens: Sequence[Span], spans: Sequence[Span]
) -> Iterator[tuple[int, int, Sequence[Span], bool]]:
    """The stream before its distractors, and these, where there are some: first token, end, spans of the documents, and
    whether it is these."""
    border = next((i for i, document in enumerate(documents) if document.distractor), len(documents))
    begins = spans[border][0] if border < len(documents) else tokens[-1][1]
    apart = next((i for i, (_, end) in enumerate(tokens) if end > begins), len(tokens))
    for first, last, inside, late in ((0, apart, spans[:border], False), (apart, len(tokens), spans[border:], True)):
        if first < last:
            yield first, last, inside, late


def _windows(first: int, last: int, size: int, overlap: int) -> list[Span]:
    return [(max(first, at - overlap), min(last, at + size + overlap)) for at in range(first, last, size)]


def _packs(tokens: Sequence[Span], first: int, documents: Sequence[Span], size: int) -> list[Span]:
    """Token ranges that each hold whole documents, from a first token on."""
    packs: list[Span] = []
    at = first
    for _, end in documents:
        last = at
        while last < len(tokens) and tokens[last][0] < end:
            last += 1
        if packs and last - packs[-1][0] <= size:
            packs[-1] = (packs[-1][0], last)
        elif last > at:
            packs.append((at, last))
        at = last
    return packs
