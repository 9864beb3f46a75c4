"""Answers that say that nothing tells it: how they may read, and whether one does."""

from __future__ import annotations

import string

NOT_MENTIONED = "Not mentioned in the conversation"
SAYING_SO = (NOT_MENTIONED, "No information available", "unknown")
"""Accepted answers to what nothing tells, where a source has none of its own; `unknown` is what dialects ask for."""
PHRASES = ("no information available", "not mentioned")
"""Wherever one of them stands: snap-research/locomo@9228632 task_eval/evaluation.py `eval_question_answering`."""


def says_so(text: str) -> bool:
    """Whether an answer says that nothing tells it: one of `PHRASES` in it, or one of `SAYING_SO` and nothing else."""
    plain = text.lower().strip(string.punctuation + string.whitespace)
    return any(phrase in plain for phrase in PHRASES) or plain in map(str.lower, SAYING_SO)
