"""How the streams of a run were cut: kept with the run, which can then be read where its policy's tokenizer is not.

    chunks.jsonl     one line per task that was played: `chunks`, first character, end and number of tokens of each, in
                     the stream as `chunking.render` writes it; `digest` of their texts; `left_out`, tokens in none of
                     them

What it lacks (a run of an earlier version has none) is cut again, with the tokenizer.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from atommem_cli.core.chunking import chunks_at
from atommem_cli.core.errors import RunMismatch, SourceError
from atommem_cli.core.files import whole_lines
from atommem_cli.core.types import Chunk, Task
from atommem_cli.runs.digests import chunks_digest
from atommem_cli.runs.layout import CHUNKS, CUT, Cut, Line, line_of, misshapen

_WITHOUT = "without the file, chunks are cut with the policy's tokenizer"


def cut_line(task: str, chunks: Iterable[Chunk], left_out: int) -> Line:
    """A line of `chunks.jsonl`."""
    return line_of(CUT, Cut(task, tuple(chunks), left_out))


class Cuts:
    """The lines of `chunks.jsonl`, read."""

    def __init__(self, folder: Path) -> None:
        """
        Args:
            folder: of a run; one without the file has no cuts.

        Raises:
            SourceError: a line is damaged.
        """
        self.path = folder / CHUNKS
        self.lines: dict[str, Line] = {}
        """By task; of a task that stands twice, the first."""
        for number, (_, line) in enumerate(whole_lines(self.path) if self.path.exists() else (), start=1):
            if not _shaped(line):
                raise SourceError(f"{self.path}: line {number} is damaged: {_WITHOUT}")
            self.lines.setdefault(line["task"], line)

    def chunks(self, task: Task) -> tuple[tuple[Chunk, ...], int] | None:
        """The chunks of a task, and the tokens that are in none of them; None where there is no line of it.

        Raises:
            RunMismatch: the stream reads otherwise there than it did when it was played.
        """
        line = self.lines.get(task.id)
        if line is None:
            return None
        chunks = chunks_at(task.documents, line["chunks"])
        if chunks_digest(chunks) != line["digest"]:
            raise RunMismatch(
                f"{self.path}: the chunks of {task.id} are not those that were played: the file or the program has "
                f"changed: {_WITHOUT}"
            )
        return chunks, line["left_out"]


def _shaped(line: object) -> bool:
    return (
        isinstance(line, dict)
        and misshapen(line, CUT) is None
        and line["left_out"] >= 0
        and all(map(_bounds, line["chunks"]))
    )


def _bounds(chunk: object) -> bool:
    return isinstance(chunk, list) and [type(number) for number in chunk] == [int] * 3 and min(chunk) >= 0
