"""What a batch of trajectories looks like, as sums that ranks can add up: the curves of a training run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import pairwise

from atommem_cli.core.chunking import Tokenizer
from atommem_cli.core.types import MEMORY_OPS, OpKind, Outcome, StopReason, Trajectory

Sums = dict[str, float]


def sums(trajectories: Sequence[Trajectory], tokenizer: Tokenizer) -> Sums:
    """Additive counts of these trajectories."""
    counts: Counter[str] = Counter()
    scratchpad = 0
    for trajectory in trajectories:
        counts["trajectories"] += 1
        counts["calls"] += len(trajectory.transitions)
        counts["prompt_tokens"] += trajectory.usage.prompt_tokens
        counts["new_tokens"] += trajectory.usage.new_tokens
        counts["answered"] += trajectory.stop is StopReason.ANSWERED
        counts["entries"] += trajectory.transitions[-1].entries if trajectory.transitions else 0
        counts["reads_again"] += _reads_again(trajectory)
        notes = ""
        for results in (trajectory.opening, *(step.results for step in trajectory.transitions)):
            for result in results:
                counts[f"ops/{result.op.kind}/{result.outcome}"] += 1
                if result.op.kind is OpKind.SCRATCHPAD and result.outcome is Outcome.OK:
                    notes = result.op.text
        scratchpad += len(tokenizer.spans(notes))
    return {**counts, "scratchpad_tokens": scratchpad}


def add(parts: Iterable[Mapping[str, float]]) -> Sums:
    """The sums of all ranks."""
    total: Counter[str] = Counter()
    for part in parts:
        total.update(part)
    return dict(total)


def means(total: Mapping[str, float], declared: Collection[OpKind] = ()) -> dict[str, float]:
    """The metrics of one step: operations per model call, the rest per trajectory; without such, not there.

    Args:
        declared: operations that the agent may run: those on a context are told of agents that edit one alone.
    """
    kinds = [kind for kind in OpKind if kind in MEMORY_OPS or kind in declared]
    per_call = [f"ops/{kind}/{outcome}" for kind in kinds for outcome in Outcome]
    found = {name: (name, "calls") for name in per_call}
    found |= {name: (counted, "trajectories") for name, counted in _PER_TRAJECTORY.items()}
    return {name: total.get(part, 0) / total[whole] for name, (part, whole) in found.items() if total.get(whole)}


_PER_TRAJECTORY = {
    "memory/entries": "entries",
    "memory/scratchpad_tokens": "scratchpad_tokens",
    "memory/reads_again": "reads_again",
    "trajectory/rows": "calls",
    "trajectory/prompt_tokens": "prompt_tokens",
    "trajectory/new_tokens": "new_tokens",
    "trajectory/answered": "answered",
}


def _reads_again(trajectory: Trajectory) -> int:
    """Model calls that show the chunk or question of the call before again."""
    seen = [(step.observation.chunk, step.observation.question) for step in trajectory.transitions]
    return sum(a == b for a, b in pairwise(seen))
