"""Keyword search as mem0ai 2.2.1 has it in Qdrant: BM25 of fastembed's `Qdrant/bm25`, squeezed into 0..1.

Qdrant's weights: k1 1.2, b 0.75, a mean length of 256 terms, which is a constant; ln((N - n + 0.5) / (n + 0.5) + 1) for
a term that n of N entries have. Words that say nothing are left out, the others stemmed (Snowball, English). A query is
weighted as an entry is, as there. Source: `vector_stores/qdrant.py`, `utils/scoring.py`, `utils/lemmatization.py`,
and fastembed 0.9.1, `sparse/bm25.py`.
"""

from __future__ import annotations

import functools
import math
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

K1, B, MEAN_LENGTH, LONGEST = 1.2, 0.75, 256.0, 40
MIDPOINTS = ((3, 5.0, 0.7), (6, 7.0, 0.6), (9, 9.0, 0.5), (15, 10.0, 0.5))
"""Of the logistic function: most words of the query, raw score at which it is 1/2, steepness (`get_bm25_params`)."""
BEYOND = (12.0, 0.5)
"""For longer queries."""
_WORD = re.compile(r"\w+")

_BOTH = """
    a about above after again against all am an and any are as at be because been before being below between
    both but by can did do does doing down during each few for from further had has have he her here hers
    herself him himself his how i if in into is it its itself just me more most my myself no nor not now of off
    on once only or other our ours ourselves out over own re same she should so some such than that the their
    them themselves then there these they this those through to too under until up very was we were what when
    where which while who whom why will with you your yours yourself yourselves
"""
_NLTK = """
    ain aren couldn d didn doesn don hadn hasn haven having isn ll m ma mightn mustn needn o s shan shouldn t
    theirs ve wasn weren won wouldn y
"""
_SPACY = """
    across afterwards almost alone along already also although always among amongst amount another anyhow anyone
    anything anyway anywhere around back became become becomes becoming beforehand behind beside besides beyond
    bottom ca call cannot could done due eight either eleven else elsewhere empty enough even ever every
    everyone everything everywhere except fifteen fifty first five former formerly forty four front full get
    give go hence hereafter hereby herein hereupon however hundred indeed keep last latter latterly least less
    made make many may meanwhile might mine moreover mostly move much must name namely neither never
    nevertheless next nine nobody none noone nothing nowhere often one onto others otherwise part per perhaps
    please put quite rather really regarding say see seem seemed seeming seems serious several show side since
    six sixty somehow someone something sometime sometimes somewhere still take ten thence thereafter thereby
    therefore therein thereupon third though three throughout thru thus together top toward towards twelve
    twenty two unless upon us used using various via well whatever whence whenever whereafter whereas whereby
    wherein whereupon wherever whether whither whoever whole whose within without would yet
"""
STOPS = frozenset((_BOTH + _NLTK).split())
"""NLTK's stop words, as fastembed has them; it meets no apostrophes."""
CONTENTLESS = frozenset((_BOTH + _SPACY).split())
"""spaCy's, which its English pipeline leaves out."""


def scores(query: str, texts: Sequence[str], *, content: bool, most: int) -> list[float]:
    """How well the words of each text answer the query, 0 to 1; 0 for one without a word of it.

    Args:
        texts: of all entries: how rare a word is among them counts.
        content: whether words without content are left out beforehand, as where spaCy is installed; its lemmas, which
            the stemmer meets there, are the words themselves here.
        most: texts that are found; all others have 0.
    """
    documents = [_weights(text, content) for text in texts]
    asked = _weights(query, content)
    holders = Counter(term for document in documents for term in document)
    rare = {term: math.log((len(texts) - holders[term] + 0.5) / (holders[term] + 0.5) + 1) for term in asked}
    raw = [_product(asked, rare, document) for document in documents]
    found = sorted((at for at, score in enumerate(raw) if score > 0), key=lambda at: -raw[at])[:most]
    words = _content(query) if content else query.split()
    midpoint, steepness = next((two for size, *two in MIDPOINTS if len(words) <= size), BEYOND)
    squeezed = [0.0] * len(texts)
    for at in found:
        squeezed[at] = 1 / (1 + math.exp(-steepness * (raw[at] - midpoint)))
    return squeezed


def terms(text: str, *, content: bool) -> list[str]:
    """The terms of a text, in order: stems of its words, without those that say nothing."""
    words = _content(text) if content else _WORD.findall(text.lower())
    kept = [word for word in words if word not in STOPS and word != "_" and len(word) <= LONGEST]
    return [stem for word in kept if (stem := _stem(word))]


def _content(text: str) -> list[str]:
    """Its words, in lower case, without numerals, auxiliaries and the like."""
    return [word for word in _WORD.findall(text.lower()) if word not in CONTENTLESS and word.isalnum()]


@functools.lru_cache(maxsize=10_000)
def _weights(text: str, content: bool) -> Mapping[str, float]:
    """What each term counts in a text, the longer the text, the less; texts are met again with every question."""
    words = terms(text, content=content)
    length = K1 * (1 - B + B * len(words) / MEAN_LENGTH)
    return MappingProxyType({term: n * (K1 + 1) / (n + length) for term, n in Counter(words).items()})


def _product(asked: Mapping[str, float], rare: Mapping[str, float], document: Mapping[str, float]) -> float:
    return sum(weight * rare[term] * document[term] for term, weight in asked.items() if term in document)


@functools.lru_cache(maxsize=50_000)
def _stem(word: str) -> str:
    return _stemmer()(word)


@functools.cache
def _stemmer() -> Callable[[str], str]:
    from nltk.stem.snowball import EnglishStemmer

    stem: Callable[[str], str] = EnglishStemmer().stem
    return stem
