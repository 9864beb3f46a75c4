"""Where a thought ends and what is said begins: the one place that takes a reply apart.

Every reader of a reply (operations, notes, answers, the judge, the counts of a run) reads what `split` leaves.

    <think>a</think>b       b     a thought stands between its marks
    a</think>b              b     what stands before a closing mark without an opening one is thought: newer chat
                                  templates open it in the prompt
    a</think>b</think>c     c     however often, so a thought that quotes marks is thought to its end
    a<think>b               a     a thought that never ended (cut at its limit) goes to the end of the reply

Any closing mark ends any thought. A mark inside the payload of a complete operation or answer is text of that
payload: `<create_memory>Qwen ends a thought with </think>.</create_memory>` is an operation. (A thought that
neither begins with a mark nor ends outside the tags of one draft is therefore taken for that draft.)

Marks are a key of the policy, `thoughts`, because they are the habit of a model: `policy.thoughts`, and
`eval.judge.thoughts` for the judge. Pairs of opening and closing mark; upper and lower case are the same.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, NamedTuple

from pydantic import AfterValidator, Field

Marks = tuple[tuple[str, str], ...]
Span = tuple[int, int]

MARKS: Marks = (
    ("<think>", "</think>"),  # DeepSeek-R1 and its distills, Qwen3, QwQ, GLM, MiniMax, Nemotron
    ("<thinking>", "</thinking>"),
    ("<thought>", "</thought>"),  # EXAONE Deep
    ("<thoughts>", "</thoughts>"),
    ("<reasoning>", "</reasoning>"),
    ("<reason>", "</reason>"),
    ("<reflection>", "</reflection>"),
    ("<seed:think>", "</seed:think>"),  # Seed-OSS
    ("<longcat_think>", "</longcat_think>"),  # LongCat-Flash-Thinking
    ("[THINK]", "[/THINK]"),  # Magistral
    ("◁think▷", "◁/think▷"),  # Kimi-VL
    ("<|START_THINKING|>", "<|END_THINKING|>"),  # Command A Reasoning
    ("<|begin_of_thought|>", "<|end_of_thought|>"),  # OpenThinker, Sky-T1
    ("<|channel>thought", "<channel|>"),  # Gemma 4
    ("<unused94>thought", "<unused95>"),  # MedGemma
    ("<|channel|>analysis<|message|>", "<|channel|>final<|message|>"),  # gpt-oss
    ("analysis", "assistantfinal"),  # gpt-oss where the server drops special tokens
    ("Here is my thought process:", "Here is my response:"),  # Granite 3
)
"""Of the families in use. Marks of plain words count only where the reply begins with the opening one."""


class Reply(NamedTuple):
    """A reply, taken apart."""

    thought: str
    """Without its marks; empty where there is none."""
    said: str
    where: tuple[Span, ...] = ()
    """The stretches of the reply that `said` is made of, in order."""

    @property
    def empty(self) -> bool:
        """Whether nothing is said, whatever was thought."""
        return not self.said or self.said.isspace()

    def place(self, start: int, end: int) -> Span:
        """Where a stretch of `said` that is not empty stands in the reply, thoughts in it included."""
        first, last = start, end - 1
        for a, b in self.where:
            if 0 <= first < b - a:
                begin = a + first
            if last < b - a:
                return begin, a + last + 1
            first, last = first - (b - a), last - (b - a)
        raise ValueError(f"{start, end} is not within what is said")


def split(reply: str, marks: Marks = MARKS, quoted: Sequence[Span] = ()) -> Reply:
    """Take a reply apart. Linear in its length; never raises.

    Args:
        quoted: stretches of the reply, in order, in which marks are text; not inside of a thought.
    """
    at = _words(reply, marks)
    thought, said = [(0, at)] if at else [], list[Span]()
    thinking, last = at == len(reply) and at > 0, at
    spans = iter(quoted)
    span = next(spans, None)
    pattern = _pattern(marks)
    for mark in pattern.finditer(reply, at) if pattern and not thinking else ():
        while span is not None and span[1] <= mark.start():
            span = next(spans, None)
        if not thinking and span is not None and span[0] <= mark.start():
            continue
        (thought if thinking else said).append((last, mark.start()))
        if mark.lastgroup == "closes":
            if not thinking:  # nothing opened it: it was thought all along
                thought += said
                said.clear()
            thinking = False
        else:
            thinking = True
        last = mark.end()
    (thought if thinking else said).append((last, len(reply)))
    texts = ("".join(reply[start:end] for start, end in spans) for spans in (thought, said))
    return Reply(next(texts).strip(), next(texts), tuple(said))


def marked(reply: str, marks: Marks) -> bool:
    """Whether there is a mark in it at all: few replies have one."""
    pattern = _pattern(marks)
    return bool(_words(reply, marks) or (pattern and pattern.search(reply)))


def marks_of(options: Mapping[str, Any] | None) -> Marks:
    """The marks that a policy's options name, or the default ones."""
    given = (options or {}).get("thoughts")
    return MARKS if given is None else tuple((str(first), str(last)) for first, last in given)


def _checked(marks: Marks | None) -> Marks | None:
    if any(not mark.strip() for pair in marks or () for mark in pair):
        raise ValueError("a mark cannot be empty")
    return marks


OwnMarks = Annotated[Marks | None, AfterValidator(_checked), Field(exclude_if=lambda value: value is None)]
"""The type of a policy's option `thoughts`; None is `MARKS`, and is no part of a recipe's digest."""


@functools.cache
def _pattern(marks: Marks) -> re.Pattern[str] | None:
    spelled = [pair for pair in marks if not _plain(pair)]
    if not spelled:
        return None
    closes, opens = ("|".join(_loosely(pair[side]) for pair in spelled) for side in (1, 0))
    return re.compile(f"(?P<closes>{closes})|(?P<opens>{opens})", re.IGNORECASE)


def _plain(pair: tuple[str, str]) -> bool:
    return pair[0][0].isalnum() and pair[1][0].isalnum()


def _loosely(mark: str) -> str:
    """`</think >` is `</think>`."""
    return rf"{re.escape(mark[:-1])}\s*>" if mark.endswith(">") else re.escape(mark)


@functools.cache
def _worded(marks: Marks) -> Marks:
    """Those of plain words."""
    return tuple(filter(_plain, marks))


def _words(reply: str, marks: Marks) -> int:
    """Where what is said begins, in a reply that begins with a mark of plain words; else 0."""
    begun = len(reply) - len(reply.lstrip())
    for opens, closes in _worded(marks):
        if not reply.startswith(opens, begun):
            continue
        end = reply.rfind(closes)
        if end >= 0:
            return end + len(closes)
        following = reply[begun + len(opens) : begun + len(opens) + 1]
        if not opens.isalpha() or following.isupper():  # "analysisWe need", not "analysis of"
            return len(reply)
    return 0
