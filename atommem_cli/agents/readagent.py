"""ReadAgent (arXiv 2402.09727): gists of pages, and the pages themselves where a question calls for them.

The policy shortens each page to a gist; for a question it sees all gists, names pages to look up, and answers from the
gists and these pages. Source: the notebook of read-agent.github.io (papers.md 3.12). What is otherwise here: a page is
a chunk of the harness (there, the model picks breaks in windows of 280 to 600 words); the gists are the scratchpad and
the pages entries of the store, as no agent may go back to the documents; a page that is looked up stands beside the
gists, not in the place of its own.

Calls: one a chunk, two a question; `lookup: sequential` one more for each page.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from types import MappingProxyType
from typing import Any, Literal

from pydantic import PositiveInt

from atommem_cli.agents import _json_reply as replies
from atommem_cli.agents import _workflow
from atommem_cli.agents._workflow import Workflow
from atommem_cli.core.calls import Expects
from atommem_cli.core.episode import Episode, Play, Request, apply, ask
from atommem_cli.core.thoughts import MARKS, Marks
from atommem_cli.core.types import MemoryOp, OpKind, Outcome
from atommem_cli.core.workload import Shape, Workload

__all__ = ["Options", "build"]


class Options(_workflow.Options):
    """Keys of the recipe's `agent` section."""

    lookup: Literal["parallel", "sequential"] = "parallel"
    """Whether the pages for a question are named all at once (ReadAgent-P), or one at a time in view of those before it
    (ReadAgent-S)."""
    pages: PositiveInt = 6
    """Most pages that are looked up for a question (the notebook: up to 6)."""


def build(options: Options) -> ReadAgent:
    """The agent."""
    return ReadAgent(options)


class ReadAgent(Workflow):
    """Keeps a gist of each page, and looks pages up."""

    name = "readagent"
    source = "read-agent.github.io, the notebook of arXiv 2402.09727"
    calls_per_chunk = 1
    operations = (OpKind.CREATE, OpKind.SCRATCHPAD)
    prompt_fields = MappingProxyType(
        {"gist": frozenset({"chunk"}), "lookup": frozenset({"items", "question", "memories"})}
    )

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self._together, self._pages = options.lookup == "parallel", options.pages

    def workload(self, shape: Shape, reply: int) -> Workload:
        looks = 0 if not shape.chunks else 1 if self._together else min(self._pages, shape.chunks)
        low, high = (shape.chunks + shape.questions * (1 + some) for some in (min(looks, 1), looks))
        pages = shape.questions * min(self._pages, shape.chunks)
        return Workload((low, high), (0, pages))

    def play(self, episode: Episode) -> Play:
        gists: list[str] = []
        pages: list[int] = []
        for chunk in episode.chunks:
            reply = yield from ask(self.call(episode, "gist", {"chunk": chunk.text}, Expects.NOTES, chunk=chunk))
            gist = "".join(op.text for op in self.parse(Expects.NOTES, reply.text, episode.marks))
            page = MemoryOp(OpKind.CREATE, chunk.text)
            notes = MemoryOp(OpKind.SCRATCHPAD, self.prompts.listed([*gists, gist]))
            for result in (yield from apply([page, notes])):
                if result.op.kind is OpKind.CREATE and result.outcome is Outcome.OK and result.entry is not None:
                    pages.append(result.entry)
                    gists.append(gist)
        for question in range(len(episode.task.questions)):
            shown = yield from self._look_up(episode, question, pages)
            entries = episode.memory.present(shown)
            material = {"scratchpad": episode.memory.scratchpad, "memories": self.dialect.memories(entries)}
            yield from self.read_answer(episode, question, material)

    def _look_up(self, episode: Episode, question: int, pages: Sequence[int]) -> Generator[Request, Any, list[int]]:
        """The pages that the policy names for a question, as ids of entries."""
        texts = {entry.id: entry.text for entry in episode.memory.entries}
        found: list[int] = []
        while pages and len(found) < self._pages:
            fields = {
                "items": episode.memory.scratchpad,
                "question": episode.task.questions[question].text,
                **({"memories": self.prompts.listed([texts[page] for page in found])} if found else {}),
            }
            there = [texts[page] for page in pages]
            reply = yield from ask(self.call(episode, "lookup", fields, Expects.CHOICE, question=question, items=there))
            named = [op.target for op in self.parse(Expects.CHOICE, reply.text, episode.marks) if op.target]
            news = [pages[n - 1] for n in named if n <= len(pages) and pages[n - 1] not in found]
            if self._together:
                return news[: self._pages]
            if not news:
                break
            found.append(news[0])
        return found

    def write(self, expects: Expects, ops: Sequence[MemoryOp], answer: str | None = None) -> str:
        if expects is Expects.CHOICE:
            return replies.dumped([op.target for op in ops if op.target])
        return super().write(expects, ops, answer)

    def parse(self, expects: Expects, reply: str, marks: Marks = MARKS) -> tuple[MemoryOp, ...]:
        if expects is Expects.CHOICE:
            return replies.choice(replies.items(replies.said(reply, marks), "pages"))
        return super().parse(expects, reply, marks)
