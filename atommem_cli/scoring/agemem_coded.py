"""The rewards of AgeMem's code (papers.md 2.5), with the defects that an audit found in them, and without a judge.

    agemem_coded = 0.5 task + 0.2 tool + 0.15 context + 0.15 memory + penalties, clipped to [-1, 1]

They are computed from the *final context*: the last prompt of the conversation and the reply to it. It was cleared
after stage 1, so what was done there is not seen. And they go by *names*: a tool counts as called where its name stands
in a reply, in a thought too, whatever became of it. The paper's parts (`agemem_paper`) beside them show what is gamed.

Where the code asks a model, gold facts decide, of each text alone. Two things are not known of the code: how the
preservation of the question is told (here: its text stands there), and what the last fifth of the tool reward is for
(here: the share of different tools among the calls).
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from atommem_cli.core.calls import Message
from atommem_cli.core.types import OpKind, Outcome, StopReason, Task, Trajectory
from atommem_cli.scoring import agemem_paper, memory_use, store_quality
from atommem_cli.scoring.agemem_paper import Part
from atommem_cli.scoring.memory_use import MemoryUse, Round

WEIGHTS = {"task": 0.5, "tool": 0.2, "context": 0.15, "memory": 0.15}  # papers.md 2.5
LOOKED_AT = 10
"""Adds that the judge of the code is shown."""
CHARACTERS = 4
"""To a token, as the code counts them."""

_NAMES = {
    OpKind.CREATE: r"Add_memory|<create",
    OpKind.READ: r"Retrieve_memory|<read",
    OpKind.UPDATE: r"Update_memory|<update",
    OpKind.DELETE: r"Delete_memory|<delete",
    OpKind.SUMMARIZE: r"Summary_context|<summary",
    OpKind.FILTER: r"Filter_context|Clear_context|<filter",
}
"""Names of the paper and the code, and the tags of closed vocabularies."""
_CALLED = re.compile("|".join(f"(?P<{kind}>{names})" for kind, names in _NAMES.items()), re.IGNORECASE)
_CONTEXT_TOOLS = (OpKind.SUMMARIZE, OpKind.FILTER)
_REPORTED = re.compile(r"memory_(?:updated|deleted):")
_UNREAD = (Outcome.MALFORMED, Outcome.UNCLOSED)
"""Outcomes of what is no call of a tool at all."""


@dataclass(frozen=True, slots=True)
class Final:
    """The final context of an episode."""

    messages: Sequence[Message]
    """The last reply among them."""
    called: Sequence[OpKind]
    """Tools by the names in the replies, each time."""
    turns: int
    """Replies."""
    rounds: Sequence[Round]
    """Those whose replies stand in it."""
    limit: int | None
    """Of the context, in tokens."""

    @property
    def text(self) -> str:
        """All that is said in it."""
        return "\n".join(message.content for message in self.messages)

    def added(self) -> list[str]:
        """Texts of Adds, as they were written, whatever became of them."""
        ops = [result.op for one in self.rounds for result in one.results if result.outcome not in _UNREAD]
        return [op.text for op in ops if op.kind is OpKind.CREATE]


def final(task: Task, trajectory: Trajectory) -> Final:
    """The final context."""
    return _final(memory_use.of(task, trajectory))


@functools.lru_cache(maxsize=256)  # as `memory_use`
def _final(use: MemoryUse) -> Final:
    if not use.rounds:
        return Final((), (), 0, (), None)
    last = use.rounds[-1].step
    messages = [*last.observation.messages, Message("assistant", last.generation.text)]
    replies = [message.content for message in messages if message.role == "assistant"]
    called = [OpKind(str(found.lastgroup)) for reply in replies for found in _CALLED.finditer(reply)]
    rounds = [one for one in _since_cleared(use.rounds) if one.step.generation.text in replies]
    return Final(messages, called, len(replies), rounds, last.observation.limit)


def _since_cleared(rounds: Sequence[Round]) -> Sequence[Round]:
    cleared = [at for at, one in enumerate(rounds) if any(result.op.kind is OpKind.CLEAR for result in one.results)]
    return rounds[cleared[-1] + 1 :] if cleared else rounds


def tool(task: Task, trajectory: Trajectory) -> float:
    """AgeMem's tool efficiency, of its code alone: calls by name in the final context, from -0.1 to 0.9.

    0.2 for 0.3 to 2 calls a reply, -0.1 for more than 3; 0.2 where Retrieve is named, 0.2 for a tool of the context,
    0.1 for Add; and 0.2 x different tools / calls.
    """
    seen = final(task, trajectory)
    called = set(seen.called)
    rate = len(seen.called) / max(1, seen.turns)
    pace = 0.2 if 0.3 <= rate <= 2.0 else -0.1 if rate > 3 else 0.0
    named = 0.2 * (OpKind.READ in called) + 0.2 * (not called.isdisjoint(_CONTEXT_TOOLS))
    return pace + named + 0.1 * (OpKind.CREATE in called) + 0.2 * len(called) / max(1, len(seen.called))


def compression(task: Task, trajectory: Trajectory) -> float:
    """AgeMem's compression as coded: 1 - characters/4 of the final context / limit, in [0, 1]; 0 without a limit."""
    seen = final(task, trajectory)
    return max(0.0, 1 - len(seen.text) / CHARACTERS / seen.limit) if seen.limit else 0.0


def preventive(task: Task, trajectory: Trajectory) -> float:
    """AgeMem's preventive action as coded: 1 where a reply of the final context names Summary or Filter, else 0.

    0 where the context overflowed all the same.
    """
    named = not set(final(task, trajectory).called).isdisjoint(_CONTEXT_TOOLS)
    return float(named and trajectory.stop is not StopReason.CONTEXT_OVERFLOW)


def preservation(task: Task, trajectory: Trajectory) -> float:
    """AgeMem's preservation as coded: share of questions whose text stands in the final context, in [0, 1]."""
    text = final(task, trajectory).text
    return fmean(question.text in text for question in task.questions)


def storage(task: Task, trajectory: Trajectory) -> float:
    """AgeMem's storage as coded: share of the first ten Adds in the final context that state a gold fact, in [0, 1]."""
    texts = final(task, trajectory).added()[:LOOKED_AT]
    facts = memory_use.of(task, trajectory).facts
    return sum(bool(store_quality.states(text, facts)) for text in texts) / max(1, len(texts))


def maintenance(task: Task, trajectory: Trajectory) -> float:
    """AgeMem's maintenance as coded: 1 where an Update or a Delete is reported in the final context, else 0.

    Also where the report is that it failed, and where anybody just says so.
    """
    seen = final(task, trajectory)
    results = (result for one in seen.rounds for result in one.results if result.outcome not in _UNREAD)
    told = any(result.op.kind in (OpKind.UPDATE, OpKind.DELETE) for result in results)
    return float(told or _REPORTED.search(seen.text) is not None)


def relevance(task: Task, trajectory: Trajectory) -> float:
    """AgeMem's relevance as coded: of the entries shown in the final context, those that state a gold fact, in [0, 1].

    Each time that they are shown.
    """
    shown = [entry.text for one in final(task, trajectory).rounds for entry in one.step.shown]
    facts = memory_use.of(task, trajectory).facts
    return sum(bool(store_quality.states(text, facts)) for text in shown) / max(1, len(shown))


CONTEXT: Mapping[str, Part] = {
    "agemem_coded_compression": compression,
    "agemem_coded_preventive": preventive,
    "agemem_coded_preservation": preservation,
}
MEMORY: Mapping[str, Part] = {
    "agemem_coded_storage": storage,
    "agemem_coded_maintenance": maintenance,
    "agemem_coded_relevance": relevance,
}


def coded(task: Task, trajectory: Trajectory) -> float:
    """AgeMem's reward as its code has it: 0.5 task, 0.2 tool, 0.15 context, 0.15 memory, penalties; in [-1, 1]."""
    judged = (agemem_paper.task_score(task, trajectory), storage(task, trajectory), relevance(task, trajectory))
    return composed(task, trajectory, *judged)


def composed(task: Task, trajectory: Trajectory, score: float, stored: float, shown: float) -> float:
    """The composite of task, storage and relevance, whoever has judged them, and of the parts that nobody judges."""
    parts = {
        "task": score,
        "tool": tool(task, trajectory),
        "context": agemem_paper.mean(CONTEXT, task, trajectory),
        "memory": fmean((stored, maintenance(task, trajectory), shown)),
    }
    return weighed(parts, agemem_paper.penalties(task, trajectory))


def weighed(parts: Mapping[str, float], penalties: float) -> float:
    """The sum of the parts by `WEIGHTS` and the penalties, clipped."""
    return min(1.0, max(-1.0, sum(WEIGHTS[name] * value for name, value in parts.items()) + penalties))


NAME = "agemem_coded"
PARTS = ("agemem_task", "agemem_coded_tool", *CONTEXT, *MEMORY, "budget")
REWARDS: Mapping[str, Part] = {"agemem_coded_tool": tool, **CONTEXT, **MEMORY, NAME: coded}
