"""What agents share: the options, the answer step and how a prompt is filled."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from typing import Any

from atommem_cli.config.schema import Section
from atommem_cli.core import components
from atommem_cli.core.calls import Expects, Observation
from atommem_cli.core.episode import Episode, Request, apply, ask
from atommem_cli.core.memory import Addressing
from atommem_cli.core.thoughts import MARKS, Marks
from atommem_cli.core.types import Document, MemoryEntry, MemoryOp, OpKind, Shows
from atommem_cli.dialects import dialect


class Options(Section):
    """Keys of the recipe's `agent` section, the same for every agent."""

    dialect: str = "paper"
    """All wording, and the reader prompt that all agents share: the name of a file of `dialects/`, or the path of
    one's own, which ends in .yaml, from the working folder."""


class Speaker:
    """Base of the agents: a name, a dialect, and the step in which a question is answered."""

    name: str
    calls_per_chunk = 0
    reads_again = False
    spare_calls = 0
    operations: tuple[OpKind, ...] = ()
    shows = Shows.CHUNKS
    addressing: Addressing = "shown"
    embeds = False
    helpers: tuple[str, ...] = ()

    def __init__(self, options: Options) -> None:
        self.dialect = dialect.load(options.dialect)

    @property
    def components(self) -> components.Components:
        """What `ablate` can take from it, and the operations that go along."""
        return components.of_operations(self.operations)

    def write(self, expects: Expects, ops: Sequence[MemoryOp], answer: str | None = None) -> str:
        return self.dialect.write(expects, ops, answer)

    def parse(self, expects: Expects, reply: str, marks: Marks = MARKS) -> tuple[MemoryOp, ...]:
        return self.dialect.notes(reply, marks) if expects is Expects.NOTES else self.dialect.parse(reply, marks)

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
        operating: bool = False,
    ) -> Observation:
        """The call that asks one question about some material.

        Args:
            operating: whether the operations of the reply will run.
        """
        fields = {**material, "question": episode.task.questions[question].text}
        if reads_left:
            fields["reads_left"] = str(reads_left)
        return Observation(
            self.dialect.messages(section, fields, episode.memory.untold, operating=operating),
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
        episode.give(question, self.dialect.answer(reply.text, episode.marks))

    def look_up_and_answer(self, episode: Episode) -> Generator[Request, Any, None]:
        """Ask every question about what its own text finds in the store."""
        for number, question in enumerate(episode.task.questions):
            yield from apply([MemoryOp(OpKind.READ, question.text)])
            yield from self.read_answer(episode, number, {"memories": self.memories(episode)})

    def memories(self, episode: Episode, entries: Sequence[MemoryEntry] | None = None) -> str:
        """Entries as the prompt shows them.

        What goes beyond the dialect's `memory_tokens` is cut off at the end; its numbers can be addressed all the
        same, as in the released code.

        Args:
            entries: None is what the persistent query retrieves.
        """
        text = self.dialect.memories(episode.memory.show() if entries is None else entries)
        most = self.dialect.memory_tokens
        spans = episode.tokenizer.spans(text) if most is not None else ()
        return text if most is None or len(spans) <= most else text[: spans[most - 1][1]]

    def questions(self, episode: Episode) -> str:
        """Every question of the task, as the reading prompts show them (papers.md 1.1: all, from chunk one).

        Where there are several, each is one line, whatever line breaks it holds.
        """
        texts = [question.text for question in episode.task.questions]
        if len(texts) == 1:
            return texts[0]
        lines = [" ".join(text.splitlines()) for text in texts]
        return "\n".join(f"{i}. {line}" if self.dialect.numbered else line for i, line in enumerate(lines, start=1))


def document_text(document: Document) -> str:
    """A document as one text: its title, if it has one, on a line of its own."""
    return f"{document.title}\n{document.text}" if document.title else document.text
