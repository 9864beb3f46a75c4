"""Whose fault an exception is: a plug-in's from outside, told by its file and line, or atommem's own."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from atommem_cli.config import plugins
from atommem_cli.core.errors import AtommemError, PluginError
from atommem_cli.core.safe_text import cut, one_line


@contextmanager
def blaming(what: str = "") -> Iterator[None]:
    """Where plug-ins are called: what one of them raises by mistake becomes one sentence.

    Args:
        what: it was at, for the sentence: an episode, a task.

    Raises:
        PluginError: a plug-in from outside failed. What atommem's own code raises without one, and what the machine
            did not give, goes on as it is.
    """
    try:
        yield
    except (AtommemError, OSError, MemoryError, ImportError):
        raise
    except Exception as error:
        if told := sentence(error, what):
            raise PluginError(told) from error
        raise


def sentence(error: Exception, what: str = "") -> str:
    """File and line of the plug-in that an exception passed through, and what it is; empty where it passed none.

    Args:
        what: see `blaming`.
    """
    frames = [*traceback.walk_tb(error.__traceback__)]
    beside, packages = {Path(path).parent for path in plugins.files()}, plugins.packages()

    ours, theirs = [], []
    for frame, line in frames:
        package = str(frame.f_globals.get("__name__", "")).partition(".")[0]
        place = Path(frame.f_code.co_filename)
        if package == "atommem_cli":
            ours.append(f" ({place.name}, line {line})")
        elif place.parent in beside or package in packages:  # a plug-in's file or a module beside it, or its package
            theirs.append(f"{_near(place)}, line {line}")
            ours.clear()
    if not theirs:
        return ""
    said = cut(f"{type(error).__name__}: {error}".rstrip(": "), 300)
    where = f", at {what}" if what else ""
    return one_line(f"{theirs[-1]}: the plug-in fails{where}: {said}{ours[-1] if ours else ''}")


def _near(path: Path) -> str:
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
