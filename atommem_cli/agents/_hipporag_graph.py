"""The graph of HippoRAG 2 (arXiv 2502.14802): phrases and passages, and the walk from a question to passages.

Edges and weights are those of OSU-NLP-Group/HippoRAG@040f3c7 (`add_fact_edges`, `add_passage_edges`,
`add_synonymy_edges`, an undirected igraph): every edge is written down from each of its ends and so counts twice, but
for those of passages; the similarity of two synonyms takes the place of what triples said of them.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

Triple = tuple[str, str, str]
Floats = NDArray[np.float64]

SYNONYM = 0.8
"""Least cosine of two synonyms (`synonymy_edge_sim_threshold`)."""
NEIGHBOURS = 101
"""Most synonyms of a phrase (`num_nns > 100` ends the loop)."""
DAMPING = 0.5
"""Share of the walk that follows an edge (`damping`)."""
PASSAGE = 0.05
"""Weight of a passage's own similarity beside that of phrases (`passage_node_weight`)."""
_ROWS = 1024
"""Phrases that are compared with all others at once."""
_LATIN, _ANY = re.compile(r"[^a-z0-9 ]"), re.compile(r"[^\w ]|_")
_ALNUM = re.compile(r"[^a-zA-Z0-9]")


def phrase(text: str, *, latin: bool) -> str:
    """A subject, relation or object as the graph knows it: in lower case, blanks for all but letters and digits.

    Args:
        latin: of the Latin alphabet without accents alone, as in the code, so that "Łódź" is " d ".
    """
    return (_LATIN if latin else _ANY).sub(" ", text.lower()).strip()


class Graph(NamedTuple):
    """Phrases first, then passages."""

    phrases: Mapping[str, int]
    """Their nodes."""
    passages: int
    held: Sequence[frozenset[str]]
    """Of each passage its phrases."""
    steps: sparse.csr_array
    """Probability to go from a node (column) to another one (row); a column of zeros goes nowhere."""


def build(passages: Sequence[Sequence[Triple]], phrases: Sequence[str], vectors: NDArray[np.float32]) -> Graph:
    """The graph of passages by their triples.

    Args:
        phrases: all subjects and objects, each once.
        vectors: of the phrases, of shape (len(phrases), D) and unit length.
    """
    nodes = {text: node for node, text in enumerate(phrases)}
    edges: Counter[tuple[int, int]] = Counter()
    for triples in passages:
        for subject, _, thing in triples:
            one, other = nodes[subject], nodes[thing]
            edges[one, other] += 1
            edges[other, one] += 1
    weights: dict[tuple[int, int], float] = dict(edges)
    held = [frozenset(text for s, _, o in triples for text in (s, o)) for triples in passages]
    weights |= {(len(nodes) + at, nodes[text]): 1.0 for at, texts in enumerate(held) for text in texts}
    weights |= _synonyms(phrases, vectors)
    kept = [(pair, weight) for pair, weight in sorted(weights.items()) if pair[0] != pair[1]]
    size = len(nodes) + len(passages)
    rows, columns = [pair[0] for pair, _ in kept], [pair[1] for pair, _ in kept]
    directed = sparse.csr_array(([weight for _, weight in kept], (rows, columns)), shape=(size, size))
    both = sparse.csr_array(directed + directed.T)
    out = np.asarray(both.sum(axis=0), np.float64)
    shares = sparse.diags_array(np.divide(1.0, out, out=np.zeros(size), where=out > 0))
    return Graph(nodes, len(passages), held, sparse.csr_array(both @ shares))


def _synonyms(phrases: Sequence[str], vectors: NDArray[np.float32]) -> Iterable[tuple[tuple[int, int], float]]:
    """Pairs of phrases that are near each other, from the first to the second; a short one has none of its own."""
    for start in range(0, len(phrases), _ROWS):
        block = vectors[start : start + _ROWS] @ vectors.T
        for row, near in enumerate(block, start=start):
            if len(_ALNUM.sub("", phrases[row])) <= 2:
                continue
            close = [int(one) for one in np.argsort(-near, kind="stable") if near[one] >= SYNONYM and one != row]
            yield from (((row, other), float(near[other])) for other in close[:NEIGHBOURS] if phrases[other])


def start(graph: Graph, facts: Sequence[tuple[Triple, float]], similar: Floats, most: int) -> Floats:
    """Where the walk starts (`graph_search_with_fact_entities`): at phrases of facts, and at every passage a little.

    A phrase has the mean score of the facts that hold it, each divided by the number of passages that hold the phrase.

    Args:
        facts: those that answer the question, each with its score from 0 to 1.
        similar: of every passage to the question, from 0 to 1.
        most: phrases that are kept, the best ones.
    """
    scores: dict[str, list[float]] = {}
    for (subject, _, thing), score in facts:
        for text in (subject, thing):
            known = sum(text in held for held in graph.held)
            scores.setdefault(text, []).append(score / known if known else score)
    means = {text: float(np.mean(found)) for text, found in scores.items()}
    weights = np.zeros(len(graph.phrases) + graph.passages)
    for text in sorted(means, key=lambda text: -means[text])[:most]:
        weights[graph.phrases[text]] = means[text]
    weights[len(graph.phrases) :] = PASSAGE * similar
    return weights


def walk(graph: Graph, weights: Floats) -> Floats:
    """Personalised PageRank of every passage: the walk follows an edge with probability `DAMPING`, or else starts anew.

    Args:
        weights: where it starts, not all 0.
    """
    begin = weights / weights.sum()
    ranks = begin
    stuck = np.asarray(graph.steps.sum(axis=0)) == 0
    while True:
        after = DAMPING * (graph.steps @ ranks + ranks[stuck].sum() * begin) + (1 - DAMPING) * begin
        if np.abs(after - ranks).sum() < 1e-12:
            return np.asarray(after[len(graph.phrases) :])
        ranks = after


def spread(values: NDArray[np.float32]) -> Floats:
    """Similarities moved to the range from 0 to 1 (`min_max_normalize`); where all are the same, 1 (there: NaN)."""
    low, high = values.min(), values.max()
    return np.ones(len(values)) if high <= low else np.asarray((values - low) / (high - low), np.float64)
