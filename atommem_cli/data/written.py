"""Distractors that a model writes, as AgeMem's authors had them (arXiv 2601.01885): to fit the questions, about other
things.

Each passage is proved as those of the bank are (`unrelated`). One that fails is asked for again, with what it must not
say; one that fails `TRIES` times is left to the bank. Every reply is a line of `distractors.jsonl` beside the tasks as
soon as it is there: a killed command goes on without asking again, and whoever has the file needs no model.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from atommem_cli.core.files import Lines, read_lines, write_whole
from atommem_cli.core.types import Document, Task
from atommem_cli.data.files import Plan, sha256
from atommem_cli.data.making import CountProgress
from atommem_cli.data.unrelated import Proof

WRITTEN = "distractors.jsonl"
TRIES = 3
"""Replies for each passage."""
AT_ONCE = 16
"""Tasks whose passages are asked for together."""
NO_PASSAGE = "no passage"
"""What is wrong with a reply that holds none."""
_LONGEST = 120
"""Characters of a title."""
_ORNAMENT = re.compile(r"^[\s#*_\"'“”]*(?:title\s*:)?[\s#*_\"'“”]*|[\s*_\"'“”]+$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Wish:
    """One passage that is asked for."""

    task: Task
    number: int
    """Of the `count` of its task, from 0."""
    count: int
    attempt: int
    """From 0."""
    barred: tuple[str, ...]
    """What earlier replies have said, and must not."""
    titled: bool
    """Whether its first line is a title."""


class Writer(Protocol):
    """Writes passages."""

    def key(self, wish: Wish) -> str:
        """All that a reply depends on, as one word."""

    def __call__(self, wishes: Sequence[Wish]) -> Iterator[tuple[int, str]]:
        """The number of a wish and the reply to it, as they come; an empty one where there is none to be had.

        Raises:
            UsageError, BackendError: the model cannot be asked.
        """

    def describe(self) -> dict[str, str]:
        """What a manifest records about it."""


def write(plan: Plan, count: int, writer: Writer, folder: Path, tell: CountProgress) -> dict[str, tuple[Document, ...]]:
    """Have `count` passages written for each task of a plan; those that were, by the task's id.

    Args:
        folder: of the file of replies; what is in it is not asked again. In the end it holds what was made use of.

    Raises:
        UsageError, BackendError: the model cannot be asked, or the file not be written; what it said so far is kept.
        SourceError: the file is damaged.
    """
    path, passages = folder / WRITTEN, dict[str, tuple[Document, ...]]()
    with closing(Lines(path)) as journal:
        asking = _Asking(writer, journal)
        for start in range(0, len(plan.jobs), AT_ONCE):
            tasks = [plan.make(job) for job in plan.jobs[start : start + AT_ONCE]]
            passages |= {task.id: found for task, found in zip(tasks, _passages(tasks, count, asking), strict=True)}
            tell("ask", start + len(tasks), len(plan.jobs))
    used = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in asking.lines)
    write_whole(path, used.encode("utf-8", "backslashreplace"))
    return passages


def digest(folder: Path) -> dict[str, str]:
    """The file of replies as an input of the tasks, with its sha256; nothing where it is missing."""
    return {WRITTEN: sha256(folder / WRITTEN)} if (folder / WRITTEN).is_file() else {}


def told(folder: Path, wanted: int) -> str:
    """How many passages were written, of how many that were wanted.

    Raises:
        SourceError: the file of replies is damaged.
    """
    faults = [line["fault"] for _, line in read_lines(folder / WRITTEN)]
    kept = faults.count("")
    refused = f" ({len(faults) - kept:,} replies were refused)" if kept < len(faults) else ""
    return f"distractors: {kept:,} written{refused}, {wanted - kept:,} from other questions"


def _passages(tasks: Sequence[Task], count: int, asking: _Asking) -> list[tuple[Document, ...]]:
    """The passages of some tasks, as far as the model has written them, each in its place."""
    proofs = [Proof(task) for task in tasks]
    found: list[dict[int, Document]] = [{} for _ in tasks]
    barred: dict[tuple[int, int], tuple[str, ...]] = {}
    for attempt in range(TRIES):
        places = [(at, number) for at in range(len(tasks)) for number in range(count) if number not in found[at]]
        wishes = [
            Wish(tasks[at], number, count, attempt, barred.get((at, number), ()), _titled(tasks[at]))
            for at, number in places
        ]
        for (at, number), wish, line in zip(places, wishes, asking.lines_of(wishes), strict=True):
            passage = passage_of(line["reply"], titled=wish.titled)
            fault = proofs[at].fault(passage) if passage is not None else ""
            if passage is not None and not fault:
                found[at][number] = passage
            elif fault:
                barred[at, number] = (*wish.barred, fault)
            line["fault"] = fault if passage is not None else NO_PASSAGE
    return [tuple(one[number] for number in sorted(one)) for one in found]


def passage_of(reply: str, *, titled: bool) -> Document | None:
    """The passage of a reply; None where it holds none."""
    lines = [line.strip() for line in reply.splitlines() if line.strip()]
    title = _ORNAMENT.sub("", lines.pop(0)) if titled and lines else ""
    text = " ".join(" ".join(lines).split())
    sound = text and (bool(title) == titled) and len(title) <= _LONGEST
    return Document(title, text, distractor=True) if sound else None


def _titled(task: Task) -> bool:
    return any(document.title for document in task.documents)


class _Asking:
    """Asks a writer, and keeps what it says."""

    def __init__(self, writer: Writer, journal: Lines) -> None:
        self._writer, self._journal = writer, journal
        self._known: dict[str, str] = {
            line["key"]: line["reply"] for line in journal.read() if {"key", "reply"} <= line.keys()
        }
        self.lines: list[dict[str, Any]] = []
        """Of what was made use of, in order."""

    def lines_of(self, wishes: Sequence[Wish]) -> list[dict[str, Any]]:
        """The line of each; how it was taken is still to be said."""
        keys = [self._writer.key(wish) for wish in wishes]
        new = [at for at, key in enumerate(keys) if key not in self._known]
        for number, reply in self._writer([wishes[at] for at in new]) if new else ():
            at = new[number]
            self._known[keys[at]] = reply
            self._journal.append(_line(keys[at], wishes[at], reply))
        made = [_line(key, wish, self._known[key]) for key, wish in zip(keys, wishes, strict=True)]
        self.lines += made
        return made


def _line(key: str, wish: Wish, reply: str) -> dict[str, Any]:
    return {"key": key, "task": wish.task.id, "number": wish.number, "attempt": wish.attempt, "reply": reply}
