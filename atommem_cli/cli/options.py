"""What the commands share: the application, their options, and how results are printed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer
from typer.core import TyperCommand, TyperGroup

from atommem_cli import __version__
from atommem_cli.cli import terminal
from atommem_cli.core.errors import UsageError

if TYPE_CHECKING:
    from atommem_cli.config.recipe import Recipe
    from atommem_cli.running.evaluation import Share
    from atommem_cli.runs import tables

ORDER = (
    "check", "options", "prepare", "eval", "judge", "runs", "why", "compare", "replay", "what-if", "credit", "report",
    "ablate", "sft", "grpo",
)  # fmt: skip
"""As a newcomer needs them; a command that is not named here comes last."""


class Ordered(TyperGroup):
    """Lists the commands as a study uses them."""

    def list_commands(self, _: object) -> list[str]:
        """Every command, in `ORDER`."""
        return sorted(self.commands, key=lambda name: ORDER.index(name) if name in ORDER else len(ORDER))


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


START = """\b
Start with:
  atommem check
  atommem prepare stream
  atommem eval --policy scripted:oracle
  atommem why results/eval-tiny-atommem-oracle-DIGEST
"""

app = typer.Typer(
    cls=Ordered,
    help="Benchmark and train LLM agents whose memory is learned.",
    epilog=START,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # drawing the help with Rich doubles its time
)


def command(
    name: str, *examples: str, cls: type[TyperCommand] = TyperCommand
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """A command of the application, with examples at the end of its help."""
    shown = "".join(f"  {example}\n" for example in examples)
    return app.command(name, cls=cls, epilog=f"\b\nExamples:\n{shown}")


def _version(asked: bool) -> None:
    if asked:
        print(f"atommem {__version__}")
        raise typer.Exit


@app.callback()
def options(
    _: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print it and exit.")] = False,
) -> None:
    """Benchmark and train LLM agents whose memory is learned."""


def _recipes() -> list[str]:
    from atommem_cli.config.recipe import shipped

    return list(shipped())


def _of(room: str) -> Callable[[], list[str]]:
    def names() -> list[str]:
        from atommem_cli.config.plugins import available

        return available(room)

    return names


RecipeName = Annotated[
    str | None,
    typer.Option(
        "--recipe",
        metavar="RECIPE",
        autocompletion=_recipes,
        help="A recipe file, or the name of a shipped one; default: tiny.",
    ),
]
PolicyName = Annotated[
    str | None,
    typer.Option(
        "--policy",
        metavar="POLICY",
        autocompletion=_of("policies"),
        help="scripted:SCRIPT, a model (its folder, its training, or its hub id), or another policy's name: "
        "openai_server with --set policy.url=URL --set policy.model=M. What the recipe says of another policy goes.",
    ),
]
AgentNames = Annotated[
    list[str] | None,
    typer.Option("--agent", metavar="AGENT", autocompletion=_of("agents"), help="Repeatable; default: the recipe's."),
]


def _out(default: str) -> Any:
    return typer.Option("--out", metavar="DIR", help=f"Run folder; default: results/{default}-DIGEST.")


EvalOut = Annotated[Path | None, _out("eval-RECIPE-AGENT-POLICY")]
AblateOut = Annotated[Path | None, _out("ablate-RECIPE")]
SftOut = Annotated[Path | None, _out("sft-RECIPE")]
GrpoOut = Annotated[Path | None, _out("grpo-RECIPE")]
Limit = Annotated[int | None, typer.Option("--limit", min=1, metavar="N", help="First tasks only.")]
Repeats = Annotated[int | None, typer.Option("--repeats", min=1, metavar="N", help="Episodes per task.")]
ShardOf = Annotated[
    str | None,
    typer.Option(
        "--shard",
        metavar="I/N",
        help="Only this share, from 1/N; the same command without it joins what N have played.",
    ),
]
Planned = Annotated[bool, typer.Option("--plan", help="Say what it would cost; touch no model.")]


class Pair(NamedTuple):
    """What is known of prompt tokens, and of new ones."""

    prompt: float
    new: float


def _pair(option: str, least: float = 0) -> Callable[[str], Pair]:
    """Reads "N" or "PROMPT,NEW": finite numbers from `least` on."""

    def read(text: str) -> Pair:
        try:
            numbers = [float(part) for part in text.split(",")]
        except ValueError:
            numbers = []
        if len(numbers) not in (1, 2) or not all(least <= number < inf for number in numbers):
            raise UsageError(f"{option} {text}: expected a number of at least {least:g}, or two joined by a comma")
        return Pair(numbers[0], numbers[-1])

    return read


Speed = Annotated[
    Pair | None,
    typer.Option(
        "--tokens-per-second",
        parser=_pair("--tokens-per-second", least=1),
        metavar="N",
        help="For --plan: of all requests; or PROMPT,NEW: gives hours.",
    ),
]
Price = Annotated[
    Pair | None,
    typer.Option("--price", parser=_pair("--price"), metavar="IN,OUT", help="For --plan: of a million tokens."),
]
Changes = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Change one recipe key, as chunk.tokens=500; repeatable. `atommem options` lists them. Another name of "
        "a plug-in, as store.name=exact, drops the keys that it does not have.",
    ),
]
Processes = Annotated[
    int | None, typer.Option("--processes", min=1, metavar="N", help="For --plan: how many will train together.")
]
Sharded = Annotated[bool, typer.Option("--sharded", help="For --plan: FSDP or ZeRO-3 shares the weights.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")]


def forewarn(name: str | None, *chosen: Recipe) -> None:
    """Say what `--policy` did not keep of the sampling of the named recipe (see `command_line.replaced`), and which
    operations of `memory.drop` the agents do not have."""
    from atommem_cli.config import command_line
    from atommem_cli.running.build import idly_dropped

    for remark in filter(None, (command_line.replaced(name, chosen[0]), *map(idly_dropped, chosen))):
        terminal.say(remark)


def show(shown: Sequence[tables.Table], values: Sequence[Any], as_json: bool, whole: str | None = "--json") -> None:
    """Print tables, or one value (several: a list) as JSON.

    Args:
        whole: the option that prints every row of a table that has more than one reads; None: do so now.
    """
    from atommem_cli.runs.tables import bounded

    if as_json:
        terminal.show_json(values[0] if len(values) == 1 else values)
    else:
        terminal.show(shown if whole is None else [bounded(table, whole) for table in shown])


def show_costs(
    chosen: Sequence[Recipe],
    costs: Sequence[tuple[str, tables.Cost]],
    what: str,
    speed: Pair | None,
    price: Pair | None,
    as_json: bool,
) -> None:
    """Print the plan of recipes, with a row for all of it together."""
    from dataclasses import asdict

    from atommem_cli.running import costing
    from atommem_cli.runs import tables as drawn

    for remark in costing.remarks(chosen):
        terminal.say(remark)
    rows = [*costs, *([("together", costing.total(costs))] if len(costs) > 1 else [])]
    show(
        [drawn.costs(rows, what, drawn.Rates(speed, price))],
        [{what: name, **asdict(cost)} for name, cost in costs],
        as_json,
    )


def show_shares(shares: Sequence[tuple[str, Share]], what: str, as_json: bool) -> None:
    """Print how far a shard is, a row for each run that it has a share of."""
    from dataclasses import asdict

    from atommem_cli.runs import tables as drawn

    rows = tuple(
        (name, f"{share.evaluated:,} of {share.planned:,}", f"{share.failed:,}", share.folder) for name, share in shares
    )
    title = f"Shard {shares[0][1].shard}; the same command without --shard joins what the shards have played"
    show(
        [drawn.Table(title, (what, "episodes", "failed", "folder"), rows)],
        [{what: name, **asdict(share)} for name, share in shares],
        as_json,
    )
