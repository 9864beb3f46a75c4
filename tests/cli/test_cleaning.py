"""What servers, models, files and folders are called or say reaches the terminal and every table as plain text."""

from __future__ import annotations

import json
import os
import pty
import subprocess
from pathlib import Path

import pytest
from commands import ATOMMEM, atommem, complaint
from fake_server import Server, error

from atommem_cli.cli import commands, terminal
from atommem_cli.core import safe_text
from atommem_cli.runs.tables import Table

HOSTILE = "a\x1b[2Jb\x07c\x1b]0;T\x07d\u202ee\x00f\rg\x9b31mh\u200bi\u2028j"
"""ESC with CSI and OSC, BEL, a turned direction, NUL, CR, the one-byte CSI, no width, a line of its own."""
PLAIN = "a<U+001B>[2Jb<U+0007>c<U+001B>]0;T<U+0007>d<U+202E>e<U+0000>f<U+000D>g<U+009B>31mh<U+200B>i<U+2028>j"
FORBIDDEN = [*map(chr, [*range(9), *range(11, 32), *range(127, 160)]), "\u202e", "\u200b", "\u2028"]


def clean(text: str) -> bool:
    return not any(character in text for character in FORBIDDEN)


def test_a_table_shows_everything_and_does_nothing() -> None:
    table = Table(HOSTILE, (HOSTILE, "b|c"), ((HOSTILE, "two\nlines"),))
    for text in (table.markdown(), table.latex(), str(table)):
        assert clean(text)
    assert PLAIN in table.title
    assert table.rows[0][0] == PLAIN


def test_markup_in_a_cell_is_text_and_a_number_stays_as_it_is() -> None:
    rows = (("<b>bold</b>", "<!-- no", "p < 0.0001", "a <-> b"),)
    told = Table("t", ("a", "b", "c", "d"), rows).markdown()
    assert told.splitlines()[-1] == "| \\<b>bold\\</b> | \\<!-- no | p < 0.0001 | a <-> b |"


def test_the_terminal_lines_and_progress_are_clean(capsys: pytest.CaptureFixture[str]) -> None:
    terminal.say(HOSTILE + "\nsecond")
    terminal.show_lines([HOSTILE])
    terminal.show([Table(HOSTILE, ("a",), ((HOSTILE,),))])
    with terminal.progress(HOSTILE) as tell:
        tell(1, 1, HOSTILE)
    seen = capsys.readouterr()
    assert clean(seen.out)
    assert clean(seen.err)
    assert seen.err.startswith(PLAIN + " second\n" + PLAIN)


def test_json_is_the_same_value_without_a_hidden_character(capsys: pytest.CaptureFixture[str]) -> None:
    value = {"a": [HOSTILE + "\ud800" + "\U000e0041" + "äö 漢\n\t"]}
    terminal.show_json(value)
    text = capsys.readouterr().out
    assert clean(text)
    assert json.loads(text) == value
    assert json.loads(safe_text.json_text(value)) == value
    assert "äö 漢" in text


@pytest.mark.parametrize("status", [400, 404, 500])
def test_what_a_server_says_is_shown_and_never_obeyed(tmp_path: Path, status: int) -> None:
    atommem("prepare", "stream", "--limit", "1", cwd=tmp_path)
    with Server(*[error(status, HOSTILE)] * 9) as server:
        changes = (f"policy.url={server.url}", "policy.model=m", "policy.retries=0")
        given = [part for change in changes for part in ("--set", change)]
        command = ["eval", "--policy", "openai_server", *given, "--limit", "1", "--out", "results/x\x1b[2J"]
        out = on_a_terminal(command, tmp_path)
    assert "Traceback" not in out
    shown = out.replace("\r\n", "\n")
    assert "a<U+001B>[2Jb<U+0007>c" in shown.replace("\n", "")
    assert "\x1b]0;" not in shown
    assert "\x1b[2J" not in shown
    for path in tmp_path.glob("results/*/*"):
        if path.name in ("table.md", "summary.json"):
            assert clean(path.read_text()), path


def on_a_terminal(command: list[str], folder: Path) -> str:
    """What a command writes where both its streams are a terminal."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [*ATOMMEM, *command], cwd=folder, stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs, env={**os.environ}
    ) as process:
        os.close(theirs)
        pieces = []
        while True:
            try:
                piece = os.read(ours, 65536)
            except OSError:  # the other end is closed
                break
            if not piece:
                break
            pieces.append(piece)
        process.wait()
    os.close(ours)
    return b"".join(pieces).decode("utf-8", "replace")


def test_names_that_a_shell_put_in_are_shown_as_text(tmp_path: Path) -> None:
    said = complaint("replay", "x\x1b[2J", cwd=tmp_path)
    assert said.startswith("atommem: x<U+001B>[2J: ")
    for wrong in (
        ["replay", "--\x1b[2J"],
        ["\x1b[2J"],
        ["eval", "--limit", "\x1b[2J"],
        ["report", "--episodes", "\x9b0m"],
    ):
        said = atommem(*wrong, cwd=tmp_path, status=2).stderr
        assert clean(said), said


# --- what becomes of an error


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (MemoryError(), "the memory of this machine does not suffice"),
        (RecursionError("maximum"), "nested too deeply"),
        (ImportError("libx.so: failed to map", name="numpy.core"), "a package cannot be loaded: libx.so"),
        (OSError(24, "Too many open files", "a/b"), "a/b: Too many open files; "),
    ],
)
def test_what_the_machine_does_not_give_is_a_sentence(error: Exception, sentence: str) -> None:
    assert sentence in (commands.outside(error) or "")


@pytest.mark.parametrize("error", [ImportError("x", name="atommem_cli.x"), KeyError("x"), ValueError("x"), TypeError()])
def test_a_fault_of_ours_stays_a_traceback(error: Exception) -> None:
    assert commands.outside(error) is None


def test_little_memory_is_one_sentence(tmp_path: Path) -> None:
    shell = f"ulimit -v 400000; exec {' '.join(ATOMMEM)} prepare stream --limit 2"
    done = subprocess.run(["bash", "-c", shell], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode in (0, 3), done.stderr
    assert "Traceback" not in done.stderr


def test_an_interrupt_while_it_starts_says_nothing(tmp_path: Path) -> None:
    """A package that stops the import, as a signal in that moment does."""
    (tmp_path / "typer.py").write_text("raise KeyboardInterrupt\n")
    done = atommem("check", cwd=tmp_path, status=130, PYTHONPATH=str(tmp_path))
    assert done.stderr == ""


def test_a_letter_that_the_terminal_lacks_is_spelled_out(tmp_path: Path) -> None:
    done = atommem("replay", "naïve…", cwd=tmp_path, status=2, PYTHONIOENCODING="ascii", LC_ALL="C.UTF-8")
    assert "na\\xefve" in done.stderr


@pytest.mark.parametrize("name", sorted(filter(None, (one.name for one in commands.app.registered_commands))))
def test_bytes_that_are_no_text_are_one_sentence_of_every_command(name: str, tmp_path: Path) -> None:
    for words in ((os.fsdecode(b"a\xff"),), ("x", "--out", os.fsdecode(b"a\xff/b")), ("--set=a=\udcff",)):
        assert "holds bytes that are no text" in complaint(name, *words, cwd=tmp_path)
    assert not any(tmp_path.iterdir())


def test_a_folder_whose_name_is_no_text_can_be_worked_in(tmp_path: Path) -> None:
    home = tmp_path / os.fsdecode(b"a\xff")
    home.mkdir()
    atommem("prepare", "stream", "--limit", "1", "--split", "validation", cwd=home)
    atommem("eval", "--policy", "scripted:oracle", "--out", "run", cwd=home)
    atommem("report", "run", cwd=home)
