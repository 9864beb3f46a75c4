"""Inside of runs: judge, why, replay, what-if, credit."""

from __future__ import annotations

import shutil
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from atommem_cli.cli import terminal
from atommem_cli.cli.options import AsJson, Changes, command, show

RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="A run folder of eval.")]
EpisodeName = Annotated[str, typer.Option("--episode", metavar="ID", help="Its name; without #0 where that is clear.")]


@command(
    "judge",
    "atommem judge RUN --judge openai_server --set eval.judge.url=http://localhost:8000/v1 --set eval.judge.model=M",
    "atommem judge RUN",
    "atommem judge RUN --memory",
)
def judge(
    run: RunFolder,
    judge: Annotated[
        str | None,
        typer.Option(
            metavar="POLICY",
            help="As --policy of eval, its keys by --set eval.judge.KEY=VALUE. Default: the judge that has begun, or "
            "eval.judge of the run's recipe.",
        ),
    ] = None,
    memory: Annotated[
        bool, typer.Option("--memory", help="Grade the store of each episode at its end instead, from 0 to 1.")
    ] = False,
    change: Changes = None,
    as_json: AsJson = False,
) -> None:
    """Have a language model judge the answers of a finished run, or its stores.

    Nothing is played again, and the other scores stay as they are. The same command goes on where it was stopped.
    """
    from atommem_cli.explain.store_grades import grades
    from atommem_cli.reporting import store_tables
    from atommem_cli.running import judgement
    from atommem_cli.runs import replies, score_tables
    from atommem_cli.runs.reader import Run

    opened = Run(run)
    recipe = judgement.chosen(opened, judge, change or [], memory=memory)
    if memory:
        with terminal.progress("episodes graded") as tell:
            judgement.grade(opened, recipe, command=sys.argv, progress=tell)
        graded = grades(opened)
        show([store_tables.quality({opened.name: graded})], [graded.values()], as_json)
        return
    with terminal.progress("episodes judged") as tell:
        result = judgement.judge(opened, recipe, command=sys.argv, progress=tell)
    terminal.say(f"{run}: judged; in its summary.json and table.md")
    for warning in replies.warnings(result):
        terminal.say(f"{run}: {warning}")
    show([score_tables.scores([result])], [result], as_json)


@command("why", "atommem why RUN", "atommem why RUN RUN --json")
def why(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Run folders of eval.")],
    as_json: AsJson = False,
) -> None:
    """Why were questions missed?

    From gold facts and journal, without a judge; and how clean the memory was kept.
    """
    from atommem_cli.explain import cause_counts, examples, memory_quality
    from atommem_cli.runs.names import labels
    from atommem_cli.runs.reader import open_all

    opened = open_all(runs)
    for run in opened:
        run.insist_begun(ended=True)
    names = labels(opened)
    told = {name: memory_quality.why(run) for name, run in zip(names, opened, strict=True)}
    shown = []
    for (name, found), run in zip(told.items(), opened, strict=True):
        shown.append(cause_counts.table(found.causes, f"{name}{run.extent}: {cause_counts.TITLE}"))
        looked = examples.table(
            found.examples, f"{name}: one question for each cause (atommem replay RUN --episode ID)"
        )
        shown += [looked] if looked.rows else []
    values = {
        name: {
            "causes": {kind: asdict(counted) for kind, counted in found.causes.items()},
            "examples": {cause: asdict(one) for cause, one in found.examples.items()},
            "hygiene": asdict(found.hygiene),
        }
        for name, found in told.items()
    }
    show([*shown, memory_quality.table({name: found.hygiene for name, found in told.items()})], [values], as_json)


@command("replay", "atommem replay RUN", "atommem replay RUN --episode ID")
def replay(
    run: RunFolder,
    episode: Annotated[str | None, typer.Option(metavar="ID", help="Show this one, step by step.")] = None,
    retrieve: Annotated[bool, typer.Option("--retrieve", help="Embed and retrieve again, too.")] = False,
    full: Annotated[bool, typer.Option("--full", help="Every finding, or every step, however many.")] = False,
    as_json: AsJson = False,
) -> None:
    """Play a run again without a model.

    Everything must come out as it is written; exit status 1 where something does not. With --episode: look into one.
    """
    from atommem_cli.replay import episode_text, episode_view
    from atommem_cli.replay import replay as replays
    from atommem_cli.runs.reader import Run

    opened = Run(run)
    if episode is not None:
        book = episode_view.book(opened, episode)
        if as_json:
            terminal.show_json(asdict(book))
        else:
            terminal.show_lines(episode_text.lines(book, shutil.get_terminal_size().columns, full=full))
        return
    with terminal.progress("episodes") as tell:
        found = replays.verify(opened, retrieve=retrieve, progress=tell)
    show([replays.table(found)], [asdict(found)], as_json, None if full else "--full")
    raise typer.Exit(int(bool(found.findings)))


@command(
    "what-if",
    "atommem what-if RUN --episode ID --leave-one-out",
    "atommem what-if RUN --episode ID --drop-op 3",
)
def what_if(
    run: RunFolder,
    episode: EpisodeName,
    drop_op: Annotated[int | None, typer.Option(min=1, metavar="N", help="Without operation N of replay.")] = None,
    replace: Annotated[str | None, typer.Option(metavar="N:OPS", help="Operations in place of operation N.")] = None,
    insert: Annotated[str | None, typer.Option(metavar="STEP:OPS", help="Further operations at a step.")] = None,
    forbid: Annotated[str | None, typer.Option(metavar="KIND", help="Without any operation of a kind.")] = None,
    leave_one_out: Annotated[bool, typer.Option("--leave-one-out", help="Every operation in turn.")] = False,
    as_json: AsJson = False,
) -> None:
    """What was an operation worth?

    The episode is played again without it, or with another one in its place.
    """
    from atommem_cli.replay import interventions, whatif, whatif_tables
    from atommem_cli.runs.reader import Run

    if leave_one_out:
        interventions.alone(drop_op, replace, insert, forbid)
        opened = Run(run)
        with terminal.progress("variants") as tell:
            found = whatif.leave_one_out(opened, episode, tell)
        show([whatif_tables.prices(found)], [[asdict(one) for one in found]], as_json)
        return
    change = interventions.intervention(drop_op, replace, insert, forbid)
    one = whatif.price(Run(run), episode, change)
    show([whatif_tables.comparison(one)], [asdict(one)], as_json)


@command("credit", "atommem credit RUN", "atommem credit RUN --scorer likelihood")
def credit(
    run: RunFolder,
    scorer: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Default: the run's leading one; or `likelihood`, of the gold answers."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """What was every operation of a run worth?

    Each one is left out of the memory in turn, and the questions that are then shown something else are asked again.
    """
    from atommem_cli.replay import credit as credits
    from atommem_cli.runs.reader import Run

    with terminal.progress("episodes") as tell:
        found = credits.credit(Run(run), scorer, tell)
    terminal.say(f"{run}: priced; every operation in its credit.jsonl")
    show([credits.table(found)], [asdict(found)], as_json)
