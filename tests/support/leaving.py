"""A policy for AgeMem, in whichever grammar, that leaves it to the agent what an edit of the context means: a Filter by
criteria alone, a Summary without messages and text."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from pydantic import PositiveInt

from atommem_cli import Expects, Generation, MemoryOp, OpKind, Section, WordTokenizer
from atommem_cli.core.episode import Call


class Options(Section):
    batch: PositiveInt = 64


def tokenizer(_: Options) -> WordTokenizer:
    return WordTokenizer()


def window(_: Options) -> None:
    return None


class Leaving:
    """Its reply depends on its call alone."""

    tokenizer = WordTokenizer()
    window = None

    def __init__(self, options: Options) -> None:
        self.batch = options.batch

    def generate(self, calls: Sequence[Call]) -> list[Generation]:
        return [self.reply(call) for call in calls]

    def reply(self, call: Call) -> Generation:
        episode, asked, dice = call.episode, call.observation, Random(call.seed)
        assert episode is not None
        words = asked.messages[-1].content.split()
        if asked.expects is Expects.NOTES:
            text = " ".join(dice.sample(words, min(5, len(words))))
        elif asked.question is not None:
            text = episode.agent.write(asked.expects, [], words[0])
        else:
            said = episode.chunks[asked.chunk].text if asked.chunk is not None else words[0]
            edits = [
                [MemoryOp(OpKind.FILTER, said)],
                [MemoryOp(OpKind.SUMMARIZE, meta=(("span", "all"),))],
                [MemoryOp(OpKind.CREATE, said)],
            ]
            text = episode.agent.write(asked.expects, dice.choice(edits))
        count = self.tokenizer.spans
        prompt = sum(len(count(message.content)) for message in asked.messages)
        return Generation(text, prompt_tokens=prompt, new_tokens=len(count(text)))

    def describe(self) -> dict[str, str]:
        return {"name": "leaving"}


build = Leaving
