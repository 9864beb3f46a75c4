"""What agents share: the options, the answer step and how a prompt is filled."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from typing import Any

from atommem_cli import dialect
from atommem_cli.episode import Episode, Request, ask
from atommem_cli.sections import Section
from atommem_cli.types import Expects, MemoryOp, Observation, OpKind


class Options(Section):
    """Keys of the recipe's `agent` section, the same for every agent."""

    dialect: str = "paper"
    """A file of `dialects/`: all wording, and the reader prompt that all agents share."""


class Speaker:
    """Base of the agents: a name, a dialect, and the step in which a question is answered."""

    name: str
    calls_per_chunk = 0
    reads_again = False
    operations: tuple[OpKind, ...] = ()

    def __init__(self, options: Options) -> None:
        self.dialect = dialect.load(options.dialect)

    def write(self, expects: Expects, ops: Sequence[MemoryOp], answer: str | None = None) -> str:
        return self.dialect.write(expects, ops, answer)

    def parse(self, expects: Expects, reply: str) -> tuple[MemoryOp, ...]:
        if expects is Expects.NOTES:
            return (MemoryOp(OpKind.SCRATCHPAD, reply),)
        return self.dialect.parse(reply)

    def describe(self) -> dict[str, str]:
        return {"name": self.name, "dialect": self.dialect.name, "prompts": self.dialect.digest}

    def answering(
        self,
        episode: Episode,
        question: int,
        material: Mapping[str, str],
        *,
        section: str = "reader",
        reads_left: int = 0,
    ) -> Observation:
        """The call that asks one question about some material."""
        fields = {**material, "question": episode.task.questions[question].text}
        if reads_left:
            fields["reads_left"] = str(reads_left)
        return Observation(
            self.dialect.messages(section, fields, episode.memory.untold),
            episode.limits.answer,
            Expects.ANSWER,
            question=question,
            reads_left=reads_left,
        )

    def read_answer(
        self, episode: Episode, question: int, material: Mapping[str, str], *, section: str = "reader"
    ) -> Generator[Request, Any, None]:
        """Ask one question once and hand in what comes back."""
        reply = yield from ask(self.answering(episode, question, material, section=section))
        episode.give(question, self.dialect.answer(reply.text))


def all_questions(episode: Episode) -> str:
    """Every question of the task, as the reading prompts show them (papers.md 1.1: all, from chunk one)."""
    questions = episode.task.questions
    if len(questions) == 1:
        return questions[0].text
    return "\n".join(f"{i}. {q.text}" for i, q in enumerate(questions, start=1))
