"""`docs/map.md`, made from the first sentences of the modules: `python tests/support/map_page.py` writes it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from manual import DOCS, ROOT

PAGE = DOCS / "map.md"
HEAD = """# The house

This page is made from the code (`python tests/support/map_page.py`). Floors from the top down: a room imports from
those below it alone, and rooms on one floor do not see each other (`.importlinter` says so, and `make test` checks it).
A plural room holds plug-ins: the name of a file is its name in a recipe. A name that begins with `_` is private to its
room.
"""


def page() -> str:
    """The whole page."""
    floors = (f"\n## Floor {number}: {', '.join(rooms)}\n{''.join(map(_room, rooms))}" for number, rooms in _floors())
    return HEAD + "".join(floors)


def _floors() -> Iterator[tuple[int, list[str]]]:
    """Numbered from the ground."""
    lines = (ROOT / ".importlinter").read_text(encoding="utf-8").partition("layers =\n")[2].splitlines()
    floors = [line.replace("|", " ").split() for line in lines[: lines.index("")]]
    return ((len(floors) - 1 - at, rooms) for at, rooms in enumerate(floors))


def _room(room: str) -> str:
    folder = ROOT / "atommem_cli" / room
    files = sorted(path for path in folder.glob("*.py") if path.stem not in ("__init__", "__main__"))
    rows = "".join(f"| `{path.stem}` | {_sentence(path)} |\n" for path in files)
    return f"\n**`{room}/`** {_sentence(folder / '__init__.py')}\n\n| file | what it is |\n| --- | --- |\n{rows}"


def _sentence(path: Path) -> str:
    """The first sentence of a module's docstring."""
    said = " ".join((ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").partition("\n\n")[0].split())
    first = re.split(r"(?<!et al)\. ", said)[0].replace("|", "\\|")
    return first if first.endswith((".", "?")) else f"{first}."


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
