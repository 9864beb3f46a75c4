"""`docs/reading.md`: what it shows as output is what its commands say."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from atommem_cli.cli.commands import app

ROOT = next(folder for folder in Path(__file__).resolve().parents if (folder / "pyproject.toml").is_file())


def test_every_output_on_the_page_is_real(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the order of the page; what stands between two `...` stands there as a piece."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    page = (ROOT / "docs" / "reading.md").read_text(encoding="utf-8")
    said, shown = "", 0
    for language, body in re.findall(r"^```(\w*)\n(.*?)^```$", page, re.DOTALL | re.MULTILINE):
        if not language:
            said = ""
            for command in body.splitlines():
                done = CliRunner().invoke(app, shlex.split(command)[1:])
                assert done.exit_code == 0, (command, done.exception, done.output)
                said += done.stdout
            continue
        for piece in re.split(r"^\.\.\.$", body, flags=re.MULTILINE):
            assert piece.strip("\n") in said, piece
            shown += bool(piece.strip())
    assert shown > 10
