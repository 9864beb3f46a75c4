"""An episode under an intervention: an agent whose operations are changed on their way to the memory, and a journal
that has the run's replies as long as they fit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from typing import Any

from atommem_cli.core.calls import MATERIAL, Expects, Generation, Observation
from atommem_cli.core.episode import (
    Agent,
    Apply,
    Ask,
    Call,
    Embed,
    Episode,
    Play,
    Policy,
    Request,
)
from atommem_cli.core.errors import UsageError, did_you_mean
from atommem_cli.core.types import Chunk, MemoryOp, OpKind, OpResult, Task
from atommem_cli.replay.wrapped import Wrapped
from atommem_cli.running.build import Parts
from atommem_cli.running.stubs import StubPolicy
from atommem_cli.runs.digests import prompt_hash
from atommem_cli.runs.layout import Line, recorded_reply
from atommem_cli.runs.memory_states import ran_by_itself


@dataclass(frozen=True, slots=True)
class Drop:
    """Operation `number` was not written."""

    number: int
    """Of all operations of the episode in order, refused ones too, from 1."""


@dataclass(frozen=True, slots=True)
class Replace:
    """Other operations were written in place of operation `number`."""

    number: int
    text: str
    """As the policy would write them; likewise below."""


@dataclass(frozen=True, slots=True)
class Insert:
    """Further operations were written at the end of a reply."""

    step: int
    """Of the model call, from 0; -1 is before the first one."""
    text: str


@dataclass(frozen=True, slots=True)
class Forbid:
    """No operation of a kind was written. The prompts still speak of it."""

    kind: OpKind


Intervention = Drop | Replace | Insert | Forbid
Doing = Generator[Request, Any, list[tuple[MemoryOp, bool]]]


@dataclass(frozen=True, slots=True)
class Edit:
    """An intervention in an episode that has what it speaks of."""

    change: Intervention
    ops: tuple[MemoryOp, ...] = ()
    """Insert and Replace: the operations that are put there."""
    alone: bool = False
    """Insert: whether the policy wrote no operations at that step."""


def edit(agent: Agent, change: Intervention, steps: Sequence[Line]) -> Edit:
    """Check an intervention against an episode, and read its operations as its agent does.

    Args:
        steps: the episode's journal.

    Raises:
        UsageError: the episode has no such operation or step, or the text is no operations.
    """
    places = [line for line in steps for _ in line["ops"]]
    match change:
        case Drop(number) | Replace(number) if not 1 <= number <= len(places):
            having = f"operations 1 to {len(places)}" if places else "no operations"
            raise UsageError(f"operation {number}: the episode has {having} (atommem replay RUN --episode ID)")
        case Insert(step) if not -1 <= step <= steps[-1]["step"]:
            raise UsageError(f"step {step}: the episode has steps 0 to {steps[-1]['step']}, and -1 before them")
        case Drop() | Forbid():
            return Edit(change)
    at = places[change.number - 1]["step"] if isinstance(change, Replace) else change.step
    here: Line = next((line for line in steps if line["step"] == at), {"ops": ()})
    expects = Expects(here.get("expects", Expects.OPERATIONS))  # the opening answers no call
    ops = agent.parse(Expects.OPERATIONS if expects in MATERIAL else expects, change.text)
    if not ops or any(op.defect for op in ops):
        example = agent.write(Expects.OPERATIONS, [MemoryOp(OpKind.CREATE, "...")])
        name = agent.describe()["name"]
        raise UsageError(f"{change.text!r} is no operation that the agent {name} understands: write {example!r}")
    return Edit(change, ops, alone=all(ran_by_itself(op) for op in here["ops"]))


class Edited(Wrapped):
    """An agent under an intervention, for one play."""

    def __init__(self, inner: Agent, edit: Edit) -> None:
        super().__init__(inner)
        self.written: list[OpResult] = []
        """What became of the operations that were put there."""
        self.operations = tuple(OpKind)
        """Any may be put there."""
        self._edit = edit

    def play(self, episode: Episode) -> Play:
        play = self._inner.play(episode)
        step, number = -1, 0
        sent: object = None
        while True:
            if sent is None or isinstance(sent, Generation):  # a step begins: the agent has not seen the reply yet
                yield from self._alone(episode, step)
            try:
                request = play.send(sent)
            except StopIteration:
                return
            except Exception as error:  # it played to its end as the run has it, so the change is the cause
                name = self.describe()["name"]
                mend = "it must take fewer or more results than operations that it asked for"
                if any(op.kind is OpKind.CREATE and not op.meta for op in self._edit.ops):
                    mend += ", and entries without metadata, as those that are put there"
                raise UsageError(
                    f"the agent {name} cannot be played with this change, since it raised {error!r}: {mend}"
                ) from error
            if isinstance(request, Ask):
                sent = yield request
                step += 1
                continue
            if isinstance(request, Embed):
                sent = yield request
                continue
            ops = yield from self._edited(episode, request.ops, step, number)
            number += len(request.ops)
            results: tuple[OpResult, ...] = ()
            if ops:
                results = yield Apply(tuple(op for op, _ in ops))
            self.written += [result for result, (_, ours) in zip(results, ops, strict=True) if ours]
            sent = results

    def _alone(self, episode: Episode, step: int) -> Generator[Request, Any, None]:
        """Insert into a step without operations, of which the agent will not ask what became."""
        change = self._edit.change
        if isinstance(change, Insert) and change.step == step and self._edit.alone:
            ops = yield from self._aimed(episode)
            self.written += yield Apply(ops)

    def _edited(self, episode: Episode, ops: Sequence[MemoryOp], step: int, before: int) -> Doing:
        """What is carried out in place of some operations, and whether it is ours.

        Args:
            before: operations of the episode before these.
        """
        theirs = [(op, False) for op in ops]
        match self._edit.change:
            case Drop(number) | Replace(number):
                at = number - before - 1
                if not 0 <= at < len(ops):
                    return theirs
                head, tail = theirs[:at], theirs[at + 1 :]
            case Insert(where):
                if where != step or self.written:
                    return theirs
                head, tail = theirs, []
            case Forbid(kind):
                return [(op, mine) for op, mine in theirs if op.kind is not kind]
        ours = yield from self._aimed(episode)
        return [*head, *((op, True) for op in ours), *tail]

    def _aimed(self, episode: Episode) -> Generator[Request, Any, tuple[MemoryOp, ...]]:
        """The operations that are put there, with what they leave to the agent to find out."""
        aim = getattr(self._inner, "aim", None)
        ops: list[MemoryOp] = []
        for op in self._edit.ops:
            aimed = op if aim is None else (yield from aim(episode, op))
            ops.append(aimed)
        return tuple(ops)


@dataclass(frozen=True, slots=True)
class Start:
    """What an episode begins with."""

    task: Task
    sample: int
    chunks: tuple[Chunk, ...]
    cut: int

    def episode(self, parts: Parts) -> Episode:
        """The episode, ready to play."""
        return parts.episode(self.task, self.sample, self.chunks, self.cut)


@dataclass
class Recorded:
    """The replies of one episode for all its variants, as far as their prompts are the same."""

    steps: Sequence[Line]
    changed: dict[str, int] = field(default_factory=dict)
    replayed: Counter[str] = field(default_factory=Counter)
    asked: Counter[str] = field(default_factory=Counter)
    open: set[str] = field(default_factory=set)
    """Variants that wait for the policy."""

    def __post_init__(self) -> None:
        self._lines = {line["step"]: line for line in self.steps}

    def finished(self, episode: str) -> bool:
        return False

    def recorded(self, episode: str, step: int, observation: Observation) -> Generation | None:
        line = self._lines.get(step)
        if line is not None and line["prompt"] == prompt_hash(observation):
            self.replayed[episode] += 1
            self.open.discard(episode)
            return recorded_reply(line)
        self.changed.setdefault(episode, step)
        self.asked[episode] += 1
        self.open.add(episode)
        return None


def asked_only(policy: Policy, needed: set[str]) -> StubPolicy:
    """A local policy that is asked about these episodes alone; a rollout asks about the whole batch."""

    def reply(calls: Sequence[Call]) -> list[Generation]:
        asked = [call.episode is not None and call.episode.id in needed for call in calls]
        replies = iter(policy.generate([call for call, wanted in zip(calls, asked, strict=True) if wanted]))
        return [next(replies) if wanted else Generation("") for wanted in asked]

    return StubPolicy(policy.tokenizer, policy.window, reply, policy.batch)


def alone(*given: object) -> None:
    """Insist that `--leave-one-out` is all that a command line asks for.

    Raises:
        UsageError: it is not.
    """
    if any(value is not None for value in given):
        raise UsageError("--leave-one-out goes without --drop-op, --replace, --insert and --forbid")


def intervention(
    drop: int | None = None, replaced: str | None = None, inserted: str | None = None, forbidden: str | None = None
) -> Intervention:
    """The one intervention that a command line means.

    Args:
        replaced: "NUMBER: OPERATIONS", as in "3: <delete>Memory 1</delete>".
        inserted: "STEP: OPERATIONS".

    Raises:
        UsageError: none or several are given, or one cannot be read.
    """
    given = [value for value in (drop, replaced, inserted, forbidden) if value is not None]
    if len(given) != 1:
        raise UsageError("say one thing to change: --drop-op, --replace, --insert or --forbid, or --leave-one-out")
    if drop is not None:
        return Drop(drop)
    if forbidden is not None:
        if forbidden not in list(OpKind):
            hint = did_you_mean(forbidden, map(str, OpKind))
            raise UsageError(f"--forbid {forbidden}: no such operation{hint} (there are: {', '.join(OpKind)})")
        return Forbid(OpKind(forbidden))
    option, kind = ("--replace", "NUMBER") if replaced is not None else ("--insert", "STEP")
    number, colon, text = str(given[0]).partition(":")
    try:
        at = int(number)
    except ValueError:
        colon = ""
    if not colon:
        raise UsageError(f"{option}: expected {kind}: OPERATIONS, the operations as the policy would write them")
    return Replace(at, text.strip()) if replaced is not None else Insert(at, text.strip())
