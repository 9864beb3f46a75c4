"""What the commands share: the application, their options, and how results are printed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from atommem_cli import terminal

if TYPE_CHECKING:
    from atommem_cli import tables

ORDER = ("prepare", "sft", "grpo", "eval", "ablate", "compare", "report", "why", "replay", "what-if", "check")


class Ordered(TyperGroup):
    """Lists the commands as a study uses them."""

    def list_commands(self, _: object) -> list[str]:
        """Every command, in `ORDER`."""
        return sorted(self.commands, key=ORDER.index)


class Spread(TyperCommand):
    """A command whose repeatable options take several values in a row, too: `--retrieve-k 3 6 12`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Say the option before each of its values, and let Click go on."""
        many = {name for one in self.params if getattr(one, "multiple", False) for name in one.opts}
        spread: list[str] = []
        option = None
        for word in args:
            if word.startswith("-"):
                name = word.partition("=")[0]
                option = name if name in many else None
            elif option is not None and spread[-1] != option:
                spread.append(option)
            spread.append(word)
        return super().parse_args(ctx, spread)


app = typer.Typer(
    cls=Ordered,
    help="Benchmark and train LLM agents whose memory is learned.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # drawing the help with Rich doubles its time
)

RecipeName = Annotated[
    str | None, typer.Option("--recipe", help="A recipe file, or the name of a shipped one; default: tiny.")
]
PolicyName = Annotated[
    str | None,
    typer.Option("--policy", help="A policy, scripted:SCRIPT, or a model: its folder, its training, or its hub id."),
]
RunOut = Annotated[Path | None, typer.Option("--out", help="Run folder; default: results/COMMAND-RECIPE-DIGEST.")]
Planned = Annotated[bool, typer.Option("--plan", help="Say what it would cost; touch no model.")]
Changes = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change one recipe key; repeatable.")
]
Processes = Annotated[int | None, typer.Option(help="For --plan: how many will train together.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")]


def show(shown: Sequence[tables.Table], values: Sequence[Any], as_json: bool) -> None:
    """Print tables, or one value (several: a list) as JSON."""
    if as_json:
        terminal.show_json(values[0] if len(values) == 1 else values)
    else:
        terminal.show(shown)
