"""A policy for AgeMem that calls all six tools, with sense and without, answers, and bends both."""

from __future__ import annotations

import json
from collections.abc import Sequence
from random import Random
from typing import Any

from pydantic import PositiveInt

from atommem_cli import Generation, Section, WordTokenizer
from atommem_cli.core.episode import Call

PIECES = ("", '"', "[", "}", "</", "<tool_call>", "\\", "\ud83d", "9", "<think>", "</think>", "</tool_call>", "\u202e",
          "<answer>", "</answer>", "<script>alert(1)</script>", "null", "\x00", "Memory 1: ")  # fmt: skip


def one(dice: Random, words: list[str]) -> dict[str, Any]:
    """A call that may be carried out, or not."""
    text = " ".join(dice.choices(words, k=dice.randint(1, 6)))
    number = dice.randint(1, 6)
    name, arguments = dice.choice(
        [
            ("Add_memory", {"content": text, "metadata": {"n": number}}),
            ("Add_memory", {"content": text}),
            ("Update_memory", {"memory_id": number, "content": text}),
            ("Delete_memory", {"memory_id": number, "confirmation": dice.random() < 0.7}),
            ("Retrieve_memory", {"query": text, "top_k": dice.choice([0, 1, 2, 50])}),
            ("Summary_context", {"span": dice.choice(["all", "1", "2-3", "x"])}),
            ("Summary_context", {"messages": [number, 2 * number], "summary": text}),
            ("Filter_context", {"criteria": text}),
            ("Filter_context", {"messages": [number, number + dice.randint(0, 1)]}),
            ("Fly_away", {"to": text}),
        ]
    )
    return {"name": name, "arguments": arguments}


def reply(dice: Random, words: list[str], *, native: bool = False, answer: float = 0.2, bent: float = 0.2) -> str:
    """A whole reply.

    Args:
        native: whether each call stands in a block of its own, as models with tools write them.
        answer: how often it holds one.
        bent: how often something is put in, or taken away, that does not belong there.
    """
    calls = [one(dice, words) for _ in range(dice.choice([0, 1, 1, 2, 4]))]
    text = f"<think>{dice.choice(words)}</think>" if dice.random() < 0.3 else ""
    blocks = calls if native else [calls] if calls else []
    text += "".join(f"<tool_call>{json.dumps(block)}</tool_call>" for block in blocks)
    text += f"<answer>{dice.choice(words)}</answer>" if dice.random() < answer else ""
    while dice.random() < bent:
        at = dice.randrange(len(text) + 1)
        text = text[:at] + dice.choice(PIECES) + text[at + dice.randint(0, 9) :]
    return text


class Options(Section):
    batch: PositiveInt = 64


def tokenizer(_: Options) -> WordTokenizer:
    return WordTokenizer()


def window(_: Options) -> None:
    return None


class ToolCalls:
    """A policy whose reply depends on its call alone."""

    tokenizer = WordTokenizer()
    window = None

    def __init__(self, options: Options) -> None:
        self.batch = options.batch

    def generate(self, calls: Sequence[Call]) -> list[Generation]:
        return [self.reply(call) for call in calls]

    def reply(self, call: Call) -> Generation:
        told = call.observation.messages
        words = [word for message in told[-2:] for word in message.content.split()][:200] or ["nothing"]
        native = bool(call.observation.tools)
        text = reply(
            Random(call.seed), words, native=native, answer=0.3 if call.observation.question is not None else 0.02
        )
        count = self.tokenizer.spans
        prompt = sum(map(len, map(count, call.observation.texts)))
        return Generation(text, prompt_tokens=prompt, new_tokens=len(count(text)))

    def describe(self) -> dict[str, str]:
        return {"name": "tool_calls"}


build = ToolCalls
