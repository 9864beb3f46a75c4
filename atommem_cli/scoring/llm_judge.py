"""A language model as a scorer: what it is asked and how its verdict is read; the asking is the caller's."""

from __future__ import annotations

from collections.abc import Sequence

from atommem_cli.core import thoughts
from atommem_cli.core.calls import Message
from atommem_cli.scoring import grades

NAME = "judge"
"""The scorer's name in a recipe, beside those in `metrics.SCORERS`."""


def leading(scorers: Sequence[str]) -> str:
    """The scorer by which misses, kinds of question and differences are told: the first that is no judge.

    The judge is it where nothing else scores.
    """
    return next((name for name in scorers if name != NAME), NAME)


class UnreadableVerdict(ValueError):
    """The judge's reply holds no verdict, or two different ones; it is no score, whatever it says."""


def prompt_digest() -> str:
    """SHA-256 of the instructions (scoring/prompts/judge.txt), hexadecimal: part of what a judged score depends on.

    Own wording; as lenient to extra detail as the judge of RUCBM/AtomMem@238d36c
    AtomMem/verl/utils/reward_score/hotpotqa.py, but it shows the question, and the golds of no other one.
    """
    return grades.digest(NAME)


def judge_messages(question: str, golds: tuple[str, ...], answer: str) -> tuple[Message, ...]:
    """The instructions and the case, as `grades.messages`."""
    return grades.messages(NAME, {"question": question, "gold_answers": list(golds), "answer": answer})


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
