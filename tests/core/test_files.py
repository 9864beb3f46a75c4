"""Locks of files and folders; files that are written whole."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from atommem_cli.core.errors import BackendError
from atommem_cli.core.files import lock, write_whole


def test_one_holds_a_lock_or_several_look(tmp_path: Path) -> None:
    first, second, third = (os.open(tmp_path, os.O_RDONLY) for _ in range(3))
    assert lock(first, tmp_path, shared=True)
    assert lock(second, tmp_path, shared=True)
    assert not lock(third, tmp_path)
    os.close(first)
    os.close(second)
    assert lock(third, tmp_path)
    os.close(third)


def test_a_file_that_cannot_be_locked_is_one_sentence(tmp_path: Path) -> None:
    descriptor = os.open(tmp_path, os.O_PATH)  # refused for another reason than on a file system without locks
    with pytest.raises(BackendError, match=f"{tmp_path}: cannot be locked: .*; choose a folder on another disk"):
        lock(descriptor, tmp_path)
    os.close(descriptor)


def test_a_full_disk_leaves_the_file_and_nothing_beside_it(tmp_path: Path) -> None:
    whole = tmp_path / "whole.json"
    write_whole(whole, "before")
    (tmp_path / ".whole.json.draft").symlink_to("/dev/full")
    with pytest.raises(BackendError, match=r"whole\.json: cannot be written: No space left on device"):
        write_whole(whole, "after")
    assert [path.name for path in tmp_path.iterdir()] == ["whole.json"]
    assert whole.read_text() == "before"
