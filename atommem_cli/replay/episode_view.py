"""One episode of a run step by step: what was shown, what was written, what became of the memory; and as plain text.

Operations are numbered from 1 through the whole episode, refused ones too; `whatif` takes these numbers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from atommem_cli.core.chunking import distracting
from atommem_cli.core.episode import addressing_of
from atommem_cli.core.errors import SourceError, UsageError, did_you_mean
from atommem_cli.core.types import OpKind, Outcome, Question, Task
from atommem_cli.runs import stages
from atommem_cli.runs.labels import scorer
from atommem_cli.runs.layout import Line
from atommem_cli.runs.memory_states import Moment, Said, states
from atommem_cli.runs.reader import Run
from atommem_cli.scoring import llm_judge

BEFORE = "before the first call"
"""Heading of what the agent did by then."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation by its number."""

    number: int
    """Within the episode, from 1."""
    step: int
    kind: OpKind
    outcome: Outcome
    text: str
    target: int | None
    targets: tuple[int, ...]
    entry: int | None
    old: str
    """What it replaced: this, and what is above from `step` on, as in `Moment`."""
    automatic: bool
    """Whether the agent ran it by itself, and no policy wrote it."""
    addressed: str
    """What it names of what the prompt showed: `Memory 2`, `entry 7` where targets are ids, or `messages 3, 4`; else
    empty."""

    @property
    def refused(self) -> bool:
        """Whether it was neither carried out nor without effect anyway."""
        return self.outcome not in (Outcome.OK, Outcome.NOOP)


@dataclass(frozen=True, slots=True)
class EntryChange:
    """One part of the memory that a step has changed."""

    sign: str
    """+ added, ~ changed, - removed."""
    place: str
    """Id of an entry, `scratchpad`, `query`, or `message` with the id of one of the context."""
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class Page:
    """One model call, or what the agent did before the first one."""

    step: int
    """-1 is before the first call."""
    stage: int
    """Of agents that clear their context in between, from 1 to 3; 0 for others."""
    heading: str
    """What it is about, as in `chunk 2 of 5`; `after chunk 2 of 5` where it shows none."""
    shown: str
    """The chunk or the question; empty where it shows neither."""
    scratchpad: str
    """Before the step, as the prompt showed it to agents that have one; likewise the query."""
    query: str
    memories: tuple[tuple[int, str], ...]
    """Id and text of the entries that the prompt showed, Memory 1..k."""
    context: int
    """Messages of the conversation in the prompt, where the agent keeps one."""
    heard: tuple[Said, ...]
    """Those of them that no earlier prompt showed."""
    reply: str
    finish: str
    error: str
    operations: tuple[Operation, ...]
    changes: tuple[EntryChange, ...]
    entries: int
    """In the store after it."""


@dataclass(frozen=True, slots=True)
class Reckoning:
    """One question at the end."""

    question: Question
    answer: str
    tagged: bool
    scores: Mapping[str, float]
    """By scorer; the judge's name has its model's with it."""


@dataclass(frozen=True, slots=True)
class Book:
    """One episode."""

    episode: str
    stop: str
    error: str
    usage: Mapping[str, int]
    memory: str
    """Digest of the memory at the end."""
    by_id: bool
    """Whether prompts and operations name entries by their ids, not as Memory 1..k."""
    pages: tuple[Page, ...]
    answers: tuple[Reckoning, ...]

    @property
    def operations(self) -> tuple[Operation, ...]:
        """Every operation, in order."""
        return tuple(operation for page in self.pages for operation in page.operations)


def by_id(run: Run) -> bool:
    """Whether the agent of a run names entries by their ids; see `memory.Addressing`."""
    return addressing_of(run.agent) == "seen"


def find(run: Run, name: str) -> str:
    """The full name of an episode, which may be given without `#0`.

    Raises:
        UsageError: there is none of that name, or it is not finished yet.
    """
    for full in (name, f"{name}#0"):
        if full in run.episodes:
            return full
    if run.steps(name) or run.steps(f"{name}#0"):
        raise UsageError(f"{run.path}: {name} is not finished yet: the run's own command goes on with it")
    known = f"{len(run.episodes)} episodes"
    first = f", the first one is {next(iter(run.episodes))}" if run.episodes else ""
    raise UsageError(f"{run.path}: no episode {name!r}{did_you_mean(name, run.episodes)} (there are {known}{first})")


def book(run: Run, name: str) -> Book:
    """An episode, failed ones too, from the journal and the prepared tasks.

    Args:
        name: of the episode, with or without `#0`.

    Raises:
        UsageError: there is no such episode.
        SourceError: its journal does not fit together, or the tasks are not there any more.
    """
    name = find(run, name)
    line = run.episodes[name]
    task, steps = run.task(line["task"]), run.steps(name)
    try:
        return Book(
            name,
            line["stop"],
            line.get("error", ""),
            line["usage"],
            line["memory"],
            by_id(run),
            tuple(_pages(run, task, steps)),
            tuple(_reckonings(run, line, task)),
        )
    except (KeyError, IndexError, TypeError, ValueError, AttributeError):
        raise SourceError(f"{run.path}: the journal of {name} is damaged: `atommem replay` says where") from None


def _pages(run: Run, task: Task, steps: Sequence[Line]) -> Iterator[Page]:
    chunks = run.chunks(task)
    before = _Contents()
    at, ids = 0, by_id(run)
    late = distracting(task.documents, chunks)
    parts = stages.numbered(steps, late) if stages.staged(run.agent) else [0] * len(steps)
    for step, stage, last in zip(states(steps), parts, stages.chunks(steps), strict=True):
        line, mine = step.line, step.moments
        operations = tuple(_operation(at + i, moment, ids) for i, moment in enumerate(mine, start=1))
        at += len(mine)
        if line.get("chunk") is not None:
            heading, shown = f"chunk {line['chunk'] + 1} of {len(chunks)}", chunks[line["chunk"]].text
            heading += ", a distractor" if line["chunk"] in late else ""
        elif line.get("question") is not None:
            number = line["question"]
            heading, shown = f"question {number + 1} of {len(task.questions)}", task.questions[number].text
        else:
            heading, shown = f"after chunk {last + 1} of {len(chunks)}" if last is not None else BEFORE, ""
        before = replace(before, context=step.context)
        after = replace(before, entries=step.entries)
        if mine:
            after = _Contents(step.entries, mine[-1].scratchpad, mine[-1].query, mine[-1].context)
        yield Page(
            line["step"],
            stage,
            heading,
            shown,
            before.scratchpad,
            before.query,
            tuple((entry, text) for entry, text in line.get("shown", ())),
            len(step.context),
            step.heard,
            line.get("reply", ""),
            line.get("finish", ""),
            line.get("error", ""),
            operations,
            tuple(_changes(before, after)),
            len(after.entries),
        )
        before = after


def _operation(number: int, of: Moment, ids: bool) -> Operation:
    named = "" if of.target is None else f"entry {of.target}" if ids else f"Memory {of.target}"
    addressed = f"messages {', '.join(map(str, of.targets))}" if of.targets else named
    wrote = (of.step, of.kind, of.outcome, of.text, of.target, of.targets, of.entry, of.old, of.automatic)
    return Operation(number, *wrote, addressed)


@dataclass(frozen=True, slots=True)
class _Contents:
    """What memory and context hold at one moment."""

    entries: Mapping[int, str] = field(default_factory=dict)
    scratchpad: str = ""
    query: str = ""
    context: tuple[Said, ...] = ()


def _changes(before: _Contents, after: _Contents) -> Iterator[EntryChange]:
    yield from _by_id(before.entries, after.entries)
    for place, old, new in (
        ("scratchpad", before.scratchpad, after.scratchpad),
        ("query", before.query, after.query),
    ):
        if old != new:
            yield EntryChange("~" if old and new else "+" if new else "-", place, old, new)
    were, are = ({one.id: one.text for one in contents.context} for contents in (before, after))
    yield from _by_id(were, are, "message ")


def _by_id(before: Mapping[int, str], after: Mapping[int, str], name: str = "") -> Iterator[EntryChange]:
    for entry in sorted({**before, **after}):
        if entry not in before:
            yield EntryChange("+", f"{name}{entry}", "", after[entry])
        elif entry not in after:
            yield EntryChange("-", f"{name}{entry}", before[entry], "")
        elif before[entry] != after[entry]:
            yield EntryChange("~", f"{name}{entry}", before[entry], after[entry])


def _reckonings(run: Run, line: Line, task: Task) -> Iterator[Reckoning]:
    scores: dict[str, list[float]] = dict(line["scores"])
    if line["episode"] in run.verdicts:
        scores[scorer(llm_judge.NAME, run.judge)] = run.verdicts[line["episode"]]
    for number, (question, answer) in enumerate(zip(task.questions, line["answers"], strict=True)):
        given = {name: values[number] for name, values in scores.items()}
        yield Reckoning(question, answer["text"], answer["tagged"], given)
