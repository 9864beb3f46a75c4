"""A language model as a scorer: what it is asked and how its verdict is read; the asking is the caller's."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from functools import cache
from importlib import resources

from atommem_cli.core import thoughts
from atommem_cli.core.calls import Message

NAME = "judge"
"""The scorer's name in a recipe, beside those in `metrics.SCORERS`."""

# The verdict first in its object, a reason may follow. In an echo of the case the quotes are escaped: no match.
_VERDICT = re.compile(r"""\{\s*["']correct["']\s*:\s*["']?(true|false)["']?\s*[,}]""", re.IGNORECASE)


def leading(scorers: Sequence[str]) -> str:
    """The scorer by which misses, kinds of question and differences are told: the first that is no judge.

    The judge is it where nothing else scores.
    """
    return next((name for name in scorers if name != NAME), NAME)


class UnreadableVerdict(ValueError):
    """The judge's reply holds no verdict, or two different ones; it is no score, whatever it says."""


@cache
def prompt() -> str:
    """The judge's instructions (scoring/prompts/judge.txt).

    Own wording; as lenient to extra detail as the judge of RUCBM/AtomMem@238d36c
    AtomMem/verl/utils/reward_score/hotpotqa.py, but it shows the question, and the golds of no other one.
    """
    return (resources.files("atommem_cli.scoring") / "prompts" / "judge.txt").read_text(encoding="utf-8").strip()


def prompt_digest() -> str:
    """SHA-256 of the instructions, hexadecimal: part of what a judged score depends on."""
    return hashlib.sha256(prompt().encode()).hexdigest()


def judge_messages(question: str, golds: tuple[str, ...], answer: str) -> tuple[Message, ...]:
    """The instructions, and the case as a message of its own: one JSON object.

    An answer cannot leave its string, and since `<` is escaped it cannot spell a tag or a chat template's
    `<|...|>` either.
    """
    case = {"question": question, "gold_answers": list(golds), "answer": answer}
    fenced = json.dumps(case, ensure_ascii=False).replace("<", "\\u003c")
    return Message("system", prompt()), Message("user", fenced)


def parse_verdict(reply: str, marks: thoughts.Marks = thoughts.MARKS) -> bool:
    """The verdict of a judge's reply: `{"correct": true}` or false, fenced or in prose; not in its thoughts.

    Args:
        marks: of the judge's thoughts; see `thoughts.split`.

    Raises:
        UnreadableVerdict: no verdict, an unfinished thought, or both true and false.
    """
    verdicts = {match.lower() for match in _VERDICT.findall(thoughts.split(reply, marks).said)}
    if len(verdicts) != 1:
        problem = "two different verdicts" if len(verdicts) > 1 else "no verdict"
        raise UnreadableVerdict(f"{problem} in the judge's reply {_shortened(reply)!r}")
    return verdicts == {"true"}


def _shortened(reply: str) -> str:
    return reply if len(reply) <= 200 else f"{reply[:100]} ... {reply[-100:]}"
