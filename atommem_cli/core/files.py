"""Files of JSON lines that only grow, and files that are written whole: a kill or a full disk hurts neither."""

from __future__ import annotations

import errno
import fcntl
import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

from atommem_cli.core.errors import BackendError, SourceError

_as_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


class Lines:
    """A file of JSON lines that only grows. A torn last line is cut off when it is opened."""

    def __init__(self, path: Path) -> None:
        """
        Raises:
            BackendError: it cannot be opened.
        """
        self.path = path
        self._unsynced = False
        with _told(path):
            self._file = os.open(path, os.O_CREAT | os.O_RDWR | os.O_APPEND, 0o644)
        self._size = self._mend()

    def sync(self) -> None:
        """Wait until everything that was appended is on the disk itself, where a power cut cannot lose it.

        Raises:
            BackendError: the disk did not take it.
        """
        if self._unsynced:
            with _told(self.path):
                os.fsync(self._file)
            self._unsynced = False

    def keep(self, wanted: Callable[[dict[str, Any]], bool]) -> None:
        """Leave only some lines; the file is whole at every moment.

        Raises:
            SourceError: a line is damaged.
            BackendError: the disk is full or gone; the file is as it was.
        """
        with self.path.open("rb") as file:
            kept = b"".join(raw for raw, (_, line) in zip(file, self.read_at(), strict=True) if wanted(line))
        write_whole(self.path, kept)
        os.close(self._file)
        self._file = os.open(self.path, os.O_RDWR | os.O_APPEND)
        self._size = len(kept)

    def append(self, line: Mapping[str, Any]) -> None:
        """Append one line.

        Raises:
            BackendError: the disk is full or gone; the file is as it was before.
        """
        data = (_as_json(line) + "\n").encode("utf-8", "backslashreplace")
        offset, left = self._size, memoryview(data)
        try:
            while left:
                left = left[os.write(self._file, left) :]
        except OSError as error:
            os.ftruncate(self._file, offset)
            why = "the disk is full" if error.errno == errno.ENOSPC else str(error.strerror)
            raise BackendError(
                f"{self.path}: {why}; everything finished is saved: make room and run the same command again"
            ) from None
        self._size += len(data)
        self._unsynced = True

    def read(self) -> Iterator[dict[str, Any]]:
        """Every line, in order."""
        return (line for _, line in self.read_at())

    def read_at(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """Every line with its offset in bytes."""
        return read_lines(self.path)

    def line_at(self, offset: int) -> dict[str, Any]:
        """The line that begins at an offset."""
        with self.path.open("rb") as file:
            file.seek(offset)
            line: dict[str, Any] = json.loads(file.readline())
        return line

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)

    def _mend(self) -> int:
        size = os.fstat(self._file).st_size
        at = size
        while at:
            step = min(at, 65_536)
            newline = os.pread(self._file, step, at - step).rfind(b"\n")
            if newline >= 0:
                at = at - step + newline + 1
                break
            at -= step
        if at != size:
            os.ftruncate(self._file, at)
        return at


def read_lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Lines of a JSON lines file with their offsets.

    Raises:
        SourceError: a line is damaged; names file and line.
    """
    offset = 0
    with path.open("rb") as file:
        for number, raw in enumerate(file, start=1):
            try:
                line = json.loads(raw)
            except ValueError:
                raise SourceError(f"{path}: line {number} is damaged") from None
            yield offset, line
            offset += len(raw)


def whole_lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """`read_lines` up to the last line that has its end: another process may be writing, or was killed in one.

    Raises:
        SourceError: a line is damaged; names file and line.
    """
    with path.open("rb") as file:
        whole = sum(block.count(b"\n") for block in iter(lambda: file.read(1 << 20), b""))
    return islice(read_lines(path), whole)


def read_json(path: Path) -> dict[str, Any]:
    """A JSON file of a run folder.

    Raises:
        SourceError: missing or damaged.
    """
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except OSError:
        raise SourceError(f"{path}: not there; is this the folder of a run?") from None
    except ValueError:
        raise SourceError(f"{path}: damaged") from None
    return content


def write_whole(path: Path, content: str | bytes) -> None:
    """Write a file, its folder too, and rename it into place when it is on the disk; text as UTF-8.

    Raises:
        BackendError: the disk is full or gone; the file is as it was.
    """
    draft = path.with_name(f".{path.name}.draft")
    with _told(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with draft.open("wb") as file:
                file.write(content.encode("utf-8") if isinstance(content, str) else content)
                file.flush()
                os.fsync(file.fileno())
        except OSError:
            draft.unlink(missing_ok=True)
            raise
        draft.replace(path)
        sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Wait until a folder's list of names is on the disk itself.

    Raises:
        OSError: it cannot be opened, or the disk did not take it.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def lock(descriptor: int, path: Path, *, shared: bool = False) -> bool:
    """Lock an open file or folder until it is closed; whether nobody else holds it.

    Args:
        path: of it, for the sentence.
        shared: with others who only look.

    Raises:
        BackendError: its file system has no locks.
    """
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        raise BackendError(f"{path}: cannot be locked: {error.strerror}; choose a folder on another disk") from None
    return True


@contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise BackendError(f"{path}: cannot be written: {error.strerror}") from None
