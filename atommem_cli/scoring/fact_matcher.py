"""Whether a text of the memory carries a gold supporting fact.

`stream` is read exactly instead (`stream_reader`). Question sets have sentences or paragraphs, and a rule with
one threshold. A text carries the fact if it holds the sentence verbatim, or if three sentences in a row of it
  * name the fact's entity: more than half of the words of its title (without a title they need the recall below,
    too),
  * name what the fact leads to: the gold answer and the titles of the question's other supporting
    documents, as far as the fact names them; where it names none of these and the question asks for a number,
    a number of the fact (its year, if it has one); and where there is none either, `RECALL` of the fact's
    content words (by their first five letters; what the question asks about counts double),
  * and deny nothing that the fact does not deny.
A sentence that merely says the question again is passed over.

Measured (`tests/explain/test_miss_causes.py`). By texts that are not ours: of the 898 evidence triples of 2Wiki
validation records whose object stands in a supporting sentence, written as "subject: relation object", 90 % count as
carrying it, and with the object exchanged for another record's 5 % (accuracy 0.92, Cohen's kappa 0.84, precision 0.94);
of other sentences in 300 HotpotQA records, 7.0 % of those of the same paragraph and 1.1 % of those of others, some of
which do say the same. By 50 memory texts that we wrote and labelled (`tests/golden/`), accuracy 0.97 and kappa 0.93 on
30 that the rule was fitted to, 0.95 and 0.90 on 20 kept from fitting; but texts, labels and rule are of one hand, so
these two are no independent figures. It errs towards "does not carry": bare nationalities and countries are its weak
spot ("country: Iran", 1 of 13), as what they need is a third of a long sentence.
"""

from __future__ import annotations

import functools
import html
import re
from collections.abc import Iterable, Mapping, Sequence

from atommem_cli.core.types import Question, Support
from atommem_cli.scoring.normal import normalise

RECALL = 0.4
"""Share of a fact's content words that a text must have, where neither answer nor link stands in the fact."""

_WORD = re.compile(r"\d[\d,]*|[^\W\d_]+")
_SENTENCE = re.compile(r"(?<=[.!?])\s+|\n+")
_PLAIN = """
    a an the and or but not of to in on at by as for with from into onto over under about after before between during
    is are was were be been being has had have will would can could may might he she it they you him them his her its
    their your our that this which who whom whose what when where than then also one two other such some any all each
    most more many
"""
_PLAIN_WORDS = frozenset(_PLAIN.split())
_ASKS_NUMBER = re.compile(
    r"\d|\b(?:when|older|younger|oldest|youngest|old|age|born|died|year|date|many|much|earlier|later|longer|larger|"
    r"first|last|before|after|number|population)\b",
    re.IGNORECASE,
)
_DENIES = re.compile(r"\b(?:not|never|no longer)\b(?!\s+(?:yet|known|sure|clear|only))|n't\b", re.IGNORECASE)
_ECHO = 0.8
"""Share of a question's content words from which a sentence says it again."""


class _Sentence:
    """A sentence of the memory and its words."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.stems = _stems(text)


class _Wording:
    """A text of the memory as it is looked at."""

    def __init__(self, text: str) -> None:
        self._text = text
        self.plain = " ".join(text.split())
        self._lower = html.unescape(text).lower()

    def may_have(self, stems: Iterable[str]) -> set[str]:
        """Its words are among these; which costs no telling of words apart. Numbers may have commas in it."""
        return {stem for stem in stems if stem in self._lower or stem[0].isdigit()}

    @functools.cached_property
    def sentences(self) -> list[_Sentence]:
        """Most texts are never asked for them."""
        return [_sentence(sentence) for sentence in _SENTENCE.split(self._text)]


# All facts of an episode look at one text after the other, and a scratchpad is its old sentences and a few more.
_wording = functools.lru_cache(maxsize=64)(_Wording)
_sentence = functools.lru_cache(maxsize=2048)(_Sentence)


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
        contents = [content for s in core if (content := _content(s) - self._name)]
        self._weights = [{word: 2 if word in self._asked else 1 for word in content} for content in contents]
        numbers = {n for s in core for n in _numbers(s)}
        years = {n for n in numbers if len(n) == 4}
        asks = _ASKS_NUMBER.search(question.text) and not (answers or self._links)
        self._figures = (years or numbers) if asks else set()
        self._vital = self._name.union(*self._answers, *self._links)
        self._denied = _DENIES.search(support.text) is not None
        self._cache = {"": False}

    def carried(self, text: str) -> bool:
        """Whether a text carries it."""
        if text not in self._cache:
            self._cache[text] = self._carried(text)
        return self._cache[text]

    def quoted(self, text: str) -> bool:
        """Whether a text holds it word for word."""
        plain = _wording(text).plain
        return all(sentence in plain for sentence in self._verbatim)

    def _carried(self, text: str) -> bool:
        if self.quoted(text):
            return True
        wording = _wording(text)
        vital = wording.may_have(self._vital)
        if not self._named(vital) or not self._led(vital):  # nor does any part of it
            return False
        echoes = len(wording.may_have(self._question)) >= _ECHO * len(self._question)
        sentences = [s for s in wording.sentences if not (echoes and self._echo(s))]
        named = 0  # how many more sentences have one with a word of the name among them and the two before
        for last, sentence in enumerate(sentences):
            named = 3 if not self._name.isdisjoint(sentence.stems) else named - 1
            if named > 0 or not self._name:
                said = set().union(*(s.stems for s in sentences[max(0, last - 2) : last + 1]))
                if self._told(said) and (self._denied or not _DENIES.search(sentence.text)):
                    return True
        return False

    def _echo(self, sentence: _Sentence) -> bool:
        """Whether it is the question said again: most of its words, and no others."""
        said = _content(sentence.text)
        return bool(said) and said <= self._question and len(said) >= _ECHO * len(self._question)

    # These say yes to more words if they say it to some.

    def _told(self, stems: set[str]) -> bool:
        if not self._named(stems) or not self._led(stems) or (self._figures and not self._figures & stems):
            return False
        if self._name and (self._answers or self._links or self._figures):
            return True
        return any(_share(weights, stems) >= RECALL for weights in self._weights)

    def _named(self, stems: set[str]) -> bool:
        return 2 * len(self._name & stems) > len(self._name) or not self._name

    def _led(self, stems: set[str]) -> bool:
        """Whether words name the answer and the links, as far as the fact does."""
        return (not self._answers or any(answer <= stems for answer in self._answers)) and all(
            2 * len(link & stems) > len(link) for link in self._links
        )


def words(text: str) -> frozenset[str]:
    """The words of a text as they are compared: of words the first five letters, of numbers all digits."""
    return frozenset(_stems(text))


def key_words(text: str) -> frozenset[str]:
    """Those that are no plain word: what a text is about."""
    return frozenset(_content(text) | _numbers(text))


def _share(weights: Mapping[str, int], stems: set[str]) -> float:
    return sum(weight for word, weight in weights.items() if word in stems) / sum(weights.values())


def _named(title: str) -> frozenset[str]:
    """The words of a title, without what stands in brackets behind it."""
    bare = re.sub(r"\s*\(.*\)$", "", html.unescape(title))
    return frozenset(_content(bare) or _stems(bare))


def _stems(text: str) -> set[str]:
    return {_stem(word) for word in set(_WORD.findall(html.unescape(text).lower()))}


def _stem(word: str) -> str:
    return word.replace(",", "") if word[0].isdigit() else word[:5]


def _content(text: str) -> set[str]:
    words = _WORD.findall(html.unescape(text).lower())
    return {word[:5] for word in words if word not in _PLAIN_WORDS and not word[0].isdigit() and len(word) > 1}


def _numbers(text: str) -> set[str]:
    return {_stem(word) for word in _WORD.findall(text) if word[0].isdigit()}
