"""LoCoMo's score of an answer (Maharana et al. 2024): F1 of stemmed words, by a rule of its own for each category.

snap-research/locomo@9228632 task_eval/evaluation.py, `eval_question_answering` and what it calls. The categories are
questions' kinds here, by the names that its later version gives them.
"""

from __future__ import annotations

import re
import string
from collections.abc import Callable
from functools import cache, lru_cache
from statistics import fmean

from atommem_cli.core.types import Answer, Question
from atommem_cli.scoring.abstention import says_so
from atommem_cli.scoring.overlap import overlap_f1

CATEGORIES = {1: "multi-hop", 2: "temporal", 3: "open-domain", 4: "single-hop", 5: "adversarial"}
"""Question kinds by the number in the data."""
MULTI, OPEN = CATEGORIES[1], CATEGORIES[3]

_LEFT_OUT = re.compile(r"\b(a|an|the|and)\b")
_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)


def locomo_f1(answer: Answer, question: Question) -> float:
    """F1 of stemmed words, by the kind of question.

    `multi-hop`: gold and answer are lists with commas; the mean over the gold's items of the best item of the answer.
    `open-domain`: the gold is what stands before its first semicolon. What nothing answers (the adversarial questions):
    1 where the answer says so (`abstention.says_so`), else 0. All others: the whole answer against the whole gold.

    Beyond the script, which offers its own phrase as a choice: such a question is also answered by one of its accepted
    answers alone, and by the "unknown" that dialects ask for. The best over several golds, where it has one.
    """
    text = answer.text
    if not text or text.isspace():
        return 0.0
    if question.unanswerable:
        return float(says_so(text) or _words(text) in map(_words, question.answers))
    return max(_value(text, gold, question.kind) for gold in question.answers)


def _value(text: str, gold: str, kind: str) -> float:
    if kind == MULTI:
        return fmean(max(_f1(one, wanted) for one in text.split(",")) for wanted in gold.split(","))
    return _f1(text, gold.split(";", maxsplit=1)[0] if kind == OPEN else gold)


def _f1(text: str, gold: str) -> float:
    return overlap_f1(_stems(text), _stems(gold))


@lru_cache(maxsize=1024)
def _stems(text: str) -> tuple[str, ...]:
    return tuple(map(_stemmer(), _words(text)))


def _words(text: str) -> list[str]:
    """`normalise_answer`: lower case, no ASCII punctuation, no articles and no "and"."""
    return _LEFT_OUT.sub(" ", text.lower().translate(_NO_PUNCTUATION)).split()


@cache
def _stemmer() -> Callable[[str], str]:
    """NLTK's Porter stemmer with its extensions, which Snowball's does not have: the script's own."""
    from nltk.stem.porter import PorterStemmer

    stem: Callable[[str], str] = PorterStemmer().stem
    return stem
