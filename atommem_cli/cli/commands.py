"""Every command, and what becomes of an error: one sentence and an exit status, or a traceback where it is ours."""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence

import typer

from atommem_cli.cli import analysis, episodes, listing, prepare_eval, terminal, training
from atommem_cli.cli.options import app
from atommem_cli.core.errors import AtommemError, BackendError, PluginError, UsageError
from atommem_cli.core.safe_text import has_halves, visible

__all__ = ["analysis", "app", "episodes", "listing", "prepare_eval", "run", "training"]


def run() -> int:
    """Do what the command line says; the exit status."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # the terminal's alphabet may lack a letter of a result
    try:
        _insist_on_text(sys.argv[1:])
        status = app(standalone_mode=False)
    except AtommemError as error:
        terminal.say(f"atommem: {error}")
        return error.status
    except typer.Abort as stopped:
        status = 130
        if isinstance(stopped.__cause__, EOFError):  # a file that ends too early: nobody typed it
            raise stopped.__cause__ from None
    except Exception as error:
        if isinstance(error, _TYPED):
            return _wrong_use(error)
        told, status = outside(error), BackendError.status
        if told is None:
            from atommem_cli.config import blame

            told, status = blame.sentence(error), PluginError.status
        if not told:
            raise
        terminal.say(f"atommem: {told}")
        return status
    if status == 130:
        terminal.say("atommem: stopped")
    return int(status or 0)


def _insist_on_text(words: Sequence[str]) -> None:
    """
    Raises:
        UsageError: one of the words, a path or anything else, holds bytes that no record of a run can hold.
    """
    for word in words:
        if has_halves(word):
            raise UsageError(f"{visible(word)!r} holds bytes that are no text: give it another name")


_TYPED = typer.BadParameter.__mro__[2]
"""Click's own error about options and arguments, wherever this version of Typer has it from."""


def _wrong_use(error: Exception) -> int:
    """Say what Click says, which may hold what a shell put into the command; and where else a plug-in is named."""
    from atommem_cli.config import keys

    said = io.StringIO()
    error.show(said)  # type: ignore[attr-defined]
    print(visible(said.getvalue().rstrip()), file=sys.stderr)
    section = str(getattr(error, "option_name", "")).removeprefix("--")
    if section and section in keys.WHERE.values():
        terminal.say(f"The {section} stands in the recipe: --set {section}.name=NAME, or a file: ./mine.py")
    return 2


def outside(error: Exception) -> str | None:
    """A sentence for what the machine did not give; None is a fault of the program."""
    match error:
        case MemoryError():
            return "the memory of this machine does not suffice; what had finished is saved: try smaller batches"
        case RecursionError():
            return "something is nested too deeply to be read: simplify the recipe or the file"
        case ImportError() if (error.name or "").partition(".")[0] != "atommem_cli":
            return f"a package cannot be loaded: {error}"
        case OSError():
            where = f"{error.filename}: " if error.filename else ""
            return f"{where}{error.strerror or error}; what had finished is saved: the same command goes on from there"
    return None
