"""How clean a run kept its memory, from the journal and the tasks alone.

Survival asks of each gold supporting fact that the memory ever held (an entry or the scratchpad; see
`fact_trails`) whether it was still held some steps later. A fact is looked at while its episode lasts: one that
was written three steps before the end says nothing about age four (it is *censored* there), so each age has
its own denominator, and the curve need not fall. A fact that is lost and written again counts as held.

`rag` and other agents whose memory is made before the first call have one more step, -1. Agents without
a memory have nothing to inspect: all counts are 0.
"""

from __future__ import annotations

import functools
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from atommem_cli.core.calls import UNANSWERED
from atommem_cli.core.types import Chunk, OpKind, Outcome, Shows, Task
from atommem_cli.explain import examples, miss_causes, noise, signatures
from atommem_cli.explain.cause_counts import Tallies, Tally
from atommem_cli.explain.causes import Cause
from atommem_cli.explain.duplicates import doubles
from atommem_cli.explain.examples import Example
from atommem_cli.explain.fact_trails import Traced, followed, read_first, trace
from atommem_cli.explain.noise import NoiseShown
from atommem_cli.explain.signatures import Signatures, share
from atommem_cli.explain.trail import Trail
from atommem_cli.runs.layout import Line
from atommem_cli.runs.memory_states import Moment, noise_of, states, unnoised
from atommem_cli.runs.reader import Run
from atommem_cli.runs.tables import Table
from atommem_cli.scoring.stream_reader import Told

_NUMBER = re.compile(r"\d+(?:[.,:/-]\d+)*")
_MONTH = re.compile(
    r"\b(?:january|february|march|april|may|june|july|august|september|october|november|december)\b", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Hygiene:
    """Plain numbers (`dataclasses.asdict` is JSON). Counts are sums over episodes, failed ones too."""

    episodes: int
    created: int
    """Entries created."""
    live: int
    """Entries that were there at the end."""
    never_read: int
    """Created entries that no later prompt showed."""
    duplicates: int
    """Live entries whose text an older live entry has, too, after `normalise`."""
    near_duplicates: int
    """Other live entries that share nearly all words with an older live entry; see `duplicates`."""
    updates: int
    chains: tuple[int, ...]
    """Item n: entries that were updated n times, deleted ones too."""
    unsupported: int
    """Updates that drop a number or a month of the old text, for none or for one that neither the chunk nor
    another entry nor scratchpad or conversation of the same prompt had."""
    written_facts: int
    """Gold facts, per question, that the memory held at some time."""
    kept_facts: int
    """Of these, held at the end of the episode."""
    survival: tuple[tuple[int, int], ...]
    """Item a: (facts of which the journal has the a-th step after they were written, of these held then)."""
    retrieved: int
    """Entries shown in prompts, counted each time."""
    stale: int | None
    """Of these, those that state a value which documents of earlier prompts have replaced or retracted; None where
    that is not defined (everywhere but `stream`). A policy that reads in order to correct sees such entries, too."""
    answered_from: int
    """Of these, shown in the last call for a question."""
    answered_stale: int | None
    """Outdated ones among those."""
    signatures: Signatures | None = None
    """Where an agent keeps a context."""
    noise: NoiseShown | None = None
    """Where stores held some before."""


def inspect(run: Run) -> Hygiene:
    """Read a whole run, one episode at a time.

    Raises:
        SourceError, RunMismatch: the tasks are not those that were played, or a file is damaged; as `Run`.
    """
    count = Count()
    for line in run.episodes.values():
        count.add(trace(run, line))
    return count.result()


class Why(NamedTuple):
    """What is told of a run's misses."""

    causes: dict[str, Tally]
    hygiene: Hygiene
    examples: dict[Cause, Example]


def why(run: Run) -> Why:
    """`cause_counts.summarize` and `inspect` of a run in one pass, and a question for each cause.

    Raises:
        UsageError, SourceError, RunMismatch: as these.
    """
    count, tallies, scorer = Count(), Tallies(), miss_causes.leading(run)
    seen: dict[Cause, Example] = {}
    for line in run.episodes.values():
        traced = trace(run, line)
        count.add(traced)
        explained = miss_causes.explain_traced(traced, line, scorer)
        tallies.add(traced.task, explained)
        examples.add(seen, traced.task, line, explained)
    return Why(tallies.by_kind(), count.result(), seen)


def inspect_episode(task: Task, chunks: Sequence[Chunk], steps: Sequence[Line], shows: Shows = Shows.CHUNKS) -> Hygiene:
    """The same of one episode; arguments as those of `miss_causes.explain`."""
    count = Count()
    count.add(followed(task, chunks, steps, shows))
    return count.result()


def table(runs: Mapping[str, Hygiene]) -> Table:
    """One row per measure, one column per run."""
    ages = [age for age in (1, 2, 4, 8, 16) if any(len(h.survival) > age for h in runs.values())]
    measures: list[tuple[str, Callable[[Hygiene], str]]] = [
        ("episodes", lambda h: str(h.episodes)),
        ("gold facts held at the end, of those ever written", lambda h: share(h.kept_facts, h.written_facts)),
        *(
            (
                f"held {age} step{'s' * (age > 1)} after, of those still to be seen",
                functools.partial(_survived, age=age),
            )
            for age in ages
        ),
        ("entries created", lambda h: str(h.created)),
        ("never read, of those created", lambda h: share(h.never_read, h.created)),
        ("duplicates, of entries at the end", lambda h: share(h.duplicates, h.live)),
        ("near duplicates, likewise", lambda h: share(h.near_duplicates, h.live)),
        ("updates", lambda h: str(h.updates)),
        ("longest chain of updates", lambda h: str(max(0, len(h.chains) - 1))),
        ("updates with an unsupported number or date", lambda h: share(h.unsupported, h.updates)),
        ("outdated, of entries in all prompts", lambda h: share(h.stale, h.retrieved)),
        ("outdated, of entries that answers were given from", lambda h: share(h.answered_stale, h.answered_from)),
    ]
    rows = [(name, *map(of, runs.values())) for name, of in measures]
    rows += noise.rows(hygiene.noise for hygiene in runs.values())
    rows += signatures.rows(hygiene.signatures for hygiene in runs.values())
    return Table("Hygiene of the memory", ("", *runs), tuple(rows))


def _survived(hygiene: Hygiene, age: int) -> str:
    looked, held = hygiene.survival[age] if age < len(hygiene.survival) else (0, 0)
    return share(held, looked)


class Count:
    """Sums over episodes."""

    def __init__(self) -> None:
        self._sums: Counter[str] = Counter()
        self._chains: Counter[int] = Counter()
        self._looked: Counter[int] = Counter()
        self._held: Counter[int] = Counter()
        self._timed = False
        """Whether outdated entries can be told."""
        self._signatures: Signatures | None = None
        self._noise: NoiseShown | None = None

    def add(self, traced: Traced) -> None:
        """One episode."""
        self._sums["episodes"] += 1
        if traced.steps:
            self._facts(traced.trails, [line["step"] for line in traced.steps])
            self._entries(traced.chunks, traced.steps)
            self._views(traced)
        seen = noise.count([line for line in traced.steps if line["step"] < 0 or _seen(line)])
        self._noise = seen + (self._noise or NoiseShown()) if seen else self._noise
        found = signatures.of(traced)
        self._signatures = found + (self._signatures or Signatures()) if found else self._signatures

    def result(self) -> Hygiene:
        """The sums."""
        sums = self._sums
        return Hygiene(
            episodes=sums["episodes"],
            created=sums["created"],
            live=sums["live"],
            never_read=sums["never read"],
            duplicates=sums["duplicates"],
            near_duplicates=sums["near"],
            updates=sums["updates"],
            chains=tuple(self._chains[n] for n in range(max(self._chains, default=-1) + 1)),
            unsupported=sums["unsupported"],
            written_facts=sums["written"],
            kept_facts=sums["kept"],
            survival=tuple((self._looked[age], self._held[age]) for age in range(len(self._looked))),
            retrieved=sums["retrieved"],
            stale=sums["stale"] if self._timed else None,
            answered_from=sums["answered from"],
            answered_stale=sums["answered stale"] if self._timed else None,
            signatures=self._signatures,
            noise=self._noise,
        )

    def _facts(self, trails: Iterable[Trail], steps: Sequence[int]) -> None:
        for trail in trails:
            if trail.written is None:
                continue
            self._sums["written"] += 1
            self._sums["kept"] += trail.held
            changes = dict(trail.changes)  # the last one of a step counts
            held = False
            for age, step in enumerate(steps[steps.index(trail.written) :]):
                held = changes.get(step, held)
                self._looked[age] += 1
                self._held[age] += held

    def _entries(self, chunks: Sequence[Chunk], steps: Sequence[Line]) -> None:
        updated: Counter[int] = Counter()
        created: set[int] = set()
        live: Mapping[int, str] = {}
        for moment, evidence in _with_evidence(chunks, steps):
            live = moment.entries
            if moment.outcome is not Outcome.OK or moment.entry is None:
                continue
            if moment.kind is OpKind.CREATE:
                updated[moment.entry] = 0
                created.add(moment.entry)
            elif moment.kind is OpKind.UPDATE:
                updated[moment.entry] += 1
                self._sums["unsupported"] += not _supported(moment.old, moment.text, evidence)
        shown = {entry for line in steps if _seen(line) for entry, _ in line["shown"]}
        live = unnoised(live, noise_of(steps))
        self._sums["created"] += len(created)
        self._sums["updates"] += updated.total()
        self._chains.update(updated.values())
        self._sums["never read"] += len(created - shown)
        self._sums["live"] += len(live)
        same, near = doubles(live.values())
        self._sums["duplicates"] += same
        self._sums["near"] += near

    def _views(self, traced: Traced) -> None:
        """Entries that prompts showed, and which of them were outdated by then."""
        task, steps = traced.task, traced.steps
        final = {line["question"]: line["step"] for line in steps if line.get("question") is not None}
        told = Told(task, traced.chunks) if any(document.event for document in task.documents) else None
        self._timed = self._timed or told is not None
        if told:
            for chunk in traced.chunks if traced.shows is Shows.WHOLE else read_first(steps, traced.chunks):
                told.show(chunk.index)
        for line in filter(_seen, steps):
            stale = sum(map(told.outdated, (text for _, text in line["shown"]))) if told else 0
            self._sums["retrieved"] += len(line["shown"])
            self._sums["stale"] += stale
            if line["step"] in final.values():
                self._sums["answered from"] += len(line["shown"])
                self._sums["answered stale"] += stale
            if told:
                told.show(line.get("chunk"))


def _with_evidence(chunks: Sequence[Chunk], steps: Sequence[Line]) -> Iterator[tuple[Moment, tuple[str, ...]]]:
    """Every operation; of an Update what its prompt showed besides the entry: chunk, scratchpad, other entries, and the
    conversation of an agent that keeps one."""
    text_of: dict[int | None, str] = {chunk.index: chunk.text for chunk in chunks}
    notes = ""
    for step in states(steps):
        line, before = step.line, notes
        for moment in step.moments:
            if moment.kind is OpKind.UPDATE:
                others = (text for entry, text in line.get("shown", ()) if entry != moment.entry)
                said = (message.text for message in step.context)
                yield moment, (text_of.get(line.get("chunk"), ""), before, *others, *said)
            else:
                yield moment, ()
            notes = moment.scratchpad


def _seen(line: Line) -> bool:
    return line["step"] >= 0 and line["finish"] not in UNANSWERED


@functools.lru_cache(maxsize=2048)  # an Update looks at the whole conversation
def _figures(text: str) -> frozenset[str]:
    return frozenset({*_NUMBER.findall(text), *(month.lower() for month in _MONTH.findall(text))})


def _supported(old: str, new: str, evidence: Iterable[str]) -> bool:
    before, after = _figures(old), _figures(new)
    new_ones = after - before
    return before <= after or (bool(new_ones) and new_ones <= set().union(*map(_figures, evidence)))
