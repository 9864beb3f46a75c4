"""Numbers that a language model is asked for: its instructions from a file, the case as one JSON object, its verdict.

The asking is the caller's.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any

from atommem_cli.core import thoughts
from atommem_cli.core.calls import Message

# The verdict first in its object, a reason may follow. In an echo of the case the quotes are escaped: no match.
_VERDICT = r"""\{{\s*["']{key}["']\s*:\s*["']?({value})["']?\s*[,}}]"""
_NUMBER = r"[0-9]+(?:\.[0-9]*)?|\.[0-9]+"


@cache
def prompt(name: str) -> str:
    """The instructions in scoring/prompts/NAME.txt, in words of our own."""
    return (resources.files("atommem_cli.scoring") / "prompts" / f"{name}.txt").read_text(encoding="utf-8").strip()


def digest(name: str) -> str:
    """SHA-256 of the instructions, hexadecimal: part of what a verdict depends on."""
    return hashlib.sha256(prompt(name).encode()).hexdigest()


def messages(name: str, case: Mapping[str, Any]) -> tuple[Message, ...]:
    """The instructions, and the case as a message of its own: one JSON object.

    A text in it cannot leave its string, and since `<` is escaped it cannot spell a tag or a chat template's `<|...|>`
    either.
    """
    fenced = json.dumps(case, ensure_ascii=False).replace("<", "\\u003c")
    return Message("system", prompt(name)), Message("user", fenced)


def said(reply: str, key: str, value: str, marks: thoughts.Marks = thoughts.MARKS) -> set[str]:
    """The values under a key in the verdicts of a reply, fenced or in prose, in lower case; not in its thoughts.

    Args:
        value: what one looks like, a regular expression.
        marks: of the judge's thoughts; see `thoughts.split`.
    """
    pattern = re.compile(_VERDICT.format(key=re.escape(key), value=value), re.IGNORECASE)
    return {match.lower() for match in pattern.findall(thoughts.split(reply, marks).said)}


def number(reply: str, key: str, most: float, marks: thoughts.Marks = thoughts.MARKS) -> float | None:
    """The one number from 0 to `most` under a key; None for no verdict, several different ones, or one beyond."""
    found = {float(one) for one in said(reply, key, _NUMBER, marks)}
    (value,) = found if len(found) == 1 else (-1.0,)
    return value if 0 <= value <= most else None
