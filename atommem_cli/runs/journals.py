"""The journals of a run folder as they are read: whether their lines are whole, and whether they fit together."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from enum import StrEnum
from pathlib import Path

from atommem_cli.core.errors import SourceError
from atommem_cli.core.files import whole_lines
from atommem_cli.core.memory_digest import began_with
from atommem_cli.core.types import CONTEXT_OPS, StopReason
from atommem_cli.runs.digests import steps_digest
from atommem_cli.runs.layout import EPISODE, EPISODES, GRADE, GRADES, OPENING, STEP, VERDICT, VERDICTS, Line, holds

Offsets = dict[str, dict[int, int]]
"""Where the last line of each step of each episode begins, in bytes; step -1 is what came before the first call."""


class Fault(StrEnum):
    """What is wrong with the steps of an episode whose line says that it is finished."""

    MISSING = "steps are missing"
    CHANGED = "a step is not as it was"


def shaped(path: Path) -> Iterator[tuple[int, Line]]:
    """Lines of one of these files with their offsets, up to the last one that has its end.

    Raises:
        SourceError: a line is damaged, or lacks something that is read of it.
    """
    for number, (offset, line) in enumerate(whole_lines(path), start=1):
        if path.name == EPISODES:
            good = holds(line, EPISODE)
        elif path.name == VERDICTS:
            good = holds(line, VERDICT)
        elif path.name == GRADES:
            good = holds(line, GRADE)
        else:
            good = holds(line, OPENING) and (line["step"] < 0 or holds(line, STEP))
        if not good:
            raise SourceError(f"{path}: line {number} is damaged: it is not what `atommem eval` writes")
        yield offset, line


def offsets(path: Path) -> Offsets:
    """Where the steps of each episode lie; of a step that was made again, the last line counts.

    Raises:
        SourceError: a line is damaged.
    """
    found: Offsets = {}
    for offset, line in shaped(path):
        found.setdefault(line["episode"], {})[line["step"]] = offset
    return found


def incomplete(path: Path, episodes: Sequence[Line], where: Offsets) -> dict[str, Fault]:
    """Finished episodes whose steps are not all there, or not as they were when the episode's line was written.

    Args:
        path: `steps.jsonl`.
        episodes: the last line of each.
    """
    found: dict[str, Fault] = {}
    with path.open("rb") as file:
        for line in episodes:
            if line["stop"] == StopReason.ERROR:
                continue
            steps = []
            for _, offset in sorted(where.get(line["episode"], {}).items()):
                file.seek(offset)
                steps.append(json.loads(file.readline()))
            if (fault := _fault(line, steps)) is not None:
                found[line["episode"]] = fault
    return found


def _fault(line: Line, steps: Sequence[Line]) -> Fault | None:
    calls = [step for step in steps if step["step"] >= 0]
    if len(calls) < line["usage"].get("calls", 0):
        return Fault.MISSING
    if steps_digest(calls) != line["steps"]:
        return Fault.CHANGED
    # A memory begins empty, or with noise: where the first operation found something else, what came before is gone.
    began = next((op.get("before") for op in _memory_ops(steps)), line["memory"])
    given = steps[0].get("noise", ()) if steps else ()
    return None if began == began_with(given) else Fault.MISSING


def _memory_ops(steps: Sequence[Line]) -> Iterator[Line]:
    return (op for step in steps for op in step["ops"] if op["kind"] not in CONTEXT_OPS)
