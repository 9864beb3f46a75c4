"""A language model as a scorer: what it is asked and how its verdict is read; the asking is the caller's."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from atommem_cli.core import thoughts
from atommem_cli.core.calls import Message
from atommem_cli.core.types import Question
from atommem_cli.scoring import grades

NAME = "judge"
"""The scorer's name in a recipe, beside those in `metrics.SCORERS`."""
GENERAL = "general"
"""The instructions of judge.txt, whatever the question."""
_ELSE = ""
_ABSTENTION = "abstention"
INSTRUCTIONS: Mapping[str, Mapping[str, str]] = {
    GENERAL: {_ELSE: NAME},
    "longmemeval": {
        _ELSE: "longmemeval_answer",
        "temporal-reasoning": "longmemeval_temporal",
        "knowledge-update": "longmemeval_update",
        "single-session-preference": "longmemeval_preference",
        _ABSTENTION: "longmemeval_abstention",
    },
}
"""By name, the files of scoring/prompts by the question's kind; `abstention` is for those that nothing answers.

`general` is own wording; as lenient to extra detail as the judge of RUCBM/AtomMem@238d36c
AtomMem/verl/utils/reward_score/hotpotqa.py, but it shows the question, and the golds of no other one. `longmemeval` has
the rules of xiaowu0162/LongMemEval@b11ff72 src/evaluation/evaluate_qa.py `get_anscheck_prompt` in our words, and the
verdict that all our judges give.
"""
_OF_SOURCE = {"longmemeval": "longmemeval", "locomo": "longmemeval"}


def leading(scorers: Sequence[str]) -> str:
    """The scorer by which misses, kinds of question and differences are told: the first that is no judge.

    The judge is it where nothing else scores.
    """
    return next((name for name in scorers if name != NAME), NAME)


def instructions(named: str, source: str) -> str:
    """The name of a judge's instructions: what a recipe says (`eval.judging`), else those for the task source."""
    return named or _OF_SOURCE.get(source, GENERAL)


def instructions_of(digest: str) -> str:
    """The name of the instructions with a digest; empty for those of another version."""
    return next((name for name in INSTRUCTIONS if prompt_digest(name) == digest), "")


class UnreadableVerdict(ValueError):
    """The judge's reply holds no verdict, or two different ones; it is no score, whatever it says."""


def prompt_digest(judging: str = GENERAL) -> str:
    """SHA-256 of the instructions, hexadecimal: part of what a judged score depends on.

    Args:
        judging: their name; of several files it is that of their digests.
    """
    digests = [grades.digest(name) for name in INSTRUCTIONS[judging].values()]
    return digests[0] if len(digests) == 1 else hashlib.sha256("\n".join(digests).encode()).hexdigest()


def judge_messages(question: Question, answer: str, judging: str = GENERAL) -> tuple[Message, ...]:
    """The instructions for a question of this kind, and the case, as `grades.messages`."""
    files = INSTRUCTIONS[judging]
    name = files.get(_ABSTENTION if question.unanswerable else question.kind, files[_ELSE])
    told: dict[str, Any] = {"gold_answers": list(question.answers)}
    if name == "longmemeval_abstention":
        told = {"explanation": question.explanation}
    elif name == "longmemeval_preference":
        told = {"rubric": question.answers[0]}
    return grades.messages(name, {"question": question.text, **told, "answer": answer})


def parse_verdict(reply: str, marks: thoughts.Marks = thoughts.MARKS) -> bool:
    """The verdict of a judge's reply: `{"correct": true}` or false, fenced or in prose; not in its thoughts.

    Args:
        marks: of the judge's thoughts; see `thoughts.split`.

    Raises:
        UnreadableVerdict: no verdict, an unfinished thought, or both true and false.
    """
    verdicts = grades.said(reply, "correct", "true|false", marks)
    if len(verdicts) != 1:
        problem = "two different verdicts" if len(verdicts) > 1 else "no verdict"
        raise UnreadableVerdict(f"{problem} in the judge's reply {_shortened(reply)!r}")
    return verdicts == {"true"}


def _shortened(reply: str) -> str:
    return reply if len(reply) <= 200 else f"{reply[:100]} ... {reply[-100:]}"
