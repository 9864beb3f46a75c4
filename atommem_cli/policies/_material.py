"""What scripts say where an agent asks for material: facts of a text, a choice among items, a rating.

They go by what is to be kept of the documents, and by what a question needs; how it is written is the agent's business.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from atommem_cli.core.calls import Expects, Observation
from atommem_cli.core.episode import Episode
from atommem_cli.core.types import MemoryOp, OpKind, Question

HIGH, LOW = "10", "1"
"""Ratings of what is to be kept, and of all else."""


def material(
    episode: Episode,
    observation: Observation,
    kept: Sequence[str],
    needed: Callable[[Question], Sequence[str]],
    shown: str,
) -> str:
    """The reply of a script to such a call.

    Args:
        kept: texts that are to be kept, of all documents.
        needed: of a question, the texts that its answer needs.
        shown: what the prompt shows.
    """
    write, expects = episode.agent.write, observation.expects
    asked = None if observation.question is None else episode.task.questions[observation.question]
    if expects is Expects.CHOICE:
        wanted = kept if asked is None else needed(asked)
        numbers = [n for n, item in enumerate(observation.items, start=1) if any(text in item for text in wanted)]
        return write(expects, [MemoryOp(OpKind.READ, target=number) for number in numbers])
    there = [text for text in kept if text in shown]
    if expects is Expects.RATING:
        return write(expects, [], HIGH if there else LOW)
    return write(expects, [MemoryOp(OpKind.CREATE, text) for text in ([asked.text] if asked else there)])
