"""How many tokens of a GRPO training are computed once for several rows, before it runs.

What rollouts of one task share is settled by the order of their prompts. The first tasks are played by policies that
write nothing, and twice by one that writes other words each time: up to where the two say different things, the prompts
of a task are the same whatever its rollouts write. The fewest nodes are those of rollouts that all say the same; the
most those of rollouts that share such beginnings and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean

from atommem_cli.config.recipe import Recipe
from atommem_cli.core.calls import Expects, Generation
from atommem_cli.core.chunking import Tokenizer
from atommem_cli.core.episode import Agent, Call
from atommem_cli.core.errors import MissingExtra
from atommem_cli.core.types import Chunk, MemoryOp, OpKind, Task
from atommem_cli.models.prefix_trees import in_order, nodes
from atommem_cli.running.build import assemble
from atommem_cli.running.stubs import StubPolicy
from atommem_cli.training import memory_estimate
from atommem_cli.training.plan_tables import Bound

WRITTEN = (OpKind.SCRATCHPAD, OpKind.READ, OpKind.CREATE)
"""Operations whose words a prompt shows later on."""

Row = list[str]
"""The tokens of a prompt, as they are written."""


@dataclass(frozen=True, slots=True)
class Sharing:
    """What the rollouts of one task have in common, means over the tasks that were played."""

    quiet: float
    """Nodes of the rollouts of one task, however many, that all write nothing."""
    beginnings: float
    """Nodes of the beginnings that do not depend on what is written."""
    beginning: float
    """Tokens of such a beginning, per row."""
    again: float
    """Of the tokens after it, those that are not the beginning of the same rollout's next prompt: 1 where every prompt
    is made anew, less where it grows."""

    def nodes(self, groups: int, rollouts: int, row: Bound, rows: Bound, replies: float) -> Bound:
        """Nodes of a generation.

        Args:
            groups: tasks.
            row: prompt tokens of a row.
            rows: per trajectory.
            replies: the most new tokens of a trajectory.
        """
        private = rows.high * max(0.0, row.high - self.beginning) * self.again + replies
        return Bound(groups * self.quiet, groups * (self.beginnings + rollouts * private))


def refused(recipe: Recipe) -> str:
    """Why a training would not share tokens, as the end of a sentence; empty where it would, or is not known."""
    from atommem_cli.training.row_scoring import refusal

    if not recipe.grpo.share_prefixes:
        return "grpo.share_prefixes is off"
    try:
        return refusal(memory_estimate.outline(recipe, "grpo")) or ""
    except MissingExtra:
        return ""


def sharing(recipe: Recipe, tokenizer: Tokenizer, tasks: Sequence[tuple[Task, tuple[Chunk, ...], int]]) -> Sharing:
    """Play tasks for it.

    Args:
        tasks: each with its chunks, and the tokens that none of them shows.
    """
    quiet, beginnings, beginning, again = [], [], [], []
    for task in tasks:
        silent = _played(recipe, tokenizer, task, None)
        quiet.append(_nodes(silent))
        one, other = (_played(recipe, tokenizer, task, word) for word in ("one", "other"))
        same = [_same(a, b) for a, b in zip(one, other, strict=False)]
        beginnings.append(_nodes(same))
        beginning += [len(row) for row in same]
        rest = sum(map(len, one)) - sum(map(len, same))
        again.append((_nodes(one) - _nodes(same)) / rest if rest else 1.0)
    return Sharing(fmean(quiet), fmean(beginnings), fmean(beginning), fmean(again))


def _played(
    recipe: Recipe, tokenizer: Tokenizer, task: tuple[Task, tuple[Chunk, ...], int], word: str | None
) -> list[Row]:
    """The prompts of an episode whose policy writes this word wherever it can; None writes nothing."""
    shown: list[Row] = []
    numbers = iter(range(10**9))

    def reply(calls: Sequence[Call]) -> list[Generation]:
        shown.extend(list(_row(tokenizer, call)) for call in calls)
        return [Generation(_written(agent, call, word, next(numbers)) if word else "") for call in calls]

    plain = recipe.changed(["store={name: exact}", "embedder={name: hashing}", "budget={}"])
    parts = assemble(plain, playing=StubPolicy(tokenizer, on_calls=reply))
    agent = parts.agent
    try:
        given, chunks, cut = task
        list(parts.play([parts.episode(given, 0, chunks, cut)]))
    finally:
        parts.close()
    return shown


def _row(tokenizer: Tokenizer, call: Call) -> Iterator[str]:
    told = call.observation
    parts = [("tools", text) for text in told.texts[len(told.messages) :]]  # templates tell them first
    parts += [(message.role, message.content) for message in told.messages]
    for role, text in parts:
        mark = f"\n{role}\n"  # the few tokens of the chat template are not counted
        for start, end in tokenizer.spans(text):
            yield mark + text[start:end]
            mark = ""


def _written(agent: Agent, call: Call, word: str, number: int) -> str:
    expects = call.observation.expects
    said = f"{word} {number}"
    if expects is Expects.ANSWER:
        return agent.write(expects, [], said)
    kinds = (OpKind.SCRATCHPAD,) if expects is Expects.NOTES else WRITTEN
    return agent.write(expects, [MemoryOp(kind, said) for kind in kinds if kind in agent.operations])


def _same(first: Row, second: Row) -> Row:
    """What two prompts begin with."""
    length = next((i for i, (a, b) in enumerate(zip(first, second, strict=False)) if a != b), None)
    return first[:length] if length is not None else first[: min(len(first), len(second))]


def _nodes(rows: Sequence[Row]) -> int:
    known: dict[str, int] = {}
    ids = [[known.setdefault(token, len(known)) for token in row] for row in rows]
    return nodes(ids[at] for at in in_order(ids))
