"""A policy that edits its own conversation, for the agent of `growing.py`: what it does is thrown with its seed's dice.

A plug-in as any other. It keeps the last line that it was shown, takes messages out, its own reply to come included,
and sums messages up, summaries included.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from random import Random

from report_runs import ATTACK

from atommem_cli import Expects, Generation, MemoryOp, OpKind, Section, WordTokenizer
from atommem_cli.core.episode import Call


class Options(Section):
    """It has no keys."""


def tokenizer(options: Options) -> WordTokenizer:
    return WordTokenizer()


def window(options: Options) -> None:
    return None


class Editing:
    batch = 4
    tokenizer = WordTokenizer()
    window = None

    def generate(self, calls: Sequence[Call]) -> list[Generation]:
        return [self.reply(call) for call in calls]

    def reply(self, call: Call) -> Generation:
        assert call.episode is not None
        messages = call.observation.messages
        if call.observation.expects is Expects.ANSWER:
            text = json.dumps({"answer": messages[-1].content.split()[-2]})
        else:
            last = messages[-1].content.splitlines()[-1]
            ops = [MemoryOp(OpKind.CREATE, last), *self.edits(call.episode.context.next_id, Random(call.seed))]
            text = call.episode.agent.write(Expects.OPERATIONS, ops)
        prompt = sum(len(message.content.split()) for message in messages)
        return Generation(text, prompt_tokens=prompt, new_tokens=len(text.split()))

    def edits(self, coming: int, dice: Random) -> list[MemoryOp]:
        """A filter and a summary, each most of the time; some of the messages are not there any more."""
        chosen = [tuple(dice.sample(range(2, coming + 1), min(coming - 1, dice.randrange(1, 4)))) for _ in range(2)]
        ops = [
            MemoryOp(OpKind.FILTER, targets=chosen[0]),
            MemoryOp(OpKind.SUMMARIZE, f"In short: {ATTACK}", targets=chosen[1]),
        ]
        return [op for op in ops if dice.random() < 0.7]

    def describe(self) -> dict[str, str]:
        return {"name": "editing"}


def build(options: Options) -> Editing:
    return Editing()
