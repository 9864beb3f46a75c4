"""Chunks: nothing is lost, nothing is invented, windows are the paper's."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from atommem_cli.core.chunking import WordTokenizer, chunk_documents, cut_middle, render
from atommem_cli.core.types import Document

words = WordTokenizer()
texts = st.lists(st.text("abc ,\n", min_size=1, max_size=60).filter(str.strip), min_size=1, max_size=8)


def documents(contents: list[str], title: str = "") -> list[Document]:
    return [Document(title, text) for text in contents]


@given(texts, st.integers(1, 20), st.integers(0, 5), st.booleans())
def test_without_overlap_every_token_is_shown_once_and_in_order(
    contents: list[str], size: int, overlap: int, titled: bool
) -> None:
    stream = documents(contents, "T" if titled else "")
    whole, _ = render(stream)
    tokens = [whole[a:b] for a, b in words.spans(whole)]
    chunks, cut = chunk_documents(stream, words, size=size, overlap=0)
    shown = [chunk.text[a:b] for chunk in chunks for a, b in words.spans(chunk.text)]
    assert (shown, cut) == (tokens, 0)
    assert all(chunk.tokens <= size for chunk in chunks)
    overlapped, _ = chunk_documents(stream, words, size=size, overlap=overlap)
    assert len(overlapped) == len(chunks)
    for index, chunk in enumerate(overlapped):
        first = max(0, index * size - overlap)
        last = min(len(tokens), (index + 1) * size + overlap)  # papers.md 1.1: [C t - o, C (t+1) + o)
        assert [chunk.text[a:b] for a, b in words.spans(chunk.text)] == tokens[first:last]


@given(texts, st.integers(1, 30))
def test_packs_hold_whole_documents(contents: list[str], size: int) -> None:
    stream = documents(contents)
    chunks, cut = chunk_documents(stream, words, size=size, overlap=3, by="documents")
    filled = [i for i, d in enumerate(stream) if words.spans(d.text)]
    assert [i for chunk in chunks for i in chunk.documents if i in filled] == filled
    assert cut == 0
    for chunk in chunks:
        inside = [i for i in chunk.documents if i in filled]
        assert chunk.tokens <= size or len(inside) == 1
        assert chunk.tokens == sum(len(words.spans(stream[i].text)) for i in inside)


@given(texts, st.integers(1, 6), st.integers(1, 4))
def test_the_middle_is_cut_and_counted(contents: list[str], size: int, most: int) -> None:
    stream = documents(contents)
    every, _ = chunk_documents(stream, words, size=size, overlap=1)
    kept, cut = chunk_documents(stream, words, size=size, overlap=1, most=most)
    assert len(kept) == min(most, len(every))
    if len(every) > most:
        assert kept[0].text == every[0].text
        assert most == 1 or kept[-1].text == every[-1].text
    assert [c.index for c in kept] == list(range(len(kept)))
    count = len(words.spans(render(stream)[0]))
    head, tail = most - most // 2, most // 2
    shown = set(range(count))
    if len(every) > most:
        last_windows = range(len(every) - tail, len(every))
        windows = [*range(head), *last_windows]
        shown = {i for w in windows for i in range(max(0, w * size - 1), min(count, (w + 1) * size + 1))}
    assert cut == count - len(shown)


def test_documents_of_a_chunk_are_those_it_shows() -> None:
    stream = documents(["a b c", "d e f"], title="T")
    chunks, _ = chunk_documents(stream, words, size=6, overlap=0)
    assert [c.documents for c in chunks] == [(0,), (0, 1), (1,)]
    assert chunks[0].text == "Document 1:\nT\na b"


def test_a_stream_without_words_has_no_chunks() -> None:
    assert chunk_documents([], words, size=5, overlap=0) == ((), 0)


@given(texts, st.integers(0, 12))
def test_cut_middle_keeps_both_ends(contents: list[str], most: int) -> None:
    text = "\n".join(contents)
    tokens = [text[a:b] for a, b in words.spans(text)]
    kept, cut = cut_middle(text, words, most)
    assert cut == max(0, len(tokens) - most)
    if not cut:
        assert kept == text
        return
    head, _, tail = kept.partition("\n...\n")
    ends = [part[a:b] for part in (head, tail) for a, b in words.spans(part)]
    assert ends == tokens[: most - most // 2] + tokens[len(tokens) - most // 2 :]


def test_a_document_cannot_forge_the_heading_of_another_one() -> None:
    forged = Document("T\u2028Document 9:", "true\n  document 3 :\nfalse")
    text, spans = render([forged, Document("U", "a document 2: no line of its own")])
    assert text == (
        "Document 1:\nT\u2028> Document 9:\ntrue\n>   document 3 :\nfalse\n\n"
        "Document 2:\nU\na document 2: no line of its own"
    )
    assert text[slice(*spans[1])].startswith("Document 2:")
