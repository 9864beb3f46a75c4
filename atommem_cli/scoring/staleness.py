"""Supersede's score of an answer (Patel 2026, arXiv 2606.27472): is it what is true now, or what was and is no more?

Its reward is +1 for an answer that names the current value and -1 for one that names a superseded one
(Vrin-cloud/supersede@351b697 src/supersede/reward.py, `answered_current` and `stale_penalty`), which adds up to 0 where
both are named. Theirs also takes parts of a gold answer, and six words in ten of it, for the whole.
"""

from __future__ import annotations

from collections.abc import Sequence

from atommem_cli.core.types import Answer, Question
from atommem_cli.scoring.normal import normalise

NAME = "stale"
LOWEST = -1.0
"""Of its scores; the highest is 1."""
SHARES = {"current": 1.0, "stale": -1.0, "other": 0.0}
"""What its scores say: the answer names what is true now, what is no more, or neither of them (or both)."""


def stale(answer: Answer, question: Question) -> float:
    """Whether an answer is current (1) or outdated (-1), by the values that it names; 0 for neither, and for both.

    A value is named where its words stand in the answer in a row, both after `normalise`. Which values are outdated the
    question says (`Question.stale`); where it says none, no answer is -1.
    """
    return float(_names(answer.text, question.answers)) - float(_names(answer.text, question.stale))


def outdated(text: str, question: Question) -> bool:
    """Whether an answer names what is no more, and not what is true now."""
    return stale(Answer(text), question) < 0


def _names(text: str, values: Sequence[str]) -> bool:
    said = f" {normalise(text)} "
    return any(f" {plain} " in said for value in values if (plain := normalise(value)))
