"""The files of a run folder and their lines: one table for who writes, who reads, and who reads with suspicion.

A key is one row here, in the order in which a line is written, and one in docs/run-folder.md, which says what it means.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from types import NoneType
from typing import Any, Generic, NamedTuple, TypeVar

from atommem_cli.core import folders
from atommem_cli.core.calls import POLICY, Finish, Generation
from atommem_cli.core.types import Chunk, MemoryEntry, OpResult, Trajectory, Transition
from atommem_cli.runs.digests import chunks_digest

SCHEMA = 1
"""Version of the files of a run folder."""
RUN, RECIPE, LOCK = folders.RUN, folders.RECIPE, folders.LOCK
SESSIONS, STEPS, EPISODES, CHUNKS = "sessions.jsonl", "steps.jsonl", "episodes.jsonl", "chunks.jsonl"
SUMMARY, TABLE = "summary.json", "table.md"
JUDGE, VERDICTS = "judge.json", "verdicts.jsonl"
"""Of a run that has a judge."""
GRADER, GRADES = "grader.json", "grades.jsonl"
"""Of a run whose stores a model has graded."""
LADDER, LADDER_LINES, LADDER_TABLE = "ladder.json", "ladder.jsonl", "ladder.md"
CREDIT = "credit.jsonl"
METRICS = "metrics.jsonl"
"""Of a training."""
ARMS, ARM_FOLDERS = "arms.jsonl", "arms"
"""Of an ablation: one line per arm that was ever asked for, in that order; and the folders of their runs."""
COMPARISON = "table.json"
"""Of an ablation or a comparison."""

Line = dict[str, Any]
"""One line of these files."""
Thing = TypeVar("Thing")


@dataclass(frozen=True, slots=True)
class Key(Generic[Thing]):
    """One key of a line."""

    name: str
    types: type | tuple[type, ...]
    of: Callable[[Thing], Any]
    """What is written; an optional key is left out where this is None."""
    optional: bool = False
    needed: bool = True
    """Whether readers take it for granted, so that a line without it is damaged; of an optional one they never do."""


class Step(NamedTuple):
    """What a line of `steps.jsonl` is made from."""

    episode: str
    number: int
    prompt: str
    transition: Transition


class Played(NamedTuple):
    """What a line of `episodes.jsonl` is made from."""

    trajectory: Trajectory
    scores: Mapping[str, Sequence[float]]
    steps: str


class Cut(NamedTuple):
    """What a line of `chunks.jsonl` is made from."""

    task: str
    chunks: tuple[Chunk, ...]
    left_out: int


class Verdict(NamedTuple):
    """What a line of `verdicts.jsonl` is made from."""

    episode: str
    steps: str
    correct: Sequence[float | None]
    replies: Sequence[str]


class Grade(NamedTuple):
    """What a line of `grades.jsonl` is made from."""

    episode: str
    steps: str
    quality: float
    replies: Sequence[str]


OP: tuple[Key[OpResult], ...] = (
    Key("kind", str, lambda r: r.op.kind),
    Key("text", str, lambda r: r.op.text),
    Key("target", int, lambda r: r.op.target, optional=True),
    Key("targets", list, lambda r: list(r.op.targets) or None, optional=True),
    Key("meta", list, lambda r: [list(pair) for pair in r.op.meta] or None, optional=True),
    Key("outcome", str, lambda r: r.outcome),
    Key("entry", (int, NoneType), lambda r: r.entry),
    Key("before", str, lambda r: r.before),
    Key("after", str, lambda r: r.after),
)
"""An operation within a step."""

STEP: tuple[Key[Step], ...] = (
    Key("episode", str, lambda s: s.episode),
    Key("step", int, lambda s: s.number),
    Key("expects", str, lambda s: s.transition.observation.expects, needed=False),
    Key("chunk", (int, NoneType), lambda s: s.transition.observation.chunk, needed=False),
    Key("question", (int, NoneType), lambda s: s.transition.observation.question, needed=False),
    Key("to", str, lambda s: s.transition.to if s.transition.to != POLICY else None, optional=True),
    Key("prompt", str, lambda s: s.prompt),
    Key("context", list, lambda s: [[i, m.role, m.content] for i, m in s.transition.context] or None, optional=True),
    Key("shown", list, lambda s: [[entry.id, entry.text] for entry in s.transition.shown]),
    Key("retrieved", list, lambda s: _hidden(s.transition), optional=True),
    Key("reply", str, lambda s: s.transition.generation.text),
    Key("finish", str, lambda s: s.transition.generation.finish),
    Key("error", str, lambda s: s.transition.generation.error or None, optional=True),
    Key("tokens", list, lambda s: _kept_tokens(s.transition), optional=True),
    Key("prompt_tokens", int, lambda s: s.transition.generation.prompt_tokens, needed=False),
    Key("new_tokens", int, lambda s: s.transition.generation.new_tokens, needed=False),
    Key("ops", list, lambda s: [op_line(result) for result in s.transition.results]),
    Key("entries", int, lambda s: s.transition.entries),
    Key("seconds", (int, float), lambda s: round(s.transition.seconds, 4)),
)
OPENING: tuple[Key[Any], ...] = (
    *(key for key in STEP if key.name in ("episode", "step")),
    Key("noise", list, lambda _: None, optional=True),
    *(key for key in STEP if key.name == "ops"),
)
"""What lay in the store, and what an agent did before its first call: step -1."""

EPISODE: tuple[Key[Played], ...] = (
    Key("episode", str, lambda p: p.trajectory.episode),
    Key("task", str, lambda p: p.trajectory.task),
    Key("sample", int, lambda p: p.trajectory.sample, needed=False),
    Key("stop", str, lambda p: p.trajectory.stop),
    Key("error", str, lambda p: p.trajectory.error or None, optional=True),
    Key("answers", list, lambda p: [{"text": a.text, "tagged": a.tagged} for a in p.trajectory.answers]),
    Key("scores", dict, lambda p: p.scores),
    Key("usage", dict, lambda p: asdict(p.trajectory.usage)),
    Key("chunks", int, lambda p: len(p.trajectory.chunks)),
    Key("truncated_tokens", int, lambda p: p.trajectory.truncated_tokens, needed=False),
    Key("memory", str, lambda p: p.trajectory.digest),
    Key("context", str, lambda p: p.trajectory.context or None, optional=True),
    Key("steps", str, lambda p: p.steps),
)

CUT: tuple[Key[Cut], ...] = (
    Key("task", str, lambda c: c.task),
    Key("chunks", list, lambda c: [[chunk.start, chunk.start + len(chunk.text), chunk.tokens] for chunk in c.chunks]),
    Key("digest", str, lambda c: chunks_digest(c.chunks)),
    Key("left_out", int, lambda c: c.left_out),
)

VERDICT: tuple[Key[Verdict], ...] = (
    Key("episode", str, lambda v: v.episode),
    Key("steps", str, lambda v: v.steps),
    Key("correct", list, lambda v: v.correct),
    Key("replies", list, lambda v: v.replies or None, optional=True),
)

GRADE: tuple[Key[Grade], ...] = (
    Key("episode", str, lambda g: g.episode),
    Key("steps", str, lambda g: g.steps),
    Key("quality", float, lambda g: g.quality),
    Key("replies", list, lambda g: g.replies or None, optional=True),
)


# --- writing


def line_of(shape: Iterable[Key[Thing]], thing: Thing) -> Line:
    """A line, or a part of one."""
    line = {}
    for key in shape:
        value = key.of(thing)
        if value is not None or not key.optional:
            line[key.name] = value
    return line


def step_line(episode: str, step: int, prompt: str, transition: Transition) -> Line:
    """A line of `steps.jsonl`."""
    return line_of(STEP, Step(episode, step, prompt, transition))


def opening_line(episode: str, noise: Iterable[MemoryEntry], results: Iterable[OpResult]) -> Line:
    """The line of `steps.jsonl` about what lay in the store, and operations that an agent ran before its first call."""
    given = [[entry.id, entry.text] for entry in noise]
    told = {"noise": given} if given else {}
    return {"episode": episode, "step": -1, **told, "ops": [op_line(result) for result in results]}


def op_line(result: OpResult) -> Line:
    """An operation in a line of `steps.jsonl`."""
    return line_of(OP, result)


def episode_line(trajectory: Trajectory, scores: Mapping[str, Sequence[float]], steps: str) -> Line:
    """A line of `episodes.jsonl`.

    Args:
        scores: per scorer, one number per question.
        steps: see `digests.steps_digest`.
    """
    return line_of(EPISODE, Played(trajectory, scores, steps))


def _kept_tokens(transition: Transition) -> list[int] | None:
    ids = transition.generation.token_ids
    return list(ids) if transition.observation.keep_tokens and ids else None


def _hidden(transition: Transition) -> list[list[int]] | None:
    """What was retrieved, where `shown` does not tell it."""
    shown = tuple(entry.id for entry in transition.shown)
    return [list(found) for found in transition.retrieved] if transition.retrieved not in ((), (shown,)) else None


# --- reading


def holds(line: object, shape: Iterable[Key[Any]]) -> bool:
    """Whether a line has what readers take for granted."""
    return isinstance(line, dict) and all(
        isinstance(line.get(key.name), key.types) for key in shape if key.needed and not key.optional
    )


def misshapen(line: object, shape: Iterable[Key[Any]]) -> str | None:
    """The first key of a line that is missing, too much, or of another type; None where it is as it is written."""
    if not isinstance(line, dict):
        return ""
    keys = {key.name: key for key in shape}
    for name, key in keys.items():
        types = key.types if isinstance(key.types, tuple) else (key.types,)
        if (type(line[name]) not in types) if name in line else not key.optional:
            return name
    return next((str(name) for name in line if name not in keys), None)


def recorded_reply(line: Mapping[str, Any]) -> Generation:
    """The reply that a line of `steps.jsonl` holds."""
    return Generation(
        line["reply"],
        Finish(line["finish"]),
        prompt_tokens=line["prompt_tokens"],
        new_tokens=line["new_tokens"],
        token_ids=tuple(line.get("tokens", ())),
        error=line.get("error", ""),
    )
