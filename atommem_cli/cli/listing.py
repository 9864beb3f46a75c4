"""What is there: options (every key of a recipe), runs (what is in a results folder)."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from atommem_cli.cli import terminal
from atommem_cli.cli.options import AsJson, command, show

if TYPE_CHECKING:
    from atommem_cli.config.keys import Key


@command(
    "options",
    "atommem options                        # rooms, plug-ins and sections",
    "atommem options policies openai_server",
    "atommem options recipe grpo",
)
def options(
    room: Annotated[
        str | None,
        typer.Argument(
            metavar="[ROOM]", help="agents, policies, stores, embedders, tasks, rewards, dialects, or recipe."
        ),
    ] = None,
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="A plug-in; of recipe, a section.")] = None,
    as_json: AsJson = False,
) -> None:
    """Every key of a recipe or a plug-in: type, default, meaning."""
    from atommem_cli.config import keys
    from atommem_cli.dialects import wording
    from atommem_cli.runs import tables
    from atommem_cli.scoring import rewards

    without = {"rewards": rewards, "dialects": wording}  # no recipe has a section of their keys
    listed = {**keys.listed(), **{one: there.available() for one, there in without.items()}}
    if room is None:
        rows = tuple((one, ", ".join(names)) for one, names in listed.items())
        show(
            [tables.Table("`atommem options ROOM NAME` prints the keys of", ("room", "names"), rows)], [listed], as_json
        )
        return
    room = keys.meant(room, without)
    if name is None and room != keys.RECIPE:
        known = {one: without[room].about(one) if room in without else keys.about(room, one) for one in listed[room]}
        show([tables.Table(f"{room}: a name, what it is", ("name", "what"), tuple(known.items()))], [known], as_json)
        return
    if room in without:
        assert name is not None
        without[room].about(name)  # there is such a one
        found = list(keys.of_model(wording.Wording)) if room == "dialects" else []
    else:
        found = keys.recipe_keys() if name is None else keys.keys(room, name)
    if as_json:
        terminal.show_json([asdict(one) for one in found])
    else:
        terminal.show_lines(_described(found, shutil.get_terminal_size().columns))


@command("runs", "atommem runs", "atommem runs results/study --json")
def runs(
    folder: Annotated[Path, typer.Argument(metavar="[FOLDER]", help="Where to look; default: results.")] = Path(
        "results"
    ),
    as_json: AsJson = False,
) -> None:
    """What is in a folder of results: who played, score, state, date."""
    from atommem_cli.runs import listing

    found = listing.runs(folder)
    if as_json:
        terminal.show_json([asdict(one) for one in found])
    else:
        terminal.show([listing.table(found)])


def _described(found: Sequence[Key], width: int) -> list[str]:
    """Two paragraphs a key: what it may be, and what it means."""
    lines = [] if found else ["no keys beside its name (of a reward: its weight)"]
    for one in found:
        lines.append(f"{one.name}: {one.type}{f' = {one.default}' if one.default else '; needed'}")
        lines += textwrap.wrap(one.meaning, max(40, width), initial_indent="    ", subsequent_indent="    ")
    return lines
