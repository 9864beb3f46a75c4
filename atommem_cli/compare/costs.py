"""What runs took for their scores: calls, retrievals, tokens and entries, and what of that has to be said."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from statistics import fmean, median
from typing import NamedTuple

from atommem_cli.runs.reader import Run

YARDSTICKS = ("rag", "full_context")
"""Agents that a comparison of memory systems should have beside them: retrieval alone, and everything at once."""
FACTOR = 2
"""So many times the calls of the others are said in a sentence."""


class Cost(NamedTuple):
    """What one run took, in means per episode."""

    calls: float
    """Of models, helpers too."""
    retrievals: float
    """Reads that took effect."""
    entries: float
    """The most that its store held."""
    tokens: float
    """Prompt and new tokens, per question."""
    documents: float
    """Of its tasks."""


def cost(run: Run) -> Cost:
    """
    Raises:
        SourceError, RunMismatch: the tasks are not those that were played.
    """
    lines = [*run.episodes.values()]
    calls, retrievals, entries = (fmean(line["usage"][key] for line in lines) for key in ("calls", "reads", "entries"))
    tokens = sum(line["usage"]["prompt_tokens"] + line["usage"]["new_tokens"] for line in lines)
    documents = fmean(len(run.task(line["task"]).documents) for line in lines)
    return Cost(calls, retrievals, entries, tokens / sum(len(line["answers"]) for line in lines), documents)


def sentences(found: Mapping[str, Cost]) -> list[str]:
    """Which runs took many times the calls of the others; none where all took about as many.

    Args:
        found: by the name of a run.
    """
    said = []
    for name, mine in found.items():
        others = median([one.calls for other, one in found.items() if other != name])
        if others and mine.calls >= FACTOR * others:
            took = f"{mine.calls:.1f} calls an episode, {mine.calls / mine.documents:.1f} a document"
            rest = "other took" if len(found) == 2 else "median of the others is"
            said.append(f"{name} took {took}, where the {rest} {others:.1f}: its score has that price.")
    return said


def missing(runs: Iterable[Run]) -> str:
    """In one sentence, which yardsticks a comparison of several memory systems is without; else empty."""
    agents = {run.identity["agent"]["name"]: run.agent for run in runs}
    systems = [name for name, agent in agents.items() if agent.operations and name not in YARDSTICKS]
    without = [name for name in YARDSTICKS if name not in agents]
    if len(systems) < 2 or not without:
        return ""
    shows = {"rag": "retrieval alone", "full_context": "all documents at once"}
    return (
        f"No run is of {' or '.join(without)}: whether these memory systems are worth more than "
        f"{' or '.join(shows[name] for name in without)} is not shown."
    )
