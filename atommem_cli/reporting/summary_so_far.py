"""The numbers of a run as they stand, whether it is finished, was cut off, or still goes on."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from atommem_cli.core.errors import SourceError
from atommem_cli.core.files import Lines
from atommem_cli.core.types import Question
from atommem_cli.runs import summary
from atommem_cli.runs.reader import EPISODES, STEPS, VERDICTS, Run

SESSIONS = "sessions.jsonl"


def standing(run: Run, scorers: Sequence[str], questions: Mapping[str, Sequence[Question]]) -> dict[str, Any]:
    """What `summary.json` would hold now.

    Args:
        scorers: those that every episode has a score of.
        questions: of each task; groups by kind are left out where there are none.

    Raises:
        SourceError: a file of the run is missing or damaged.
    """
    if not (run.path / SESSIONS).is_file():
        raise SourceError(f"{run.path / SESSIONS}: not there; is this the folder of a run?")
    if run.complete and tuple(scorers) == run.scorers:
        return summary.summarize(run.path, questions)
    with tempfile.TemporaryDirectory() as folder:
        # A run that goes on may end in half a line, and its judge comes last: summed up from a copy without these.
        copy = Path(folder) / run.name
        copy.mkdir()
        for name in (EPISODES, STEPS, SESSIONS, VERDICTS):
            if (run.path / name).exists():
                shutil.copyfile(run.path / name, copy / name)
                Lines(copy / name).close()
        (copy / "run.json").write_text(json.dumps({**run.identity, "scorers": list(scorers)}))
        return summary.summarize(copy, questions)
