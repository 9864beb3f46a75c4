"""Policies without a model: yardsticks for tasks, agents and tests.

They may look at the truth (`oracle`) or at nothing, but they speak through the agent's own dialect and
keep no state: a reply depends on the call alone, so an interrupted run continues as if it had not been.
"""

from __future__ import annotations

import functools
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic import PositiveInt

from atommem_cli.config.schema import Section
from atommem_cli.core.calls import MATERIAL, Expects, Generation, Observation
from atommem_cli.core.chunking import Tokenizer, WordTokenizer
from atommem_cli.core.episode import Call, Episode
from atommem_cli.core.errors import UsageError
from atommem_cli.core.types import MEMORY_OPS, MemoryOp, OpKind, Task
from atommem_cli.models import words
from atommem_cli.models.chat import OffsetTokenizer
from atommem_cli.policies._forgetful import amnesiac, wiper
from atommem_cli.policies._material import material
from atommem_cli.policies._oracle import Oracle, notes_shown, said, visible_answer
from atommem_cli.policies._sloppy import CAREFUL, SLOPPY, Demonstrator
from atommem_cli.policies._thorough import HASTY, THOROUGH, LookingDemonstrator


class Options(Section):
    """Keys of the recipe's `policy` section."""

    script: Literal[
        "oracle",
        "mute",
        "append_only",
        "amnesiac",
        "wiper",
        "sloppy",
        "careful",
        "hasty",
        "thorough",
        "random",
        "chaotic",
    ] = "oracle"
    """oracle: keeps every fact up to date and answers what its prompt proves (by a sentence with an accepted answer,
    where no gold facts are known); mute: says nothing; append_only: stores every statement, corrects none and clears
    nothing (a hoarder); amnesiac: stores nothing; wiper: stores nothing and clears its context of all that it reads;
    sloppy: shows a model of `stream` how it is done, but stores, reads, updates and deletes only some of the time;
    careful: sloppy without its faults; hasty and thorough: likewise, by a method that looks a fact up before it writes
    of it, and that keeps a context clear of distractors; random: well-formed nonsense; chaotic: malformed operations,
    hostile text, empty replies."""
    batch: PositiveInt = 64
    """Episodes played at once."""
    tokenizer: str | None = None
    """Model whose tokens count, for contexts and budgets that are to be those of that model; null counts words."""


def build(options: Options) -> Scripted:
    """The policy."""
    return Scripted(options)


def tokenizer(options: Options) -> Tokenizer:
    """What counts its tokens.

    Raises:
        MissingExtra: the model is not there.
    """
    named = options.tokenizer
    return WordTokenizer() if named is None else OffsetTokenizer(words.tokenizer_of(named), named)


def window(_: Options) -> int | None:
    """It takes a prompt of any length."""
    return None


@dataclass(frozen=True)
class Scripted:
    """Replies by script."""

    options: Options
    window: int | None = None

    @property
    def batch(self) -> int:
        return self.options.batch

    @functools.cached_property
    def tokenizer(self) -> Tokenizer:
        return tokenizer(self.options)

    def generate(self, calls: Sequence[Call]) -> list[Generation]:
        return [self._reply(call) for call in calls]

    def describe(self) -> dict[str, str]:
        named = self.options.tokenizer
        return {"name": f"scripted: {self.options.script}", **({"tokenizer": named} if named else {})}

    def insist_known(self, task: Task) -> None:
        """
        Raises:
            UsageError: the script does not know how such tasks are played.
        """
        script = self.options.script
        if script in _OF_STREAM and not all(question.path for question in task.questions):
            raise UsageError(f"policy.script: {script} knows tasks of `stream` alone, not {task.source}")

    def _reply(self, call: Call) -> Generation:
        if call.episode is None:
            return Generation("")
        self.insist_known(call.episode.task)
        text = _SCRIPTS[self.options.script](call.episode, call.observation, random.Random(call.seed))
        spans = self.tokenizer.spans
        prompt = sum(map(len, map(spans, call.observation.texts)))
        return Generation(text, prompt_tokens=prompt, new_tokens=len(spans(text)))


def _oracle(episode: Episode, observation: Observation, _: random.Random) -> str:
    return Oracle(episode, observation).reply()


def _mute(_: Episode, __: Observation, ___: random.Random) -> str:
    return ""


def _append_only(episode: Episode, observation: Observation, _: random.Random) -> str:
    write = episode.agent.write
    if observation.expects in MATERIAL:
        texts = [document.text for document in episode.task.documents]
        return material(episode, observation, texts, lambda _: texts, said(observation))
    if observation.question is None:
        seen = [*_documents(episode, observation.chunk), *observation.items]
        if observation.expects is Expects.NOTES:
            lines = [notes_shown(episode, observation), *seen]
            return write(Expects.NOTES, [MemoryOp(OpKind.SCRATCHPAD, "\n".join(filter(None, lines)))])
        known = {entry.text for entry in episode.memory.entries}
        ops = [MemoryOp(OpKind.CREATE, text) for text in seen if text not in known]
        return write(Expects.OPERATIONS, ops)
    question = episode.task.questions[observation.question]
    if observation.reads_left and episode.memory.query != question.text:
        return write(Expects.ANSWER, [MemoryOp(OpKind.READ, question.text)])
    return write(Expects.ANSWER, [], visible_answer(question, said(observation), episode.task.documents))


def _amnesiac(episode: Episode, observation: Observation, _: random.Random) -> str:
    return amnesiac(episode, observation)


def _wiper(episode: Episode, observation: Observation, _: random.Random) -> str:
    return wiper(episode, observation)


def _sloppy(episode: Episode, observation: Observation, dice: random.Random) -> str:
    return Demonstrator(episode, observation, SLOPPY, dice).reply()


def _careful(episode: Episode, observation: Observation, dice: random.Random) -> str:
    return Demonstrator(episode, observation, CAREFUL, dice).reply()


def _hasty(episode: Episode, observation: Observation, dice: random.Random) -> str:
    return LookingDemonstrator(episode, observation, HASTY, dice).reply()


def _thorough(episode: Episode, observation: Observation, dice: random.Random) -> str:
    return LookingDemonstrator(episode, observation, THOROUGH, dice).reply()


def _random(episode: Episode, observation: Observation, dice: random.Random) -> str:
    words = re.findall(r"\w+", observation.messages[-1].content) or ["nothing"]

    def phrase() -> str:
        return " ".join(dice.choices(words, k=dice.randint(1, 12)))

    if observation.expects is Expects.ANSWER and dice.random() < 0.7:
        return episode.agent.write(Expects.ANSWER, [], phrase())
    if observation.expects is Expects.RATING:
        return episode.agent.write(Expects.RATING, [], str(dice.randint(-1, 12)))
    if observation.expects is Expects.CHOICE:
        numbers = [dice.randint(1, len(observation.items) + 1) for _ in range(dice.randint(0, 4))]
        return episode.agent.write(Expects.CHOICE, [MemoryOp(OpKind.READ, target=number) for number in numbers])
    ops = []
    for _ in range(dice.randint(0, 4)):
        kind = dice.choice(MEMORY_OPS)
        addressed = kind in (OpKind.UPDATE, OpKind.DELETE)
        text = "" if kind is OpKind.DELETE else phrase()
        ops.append(MemoryOp(kind, text, dice.randint(1, 6) if addressed else None))
    return episode.agent.write(observation.expects, ops)


def _chaotic(episode: Episode, observation: Observation, dice: random.Random) -> str:
    """A random reply, then cut, doubled, shuffled and spiced with what breaks parsers and pages."""
    pieces = re.split(r"(<[^>]*>)", _random(episode, observation, dice))
    for _ in range(dice.randint(1, 5)):
        move = dice.randrange(5)
        at = dice.randrange(len(pieces))
        if move == 0:
            pieces[at] = pieces[at][: dice.randint(0, len(pieces[at]))]
        elif move == 1:
            pieces.insert(at, pieces[dice.randrange(len(pieces))])
        elif move == 2:
            dice.shuffle(pieces)
        elif move == 3:
            pieces.insert(at, dice.choice(_SPICE))
        else:
            del pieces[at]
            pieces = pieces or [""]
    return "".join(pieces)


_SPICE = (
    "<think>", "</think>", "<", ">", "</", "Memory 0: ", "Memory -1", "Memory 999999999999: x", "\x00", "\ud83d",
    "\u202e", "\x1b[31m", "<script>alert(1)</script>", "$questions ${x}", "\\boxed{", "}" * 50, "<answer>", "١",
)  # fmt: skip

_OF_STREAM = ("sloppy", "careful", "hasty", "thorough")

_SCRIPTS = {
    "oracle": _oracle,
    "mute": _mute,
    "append_only": _append_only,
    "amnesiac": _amnesiac,
    "wiper": _wiper,
    "sloppy": _sloppy,
    "careful": _careful,
    "hasty": _hasty,
    "thorough": _thorough,
    "random": _random,
    "chaotic": _chaotic,
}


def _documents(episode: Episode, chunk: int | None) -> list[str]:
    indices = episode.chunks[chunk].documents if chunk is not None else ()
    return [episode.task.documents[i].text for i in indices]
