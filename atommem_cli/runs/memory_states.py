"""What memory and context held after every operation, from the journal of an episode alone."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from itertools import chain
from operator import attrgetter
from typing import Any, NamedTuple

from atommem_cli.core.context import SUMMARY_ROLE
from atommem_cli.core.effects import AUTOMATIC, EFFECTS, Done, Edit, State
from atommem_cli.core.types import OpKind, Outcome

_KINDS: dict[str, OpKind] = {kind: kind for kind in OpKind}
_OUTCOMES: dict[str, Outcome] = {outcome: outcome for outcome in Outcome}
"""By their names in a journal: to ask an enumeration takes longer than to carry an operation out."""

Versions = tuple[list[int], list[str | None]]
"""Of one entry: the numbers of the changes that touched it, ascending, and its text after each; None: deleted."""


@dataclass(frozen=True, slots=True, eq=False)
class Entries(Mapping[int, str]):
    """The entries at one moment, a view of the history that all moments of an episode share: they are one text each."""

    history: Mapping[int, Versions]
    at: int
    """Number of changes up to here."""
    count: int
    """Entries at this moment."""

    def __getitem__(self, entry: int) -> str:
        numbers, texts = self.history[entry]
        before = bisect_right(numbers, self.at)
        text = texts[before - 1] if before else None
        if text is None:
            raise KeyError(entry)
        return text

    def __iter__(self) -> Iterator[int]:
        for entry, (numbers, _) in self.history.items():
            if numbers[0] > self.at:
                return  # they were created in this order
            if entry in self:
                yield entry

    def __len__(self) -> int:
        return self.count


class _Current(MutableMapping[int, str]):
    """The entries as they are now, which keep what they were."""

    def __init__(self) -> None:
        self._history: dict[int, Versions] = {}
        self.now = Entries(self._history, 0, 0)

    def __getitem__(self, entry: int) -> str:
        text = self._history[entry][1][-1]
        if text is None:
            raise KeyError(entry)
        return text

    def __setitem__(self, entry: int, text: str) -> None:
        old = self._history.get(entry)
        self._note(entry, text, 1 if old is None or old[1][-1] is None else 0)

    def __delitem__(self, entry: int) -> None:
        self._note(entry, None, -1)

    def __iter__(self) -> Iterator[int]:
        return iter(self.now)

    def __len__(self) -> int:
        return len(self.now)

    def _note(self, entry: int, text: str | None, more: int) -> None:
        numbers, texts = self._history.setdefault(entry, ([], []))
        self.now = Entries(self._history, self.now.at + 1, self.now.count + more)
        numbers.append(self.now.at)
        texts.append(text)


@dataclass(frozen=True, slots=True)
class Said:
    """One message of the context."""

    id: int
    role: str
    text: str
    place: int
    """Messages stand in this order: its id, or the place of the first of those that it sums up."""


class _Conversation(dict[int, str]):
    """The texts of the context by id.

    A message may be taken out before any prompt showed it: the journal has no text of it, and does not miss it.
    """

    def __init__(self) -> None:
        self._rest: dict[int, tuple[str, int]] = {}
        self._free: list[int] = []

    def __missing__(self, message: int) -> str:
        return ""

    def __setitem__(self, message: int, text: str) -> None:
        self._rest.setdefault(message, (SUMMARY_ROLE, min(self._free, default=message)))
        super().__setitem__(message, text)

    def __delitem__(self, message: int) -> None:
        self.pop(message, None)
        self._free.append(self._rest.pop(message, ("", message))[1])

    def hear(self, message: int, role: str, text: str) -> None:
        """A prompt shows a message for the first time."""
        self._rest[message] = (role, message)
        self[message] = text

    def settle(self) -> tuple[Said, ...]:
        """All messages, oldest first; an operation is over."""
        self._free.clear()
        said = (Said(i, self._rest[i][0], text, self._rest[i][1]) for i, text in self.items())
        return tuple(sorted(said, key=attrgetter("place")))


class Moment(NamedTuple):
    """One operation and the memory after it."""

    step: int
    """Of the model call; -1 is before the first one."""
    number: int
    """Of the operation within its step."""
    kind: OpKind
    outcome: Outcome
    text: str
    """As the policy wrote it, without white space around it."""
    target: int | None
    """Update and Delete: the number of the shown entry, from 1."""
    targets: tuple[int, ...]
    """Summarize and Filter: ids of the messages that go."""
    entry: int | None
    """Id of the entry that was created, changed or deleted, or of the message that sums others up."""
    old: str
    """What an Update or a Delete replaced, or the scratchpad or query before; else empty."""
    automatic: bool
    """Whether the agent ran it by itself, and no policy wrote it."""
    edits: tuple[Edit, ...]
    """What it did to the state; nothing where it was refused or without effect."""
    entries: Entries
    """Text by id, after the operation."""
    scratchpad: str
    query: str
    context: tuple[Said, ...]
    """The conversation of an agent that keeps one, after the operation."""


@dataclass(frozen=True, slots=True)
class Step:
    """One line of the journal."""

    line: Mapping[str, Any]
    context: tuple[Said, ...]
    """The conversation at its prompt, as far as prompts have shown it; empty where the agent keeps none."""
    heard: tuple[Said, ...]
    """Those of its messages that no earlier prompt showed."""
    moments: tuple[Moment, ...]
    noise: tuple[Edit, ...]
    """What lay in the store before the episode began; of the first line alone."""
    entries: Entries
    """Text by id, after the step."""


def ran_by_itself(op: Mapping[str, Any]) -> bool:
    """Whether an operation of a journal was the agent's own, and none of the policy's."""
    return op["kind"] == OpKind.CLEAR or [*AUTOMATIC[0]] in op.get("meta", ())


def moments(lines: Iterable[Mapping[str, Any]]) -> Iterator[Moment]:
    """Every operation of an episode in order, refused ones too, with memory and context after each.

    Args:
        lines: of `steps.jsonl`, those of one episode, by step.
    """
    return chain.from_iterable(step.moments for step in states(lines))


def noise_of(lines: Sequence[Mapping[str, Any]]) -> dict[int, str]:
    """What lay in the store before an episode began, text by id."""
    return dict(lines[0].get("noise", ())) if lines else {}


def final_entries(lines: Sequence[Mapping[str, Any]]) -> Mapping[int, str]:
    """The entries of an episode at its end, text by id, the oldest first; noise that nobody has changed apart."""
    last: Mapping[int, str] = {}
    for step in states(lines):
        last = step.entries
    return unnoised(last, noise_of(lines))


def unnoised(entries: Mapping[int, str], noise: Mapping[int, str]) -> Mapping[int, str]:
    """Entries without noise that stands there as it was."""
    return {entry: text for entry, text in entries.items() if noise.get(entry) != text} if noise else entries


def states(lines: Iterable[Mapping[str, Any]]) -> Iterator[Step]:
    """Every step of an episode in order, with its `moments`."""
    entries, conversation = _Current(), _Conversation()
    state = State(entries, context=conversation)
    context: tuple[Said, ...] = ()
    for line in lines:
        heard = line.get("context", ())
        for said in heard:
            conversation.hear(*said)
        noise = tuple(Edit("add", "entries", entry, text) for entry, text in line.get("noise", ()))
        for edit in noise:
            state.edit(edit)
        context = conversation.settle() if heard else context
        shown, told = context, []
        for number, op in enumerate(line["ops"]):
            kind, outcome = _KINDS[op["kind"]], _OUTCOMES[op["outcome"]]
            text, entry, old = op["text"].strip(), op["entry"], ""
            targets = tuple(op["targets"]) if "targets" in op else ()
            edits = EFFECTS[kind](Done(text, entry, targets)) if outcome is Outcome.OK else ()
            for edit in edits:
                old = state.edit(edit)
            if edits and edits[0].part == "context":
                context, old = conversation.settle(), ""
            told.append(
                Moment(
                    line["step"],
                    number,
                    kind,
                    outcome,
                    text,
                    op.get("target"),
                    targets,
                    entry,
                    old,
                    ran_by_itself(op),
                    edits,
                    entries.now,
                    state.scratchpad,
                    state.query,
                    context,
                )
            )
        new = {message for message, *_ in heard}
        fresh = tuple(said for said in shown if said.id in new)
        yield Step(line, shown, fresh, tuple(told), noise, entries.now)
