"""What MemoryAgentBench's overridden facts made an answer, before a fact of a larger number said otherwise.

Facts of one subject and relation begin alike and end with their value (they come from MQuAKE's pairs of a true and a
counterfactual statement), so no list of relations is needed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

_FACT = re.compile(r"(\d+)\. (.*?)[.\s]*")
_WORD = re.compile(r"\w+")


def stale(facts: Sequence[str], question: str, accepted: Sequence[str]) -> tuple[str, ...]:
    """The values that older facts give the subject and relation of a question about a single fact, oldest first.

    The fact that answers it is the one that ends with an accepted answer and shares most words in a row with the
    question, a name or number among them; where several do that begin differently, none is told.

    Args:
        facts: each with its number, as `12. The capital of Velt is Orm.`
    """
    read = sorted((int(found[1]), found[2]) for fact in facts if (found := _FACT.fullmatch(fact)))
    known = {answer.casefold() for answer in accepted}
    places: dict[str, int] = {}
    """Of what an answering fact begins with, the largest number."""
    for number, text in read:
        for answer in filter(None, accepted):
            if text[-len(answer) :].casefold() == answer.casefold() and text[: -len(answer)].endswith(" "):
                places[text[: -len(answer)]] = number
    shared = {begin: _shared(begin, question) for begin in places}
    most = max(shared.values(), default=0)
    (begin, *others) = [one for one in places if shared[one] == most] or [""]
    if not most or others:
        return ()
    values = [text[len(begin) :] for number, text in read if number < places[begin] and text.startswith(begin)]
    return tuple(dict.fromkeys(value for value in values if value and value.casefold() not in known))


def _shared(begin: str, question: str) -> int:
    """Most words in a row that both have, a capital or a digit among those behind the first word of either; else 0."""
    ours, theirs = _WORD.findall(begin), _WORD.findall(question)
    most = 0
    for i in range(len(ours)):
        for j in range(len(theirs)):
            length, named = 0, False
            while i + length < len(ours) and j + length < len(theirs) and ours[i + length] == theirs[j + length]:
                named |= not ours[i + length].islower() and j + length > 0
                length += 1
            if named:
                most = max(most, length)
    return most
