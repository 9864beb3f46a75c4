"""Whether a text of the memory carries a gold supporting fact.

`stream` is read exactly instead (`statements`). Question sets have sentences or paragraphs, and a rule with
one threshold. A text carries the fact if it holds the sentence verbatim, or if three sentences in a row of it
  * name the fact's entity: more than half of the words of its title (without a title they need the recall below,
    too),
  * name what the fact leads to: the gold answer and the titles of the question's other supporting
    documents, as far as the fact names them; where it names none of these and the question asks for a number,
    a number of the fact (its year, if it has one); and where there is none either, `RECALL` of the fact's
    content words (by their first five letters; what the question asks about counts double),
  * and deny nothing that the fact does not deny.
A sentence that merely says the question again is passed over.

Measured (`tests/test_causes.py`). By texts that are not ours: of the 898 evidence triples of 2Wiki validation records
whose object stands in a supporting sentence, written as "subject: relation object", 90 % count as carrying it, and
with the object exchanged for another record's 5 % (accuracy 0.92, Cohen's kappa 0.84, precision 0.94); of other
sentences in 300 HotpotQA records, 7.0 % of those of the same paragraph and 1.1 % of those of others, some of which do
say the same. By 50 memory texts that we wrote and labelled (`tests/golden/`), accuracy 0.97 and kappa 0.93 on 30 that
the rule was fitted to, 0.95 and 0.90 on 20 kept from fitting; but texts, labels and rule are of one hand, so these
two are no independent figures. It errs towards "does not carry": bare nationalities and countries are its weak spot
("country: Iran", 1 of 13), as what they need is a third of a long sentence.
"""

from __future__ import annotations

import html
import re
from collections.abc import Sequence

from atommem_cli.metrics import normalise
from atommem_cli.types import Question, Support

RECALL = 0.4
"""Share of a fact's content words that a text must have, where neither answer nor link stands in the fact."""

_WORD = re.compile(r"\d[\d,]*|[^\W\d_]+")
_SENTENCE = re.compile(r"(?<=[.!?])\s+|\n+")
_PLAIN = re.compile(
    r"(?:a|an|the|and|or|but|not|of|to|in|on|at|by|as|for|with|from|into|onto|over|under|about|after|before|between|"
    r"during|is|are|was|were|be|been|being|has|had|have|will|would|can|could|may|might|he|she|it|they|you|him|them|"
    r"his|her|its|their|your|our|that|this|which|who|whom|whose|what|when|where|than|then|also|one|two|other|such|"
    r"some|any|all|each|most|more|many)"
)
_ASKS_NUMBER = re.compile(
    r"\d|\b(?:when|older|younger|oldest|youngest|old|age|born|died|year|date|many|much|earlier|later|longer|larger|"
    r"first|last|before|after|number|population)\b",
    re.IGNORECASE,
)
_DENIES = re.compile(r"\b(?:not|never|no longer)\b(?!\s+(?:yet|known|sure|clear|only))|n't\b", re.IGNORECASE)


class Passage:
    """One supporting sentence or paragraph, as a question needs it."""

    def __init__(self, support: Support, title: str, question: Question, others: Sequence[str]) -> None:
        """
        Args:
            title: of the fact's document.
            others: titles of the other supporting documents of the question.
        """
        self._name = _named(title)
        said = _stems(support.text)
        answers = [frozenset(_stems(a)) for a in question.answers if normalise(a) not in ("yes", "no")]
        answers = [a for a in answers if a and a <= said and not a <= self._name]
        self._answers = answers
        self._links = [link for link in map(_named, others) if link and link <= said and not link <= self._name]
        self._question = _content(question.text)
        self._asked = _stems(question.text) - self._name
        sentences = [s for s in _SENTENCE.split(support.text.strip()) if s]
        core = [s for s in sentences if self._led(_stems(s)) and (answers or self._links)] or sentences
        self._verbatim = [" ".join(s.split()) for s in core]
        self._words = [words for s in core if (words := _content(s) - self._name)]
        numbers = {n for s in core for n in _numbers(s)}
        years = {n for n in numbers if len(n) == 4}
        asks = _ASKS_NUMBER.search(question.text) and not (answers or self._links)
        self._figures = (years or numbers) if asks else set()
        self._denied = _DENIES.search(support.text) is not None
        self._cache = {"": False}

    def carried(self, text: str) -> bool:
        """Whether a text carries it."""
        if text not in self._cache:
            self._cache[text] = self._carried(text)
        return self._cache[text]

    def quoted(self, text: str) -> bool:
        """Whether a text holds it word for word."""
        plain = " ".join(text.split())
        return all(sentence in plain for sentence in self._verbatim)

    def _carried(self, text: str) -> bool:
        if self.quoted(text):
            return True
        sentences = [sentence for sentence in _SENTENCE.split(text) if not self._echo(sentence)]
        stems = [_stems(sentence) for sentence in sentences]
        for last, sentence in enumerate(sentences):
            if self._told(set().union(*stems[max(0, last - 2) : last + 1])) and (
                self._denied or not _DENIES.search(sentence)
            ):
                return True
        return False

    def _echo(self, sentence: str) -> bool:
        """Whether it is the question said again: most of its words, and no others."""
        said = _content(sentence)
        return bool(said) and said <= self._question and len(said) >= 0.8 * len(self._question)

    def _told(self, stems: set[str]) -> bool:
        named = 2 * len(self._name & stems) > len(self._name) or not self._name
        if not named or not self._led(stems) or (self._figures and not self._figures & stems):
            return False
        if self._name and (self._answers or self._links or self._figures):
            return True
        return any(self._share(words, stems) >= RECALL for words in self._words)

    def _led(self, stems: set[str]) -> bool:
        """Whether words name the answer and the links, as far as the fact does."""
        return (not self._answers or any(answer <= stems for answer in self._answers)) and all(
            2 * len(link & stems) > len(link) for link in self._links
        )

    def _share(self, words: set[str], stems: set[str]) -> float:
        weights = {word: 2 if word in self._asked else 1 for word in words}
        return sum(weight for word, weight in weights.items() if word in stems) / sum(weights.values())


def _named(title: str) -> frozenset[str]:
    """The words of a title, without what stands in brackets behind it."""
    bare = re.sub(r"\s*\(.*\)$", "", html.unescape(title))
    return frozenset(_content(bare) or _stems(bare))


def _stems(text: str) -> set[str]:
    return {_stem(word) for word in _WORD.findall(html.unescape(text).lower())}


def _stem(word: str) -> str:
    return word.replace(",", "") if word[0].isdigit() else word[:5]


def _content(text: str) -> set[str]:
    words = _WORD.findall(html.unescape(text).lower())
    return {word[:5] for word in words if not _PLAIN.fullmatch(word) and not word[0].isdigit() and len(word) > 1}


def _numbers(text: str) -> set[str]:
    return {_stem(word) for word in _WORD.findall(text) if word[0].isdigit()}
