"""Whether a checkpoint is whole: what a full disk, a power cut or a copy can do to one, found before it is loaded.

A checkpoint carries `whole.json`, the sizes of all its files, written when they are on the disk. Older ones do not;
then the files speak for themselves.
"""

from __future__ import annotations

import json
import os
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any

from atommem_cli.core.files import write_whole

MARK = "whole.json"
_STATE = "trainer_state.json"
_NEEDED = {
    "weights": "*model*",
    "optimizer": "optimizer*",
    "scheduler": "scheduler.pt",
    "random state": "rng_state*.pth",
}
"""Without a mark, what a checkpoint must hold to be resumed exactly."""


def mark(folder: Path) -> None:
    """Say that everything in a checkpoint is written, once the disk has it."""
    files = flush(folder)
    write_whole(folder / MARK, json.dumps({str(file.relative_to(folder)): file.stat().st_size for file in files}))
    _flush(folder / MARK)
    _flush(folder)


def flush(folder: Path) -> list[Path]:
    """Have the disk take every file of a folder; the files."""
    found = sorted(path for path in folder.rglob("*") if path.name != MARK)
    for path in found:
        _flush(path)
    return [path for path in found if path.is_file()]


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def begun(folder: Path) -> bool:
    """Whether a kill ended the writing of a checkpoint: it has no mark yet, and not the file that comes last."""
    return not (folder / MARK).exists() and _json(folder / _STATE) is None


def fault(folder: Path) -> str | None:
    """What is wrong with a checkpoint; None where nothing is."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    if (folder / MARK).exists():
        listed = _json(folder / MARK)
        if listed is None:
            return f"{MARK} is not readable"
        for name, size in listed.items():
            if not (folder / name).is_file():
                return f"{name} is missing"
            if (folder / name).stat().st_size != size:
                return f"{name} has {(folder / name).stat().st_size} bytes of {size}"
    else:
        for what, pattern in _NEEDED.items():
            if not any(folder.glob(pattern)):
                return f"the {what} is missing"
    state = _json(folder / _STATE)
    if state is None or not isinstance(state.get("global_step"), int) or not isinstance(state.get("log_history"), list):
        return f"{_STATE} is not readable"
    return next((f"{file.name} is cut or damaged" for file in files if not _readable(file)), None)


def _readable(file: Path) -> bool:
    if not file.stat().st_size:
        return False
    if file.suffix == ".json":
        return _json(file) is not None
    if file.suffix == ".safetensors":
        return _safetensors(file)
    if file.suffix in (".pt", ".pth", ".bin"):  # of torch.save: zip files, with checksums
        try:
            with zipfile.ZipFile(file) as archive:
                return archive.testzip() is None
        except (OSError, zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError):
            return False
    return True


def _safetensors(file: Path) -> bool:
    """Whether the file is as long as its header says."""
    try:
        with file.open("rb") as stream:
            (length,) = struct.unpack("<Q", stream.read(8))
            if length > file.stat().st_size:
                return False
            header = json.loads(stream.read(length))
        ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
        return bool(file.stat().st_size == 8 + length + max(ends, default=0))
    except (OSError, ValueError, LookupError, TypeError, AttributeError, struct.error, RecursionError):
        return False


def _json(file: Path) -> dict[str, Any] | None:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None
