"""What agents share whose calls are fixed beforehand (static workflows): their prompts, their calls, their searches.

A call takes something out of the text (FACTS), chooses among what is shown (CHOICE), rates it (RATING), or decides on
operations (OPERATIONS); code does the rest. Replies are JSON, read leniently: one that cannot be read means nothing.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from typing import Any, ClassVar

from atommem_cli.agents import _prompts, _steps
from atommem_cli.agents._steps import Speaker
from atommem_cli.core.calls import POLICY, Expects, Observation
from atommem_cli.core.episode import Episode, Request, apply
from atommem_cli.core.types import Chunk, Document, MemoryEntry, MemoryOp, OpKind


class Options(_steps.Options):
    """Keys of the recipe's `agent` section that such agents share."""

    prompts: str = "json"
    """Wording of the agent's own calls: a name that comes with it, or the path of a file of one's own, which ends in
    .yaml. The reader prompt, which all agents share, is the dialect's."""


class Workflow(Speaker):
    """Base of such agents."""

    source: str
    """Which version of the system it is: repository or package, and commit or number."""
    prompt_fields: ClassVar[_prompts.Calls]
    """Its calls by name, each with the fields that its prompt may show."""

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self.prompts = _prompts.load(self.name, options.prompts, self.prompt_fields)

    def describe(self) -> dict[str, str]:
        return {**super().describe(), "source": self.source, "calls": f"{self.prompts.name} {self.prompts.digest}"}

    def asked_of(self, helper: str, who: str) -> str:
        """Who makes a call that a model of the recipe's may be asked for, and declares that model.

        Args:
            who: helper, or anything else for the policy.
        """
        self.helpers = (helper,) if who == "helper" else ()
        return helper if self.helpers else POLICY

    def call(
        self,
        episode: Episode,
        name: str,
        fields: Mapping[str, str],
        expects: Expects,
        *,
        chunk: Chunk | None = None,
        question: int | None = None,
        items: Sequence[str] = (),
    ) -> Observation:
        """One of its own calls.

        Args:
            fields: of the prompt; parts whose field is not given are left out.
            items: what a CHOICE is among, as `Observation.items`.
        """
        return Observation(
            self.prompts.messages(name, fields),
            episode.limits.reply,
            expects,
            chunk=None if chunk is None else chunk.index,
            question=question,
            items=tuple(items),
        )

    def search(
        self, episode: Episode, query: str, k: int | None = None
    ) -> Generator[Request, Any, tuple[MemoryEntry, ...]]:
        """Look something up: the nearest entries, best first; none where the Read is refused.

        Args:
            k: how many; None is the recipe's `memory.retrieve_k`.
        """
        found = yield from self.look_up(episode, query)
        return episode.memory.show(k) if found else ()

    def look_up(self, episode: Episode, query: str) -> Generator[Request, Any, bool]:
        """Read with a query, and whether it is in force now; what it finds may be ranked by the agent itself."""
        yield from apply([MemoryOp(OpKind.READ, query)])
        return episode.memory.query == query.strip() != ""


def documents(episode: Episode, chunk: Chunk) -> list[Document]:
    """The documents that begin in a chunk, whole."""
    before = {index for earlier in episode.chunks[: chunk.index] for index in earlier.documents}
    return [episode.task.documents[index] for index in chunk.documents if index not in before]
