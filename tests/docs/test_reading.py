"""`docs/reading.md`: what it shows as output is what its commands say."""

from __future__ import annotations

import contextlib
import io
import re
import shlex
from pathlib import Path

import pytest
from manual import blocks, page
from typer.testing import CliRunner

from atommem_cli.cli.commands import app


def test_every_output_on_the_page_is_real(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the order of the page; what stands between two `...` stands there as a piece."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    said, shown = "", 0
    for language, body in blocks(page("reading.md")):
        if not language:
            said = ""
            for command in body.splitlines():
                done = CliRunner().invoke(app, shlex.split(command)[1:])
                assert done.exit_code == 0, (command, done.exception, done.output)
                said += done.stdout
            continue
        if language == "python":
            output = io.StringIO()
            with contextlib.redirect_stdout(output):
                exec(compile(body, "reading.md", "exec"), {})
            said = output.getvalue()
            continue
        for piece in re.split(r"^\.\.\.$", body, flags=re.MULTILINE):
            assert piece.strip("\n") in said, piece
            shown += bool(piece.strip())
    assert shown > 10
