"""What an embedder promises; see `memory.Embedder`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from atommem_cli.contracts import promises
from atommem_cli.contracts._replies import TEXTS
from atommem_cli.contracts.promises import insist, raised
from atommem_cli.core.memory import Embedder
from atommem_cli.core.safe_text import shown

if TYPE_CHECKING:
    from numpy.typing import NDArray

APART = 5e-3
"""Most by which a component may differ with what else is embedded: an encoder in bfloat16 adds up so much otherwise."""


def check(embedder: Embedder) -> None:
    """Insist on every promise of an embedder.

    Raises:
        ContractBroken: one sentence.
    """
    promises.check(PROMISES, embedder)


def vectors_have_a_shape(embedder: Embedder) -> None:
    """Vectors come as one array of float32, of shape (texts, `dimension`), for documents and for queries."""
    insist(
        isinstance(embedder.dimension, int) and embedder.dimension > 0,
        f"dimension is {shown(embedder.dimension)}: the numbers of a vector are wanted, known before the first text",
    )
    for is_query in (False, True):
        vectors = embedder.embed(TEXTS, is_query=is_query)
        insist(
            isinstance(vectors, np.ndarray) and vectors.shape == (len(TEXTS), embedder.dimension),
            f"embed gives {_form(vectors)} for {len(TEXTS)} texts: an array of shape ({len(TEXTS)}, "
            f"{embedder.dimension}) is wanted",
        )
        insist(
            vectors.dtype == np.float32, f"embed gives numbers of type {vectors.dtype}: end with .astype(np.float32)"
        )


def vectors_have_unit_length(embedder: Embedder) -> None:
    """Vectors are finite and of unit length, so that a dot product is the cosine."""
    for is_query in (False, True):
        lengths = np.linalg.norm(embedder.embed(TEXTS, is_query=is_query).astype(np.float64), axis=1)
        for text, length in zip(TEXTS, lengths, strict=True):
            insist(
                bool(abs(length - 1) < APART),
                f"the vector of {shown(text)} has the length {length:.3g}: divide it by its length, and let no text "
                "have a vector of zeros",
            )


def a_vector_is_that_of_its_text(embedder: Embedder) -> None:
    """The vector of a text depends on that text alone, whatever else is or was embedded."""
    for is_query in (False, True):
        together = embedder.embed(TEXTS, is_query=is_query)
        turned = embedder.embed(TEXTS[::-1], is_query=is_query)[::-1]
        for number, text in enumerate(TEXTS):
            alone = embedder.embed([text], is_query=is_query)[0]
            insist(
                max(_apart(alone, together[number]), _apart(alone, turned[number])) < APART,
                f"{shown(text)} has another vector among other texts than alone: a vector may depend neither on the "
                "rest of its batch, nor on its place in it, nor on earlier calls",
            )


def no_text_is_no_work(embedder: Embedder) -> None:
    """No texts give an array of shape (0, `dimension`)."""
    for is_query in (False, True):
        vectors = embedder.embed([], is_query=is_query)
        insist(
            getattr(vectors, "shape", None) == (0, embedder.dimension),
            f"embed([]) gives {_form(vectors)}: an array of shape (0, {embedder.dimension}) is wanted",
        )


def any_text_is_taken(embedder: Embedder) -> None:
    """Any text that a model may write can be embedded: control characters, lone surrogates, any script."""
    for text in ("a\x00b", "\ud83d", "\udfff end", "日本 🎈", "\u202eturned", "<|endoftext|>", " ", "x"):
        for is_query in (False, True):
            try:
                embedder.embed([text], is_query=is_query)
            except Exception as error:
                sentence = f"embed raises {raised(error)} for the text {shown(text)}: entries hold what models write"
                raise promises.ContractBroken(sentence) from error


def _apart(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    return float(np.abs(one.astype(np.float64) - other).max())


def _form(vectors: object) -> str:
    shape = getattr(vectors, "shape", None)
    return f"an array of shape {shape}" if shape is not None else f"a {type(vectors).__name__}"


PROMISES: tuple[promises.Promise[Embedder], ...] = (
    vectors_have_a_shape,
    vectors_have_unit_length,
    a_vector_is_that_of_its_text,
    no_text_is_no_work,
    any_text_is_taken,
    promises.describes_itself,
)
"""All of them."""
