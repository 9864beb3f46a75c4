"""Entity swap: the gold entities of a task under invented names, so that no model knows the answers by heart.

Entity substitution (Longpre et al. 2021, arXiv 2109.05052) without a recogniser of names: entities are what the
records give, the titles of gold documents (without what stands in brackets behind them) and gold answers that
stand in the question or a gold document and look like a name. A name is renamed word by word, everywhere in the
task: "Ada Lovelace" and "Lovelace" alone, her "Lovelace's" and her "Lovelace Prize" stay one and the same. Words
that say what a thing is (`KEPT`: University, County, Film, American, ...) stay, so that a university remains one; a
title of nothing but such words ("World War") is renamed where it stands whole. New words are made of syllables and
occur nowhere in the task. They tell neither sex nor kind.

What stays: yes and no, numbers and dates, answers in common words, names that are written in lower case, and an
answer that stands in none of its documents, with all its words: nothing in the task would lead to its new name.
Words derived from names (Oxfordshire, Londoner) and abbreviations stay, too.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from random import Random
from typing import Literal, NamedTuple

from atommem_cli.core.types import Document, Question, Support, Task
from atommem_cli.tasks._swap_words import ENDS, KEPT, MIDDLES, SMALL, STARTS, VOWELS

Extent = Literal["answer", "question", "documents", "nothing"]
"""How far a question is swapped: its answer is new; else a name in its text; else only names in its documents."""

_WORD = re.compile(r"\w+")
_BRACKETS = re.compile(r"\s*\([^()]*\)\s*$")
_ROMAN = re.compile(r"[IVXLC]+")


class Own(NamedTuple):
    """One question, and the documents that came with it."""

    question: Question
    documents: tuple[Document, ...]
    gold: tuple[Document, ...]
    """Those that its answer rests on."""


@dataclass(frozen=True, slots=True)
class Names:
    """What is renamed in a task."""

    words: tuple[str, ...]
    """In lower case, sorted."""
    whole: tuple[str, ...]
    """Titles and answers, longest first; in a question they may be written in any case."""
    phrases: tuple[str, ...]
    """Titles of nothing but kept words, as they are written; longest first."""
    loose: frozenset[str]
    """Words that are never written in lower case in the questions' documents: there a question may write them so."""


def names(asked: Sequence[Own]) -> Names:
    """The names in the gold of some questions that are asked together."""
    capital, small = _cases(document for own in asked for document in own.documents)
    words: set[str] = set()
    whole: set[str] = set()
    phrases: set[str] = set()
    held: set[str] = set()
    for own in asked:
        shown = _shown(own)
        titles = [_BRACKETS.sub("", document.title).strip() for document in own.gold]
        known = [answer for answer in own.question.answers if _stands(answer, shown)]
        for name in (*titles, *filter(_looks_like_a_name, known)):
            found = {word for word in _distinctive(name) if not small[word] or small[word] < capital[word]}
            words |= found
            whole |= {name} if found else set()
            if not found and name in titles and len(_large(name)) > 1 and _looks_like_a_name(name):
                phrases.add(name)
        if own.question.answers[0] not in known:
            held |= {word.casefold() for word in _WORD.findall(own.question.answers[0])}
    words -= held
    kept = [phrase for phrase in phrases if not held & {word.casefold() for word in _WORD.findall(phrase)}]
    loose = frozenset(word for word in words if not small[word])
    new = [name for name in whole if not words.isdisjoint(_distinctive(name))]
    return Names(tuple(sorted(words)), _longest_first([*new, *kept]), _longest_first(kept), loose)


def _longest_first(texts: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(texts, key=lambda text: (-len(text), text)))


def extent(question: Question, found: Names) -> Extent:
    """How far a question is swapped."""
    swapping = _Swapping(found, dict.fromkeys(found.words, ""), dict.fromkeys(found.phrases, ""))
    if swapping.new(question.answers[0], loosely=True) != question.answers[0]:
        return "answer"
    if swapping.new(question.text, loosely=True) != question.text:
        return "question"
    return "documents" if found.words or found.phrases else "nothing"


def swap(task: Task, found: Names, asked: Sequence[Own], rng: Random) -> Task:
    """The task under new names. Supporting facts stay verbatim in their documents.

    Other accepted answers than the first one go if the first one is new, they are not, and nothing shows them.
    """
    taken = {
        word.casefold() for document in task.documents for word in _WORD.findall(f"{document.title} {document.text}")
    }
    taken |= {word.casefold() for q in task.questions for t in (q.text, *q.answers) for word in _WORD.findall(t)}
    words = {word: _invent(rng, word, taken) for word in found.words}
    phrases = {}
    for phrase in found.phrases:
        fresh = {word: _cased(word, _invent(rng, word, taken)) for word in _large(phrase)}
        phrases[phrase] = "".join(fresh.get(part, part) for part in re.split(r"(\W+)", phrase))
    swapping = _Swapping(found, words, phrases)
    supports: dict[int, list[str]] = {}
    for question in task.questions:
        for support in question.supporting:
            supports.setdefault(support.document, []).append(support.text)
    documents, moved = [], {}
    for index, document in enumerate(task.documents):
        text, there = swapping.document(document.text, supports.get(index, ()))
        documents.append(replace(document, title=swapping.new(document.title), text=text))
        moved.update({(index, old): new for old, new in there.items()})
    questions = tuple(
        replace(
            question,
            text=swapping.new(question.text, loosely=True),
            answers=swapping.answers(question, _shown(own)),
            supporting=tuple(Support(s.document, moved[s.document, s.text]) for s in question.supporting),
        )
        for question, own in zip(task.questions, asked, strict=True)
    )
    return replace(task, documents=tuple(documents), questions=questions)


class _Swapping:
    """Renames texts."""

    def __init__(self, found: Names, words: dict[str, str], phrases: dict[str, str]) -> None:
        self._words = words
        self._phrases = phrases
        self._loose = found.loose
        self._pattern = re.compile("|".join([*map(_alone, found.phrases), r"\w+"]))
        whole = [name for name in found.whole if len(_WORD.findall(name)) > 1]
        self._whole = re.compile("|".join(map(_alone, whole)) or r"(?!)", re.IGNORECASE)
        self._written = {name.casefold(): name for name in whole}

    def new(self, text: str, *, loosely: bool = False) -> str:
        """The text under new names.

        Args:
            loosely: names in lower case, too.
        """
        if loosely:
            text = self._whole.sub(lambda match: self._written.get(match[0].casefold(), match[0]), text)
        return self._pattern.sub(lambda match: self._word(match[0], loosely), text)

    def _word(self, word: str, loosely: bool) -> str:
        if word in self._phrases:
            return self._phrases[word]
        key, ending = word.casefold(), ""
        if key not in self._words and key.endswith("s") and key[:-1] in self._words:
            key, ending = key[:-1], word[-1]  # the Lovelaces
        if key not in self._words or (word[0].islower() and not (loosely and key in self._loose)):
            return word
        return _cased(word, self._words[key]) + ending

    def document(self, text: str, supports: Iterable[str]) -> tuple[str, dict[str, str]]:
        """A document's text, and each of its supporting facts: cut where these begin and end, and joined again."""
        spans = {support: (text.index(support), text.index(support) + len(support)) for support in supports}
        for match in self._pattern.finditer(text):
            if match[0] in self._phrases:  # a sentence of the records may begin or end within a name
                start, end = match.span()
                for support, (a, b) in spans.items():
                    spans[support] = start if start < a < end else a, end if start < b < end else b
        cuts = sorted({0, len(text), *(at for span in spans.values() for at in span)})
        pieces = {start: self.new(text[start:end]) for start, end in pairwise(cuts)}
        whole = "".join(pieces.values())
        return whole, {s: "".join(p for at, p in pieces.items() if a <= at < b) for s, (a, b) in spans.items()}

    def answers(self, question: Question, shown: str) -> tuple[str, ...]:
        """The accepted answers."""
        first, *others = question.answers
        new = self.new(first, loosely=True)
        pairs = [(other, self.new(other, loosely=True)) for other in others]
        kept = [after for before, after in pairs if new == first or after != before or _stands(before, shown)]
        return tuple(dict.fromkeys([new, *kept]))


def _invent(rng: Random, word: str, taken: set[str]) -> str:
    """A new word in lower case, about as long; it begins with a vowel if the old one does, because of "an"."""
    while True:
        start = "" if word[0].casefold() in "aeiou" else rng.choice(STARTS)
        inner = "".join(rng.choice(VOWELS) + rng.choice(MIDDLES) for _ in range(1 if len(word) < 9 else 2))
        made = start + inner + rng.choice(VOWELS) + rng.choice(ENDS)
        if made not in taken and made not in SMALL | KEPT:
            taken |= {made, f"{made}s"}
            return made


def _cased(old: str, new: str) -> str:
    if len(old) > 1 and old.isupper():
        return new.upper()
    return new.capitalize() if not old[0].islower() else new


def _cases(documents: Iterable[Document]) -> tuple[Counter[str], Counter[str]]:
    """How often each word begins with a capital, and how often it does not."""
    capital: Counter[str] = Counter()
    small: Counter[str] = Counter()
    for document in dict.fromkeys(documents):
        for word in _WORD.findall(document.text):
            (small if word[0].islower() else capital)[word.casefold()] += 1
    return capital, small


def _shown(own: Own) -> str:
    return "\n".join([own.question.text, *(f"{document.title}\n{document.text}" for document in own.gold)])


def _stands(text: str, shown: str) -> bool:
    return re.search(_alone(text), shown) is not None


def _alone(text: str) -> str:
    """A pattern for a text that is not a part of longer words."""
    before, after = (r"(?<!\w)" if text[:1].isalnum() else ""), (r"(?!\w)" if text[-1:].isalnum() else "")
    return before + re.escape(text) + after


def _large(name: str) -> list[str]:
    """The words of a name that carry it: no small words, initials or numbers."""
    words: list[str] = _WORD.findall(name)
    return [word for word in words if word.isalpha() and len(word) > 1 and word.casefold() not in SMALL]


def _looks_like_a_name(text: str) -> bool:
    return all(word[0].isupper() for word in _large(text))


def _distinctive(name: str) -> Iterator[str]:
    for word in _large(name):
        if word[0].isupper() and word.casefold() not in KEPT and not _ROMAN.fullmatch(word):
            yield word.casefold()
