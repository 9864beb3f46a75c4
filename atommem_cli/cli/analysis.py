"""Evidence: ablate, compare, report."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from atommem_cli.cli import terminal
from atommem_cli.cli.options import (
    AblateOut,
    AsJson,
    Changes,
    Limit,
    Planned,
    PolicyName,
    Price,
    RecipeName,
    Repeats,
    ShardOf,
    Speed,
    Spread,
    command,
    forewarn,
    show,
    show_costs,
    show_shares,
)
from atommem_cli.core.errors import UsageError

if TYPE_CHECKING:
    from atommem_cli.reporting.publish import Findings
    from atommem_cli.reporting.report import Report

EPISODES = 50
"""Of each evaluation, those that a report shows step by step."""


@command(
    "ablate",
    "atommem ablate --policy results/grpo-tiny-DIGEST --drop update delete",
    "atommem ablate --recipe 8b --plan",
    "atommem ablate --chunk-size 2048 4096 --retrieve-k 3 6 12 --embedder random",
    "atommem ablate --vary agent.filter_threshold=0.4,0.5,0.6,0.7,0.8 task.distractors=3,5,7",
    "atommem ablate --drop scratchpad storage --vary store.noise.entries=10,50,200 --cross",
    cls=Spread,
)
def ablate(
    recipe: RecipeName = None,
    policy: PolicyName = None,
    drop: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PART",
            help="A component of the agent: create, read, update, delete, scratchpad or storage, or its own; joined "
            "by commas they go together.",
        ),
    ] = None,
    chunk_size: Annotated[
        list[int] | None, typer.Option(min=1, metavar="N", help="Tokens; each with each --retrieve-k.")
    ] = None,
    retrieve_k: Annotated[
        list[int] | None, typer.Option(min=1, metavar="N", help="Entries shown per retrieval.")
    ] = None,
    embedder: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="A plug-in, a model folder or a hub id.")
    ] = None,
    vary: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=V,V",
            help="Other values for any key of the recipe, one arm each; for one of sft or grpo the policy is trained "
            "again.",
        ),
    ] = None,
    cross: Annotated[
        bool, typer.Option("--cross", help="Every value of --vary also without each --drop: who loses less by it?")
    ] = False,
    how: Annotated[
        str | None,
        typer.Option(
            metavar="HOW", help="prompt: gone from the manual, too; noop: told, but ignored; train: learned anew."
        ),
    ] = None,
    limit: Limit = None,
    repeats: Repeats = None,
    change: Changes = None,
    out: AblateOut = None,
    shard: ShardOf = None,
    plan: Planned = False,
    tokens_per_second: Speed = None,
    price: Price = None,
    as_json: AsJson = False,
) -> None:
    """What each memory component, chunk size, k, embedder, or other setting is worth."""
    from atommem_cli.ablation import findings, reader, retrain, runner
    from atommem_cli.ablation.variants import asked, remarks
    from atommem_cli.config import command_line
    from atommem_cli.reporting import publish
    from atommem_cli.runs import shards

    mine = shards.parse(shard) if shard else None
    given = {"task.limit": limit, "eval.repeats": repeats}
    given |= asked(drop or [], chunk_size or [], retrieve_k or [], embedder or [], vary or [], how, cross)
    chosen = command_line.meant(recipe, policy, given, change or [])
    if policy is None and retrain.untrained(chosen):
        trained = retrain.newest(chosen)
        terminal.say(retrain.remark(chosen, trained))
        chosen = command_line.meant(recipe, str(trained), given, change or []) if trained else chosen
    forewarn(recipe, chosen)
    for remark in remarks(chosen):
        terminal.say(remark)
    if plan:
        with terminal.patience("tasks cut") as tell:
            costs = runner.plan(chosen, tell, mine or shards.WHOLE)
        if runner.trains(chosen):
            terminal.say(
                "training is not in it; `atommem sft --plan` and `atommem grpo --plan` say what one arm's takes"
            )
        show_costs([chosen], costs, "arm", tokens_per_second, price, as_json)
        return
    path = runner.run_path(chosen, out)
    if mine:
        with terminal.progress(f"episodes of shard {mine}") as tell:
            shares = runner.play_shard(chosen, path, mine, command=sys.argv, progress=tell)
        show_shares(shares, "arm", as_json)
        raise typer.Exit(int(any(share.failed > chosen.eval.max_failed for _, share in shares)))
    with terminal.progress("episodes") as tell:
        runner.play(chosen, path, command=sys.argv, progress=tell)
    found = findings.worth(reader.read(path))
    publish.publish(path, found)
    terminal.say(f"{path}: written")
    conclude([found], as_json)


@command(
    "compare",
    "atommem compare RUN RUN",
    "atommem compare RUN RUN --scorer f1 --out results/comparison",
    "atommem compare --transfer RUN RUN RUN RUN --label data/stream=stream --out results/transfer",
)
def compare(
    runs: Annotated[
        list[Path], typer.Argument(metavar="RUN...", help="Runs over the same tasks, the base first; or ablations.")
    ],
    scorer: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Repeatable; of stored answers, too. Default: the base's leading one."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where to write tables and figures; default: nowhere.")
    ] = None,
    transfer: Annotated[
        bool, typer.Option("--transfer", help="Trained here, evaluated there: policies by sources of tasks.")
    ] = False,
    label: Annotated[
        list[str] | None,
        typer.Option(metavar="PATH=NAME", help="With --transfer: what a folder of tasks, a model or a training is."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Is a difference between runs real?

    With what it costs, and whether other scorers agree. Given ablations under several seeds: do they agree? Given one:
    by another scorer.
    """
    from atommem_cli.ablation import findings, reader
    from atommem_cli.core import folders
    from atommem_cli.reporting import publish, report
    from atommem_cli.runs.names import labels
    from atommem_cli.runs.reader import open_all

    wanted: list[str | None] = [*dict.fromkeys(scorer or ())] or [None]
    if label and not transfer:
        raise UsageError("--label goes with --transfer")
    targets = [out / str(one) if len(wanted) > 1 else out for one in wanted] if out else []
    for target in targets:
        folders.claim(target, (publish.MARK, report.MARK))
    if transfer:
        across(runs, wanted, assigned(label or []), targets, as_json)
        return
    pooled = all(map(reader.is_one, runs))
    opened = [] if pooled else open_all(runs)
    names = [] if pooled else labels(opened)
    if pooled and len(runs) == 1:
        found = [findings.worth(reader.read(runs[0]), one) for one in wanted]
    else:
        found = [findings.agree(runs, one) if pooled else publish.findings(opened, names, one) for one in wanted]
    for target, each in zip(targets, found, strict=False):
        for path in publish.publish(target, each):
            terminal.say(f"{path}: written")
    conclude(found, as_json)


def assigned(given: Sequence[str]) -> dict[str, str]:
    """`PATH=NAME` pairs.

    Raises:
        UsageError: one is not of that form.
    """
    pairs = [one.rpartition("=") for one in given]
    for typed, (path, _, name) in zip(given, pairs, strict=True):
        if not path.strip() or not name.strip():
            raise UsageError(f"--label {typed}: expected PATH=NAME")
    return {path: name.strip() for path, _, name in pairs}


def across(
    folders: Sequence[Path],
    scorers: Sequence[str | None],
    labels: Mapping[str, str],
    targets: Sequence[Path],
    as_json: bool,
) -> None:
    """`compare --transfer`: show and write a matrix for each scorer."""
    from atommem_cli.compare.transfer import transfer
    from atommem_cli.reporting import transfer_tables
    from atommem_cli.runs.reader import open_all

    opened = open_all(folders)
    found = [transfer(opened, labels, one) for one in scorers]
    for target, each in zip(targets, found, strict=False):
        for path in transfer_tables.publish(target, each):
            terminal.say(f"{path}: written")
    told = [{**transfer_tables.values(each), "sentences": transfer_tables.sentences(each)} for each in found]
    show([table for each in found for table in transfer_tables.tables(each)], told, as_json)
    if not as_json:
        terminal.show_lines([sentence for each in told for sentence in each["sentences"]])


@command("report", "atommem report RUN", "atommem report RUN RUN --out results/page --pdf")
def report(
    folders: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Runs of eval, trainings, or one ablation.")],
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Default: the run's own folder; needed for several.")
    ] = None,
    episodes: Annotated[
        int, typer.Option(min=1, metavar="N", help="Of each evaluation, how many can be stepped through.")
    ] = EPISODES,
    pdf: Annotated[bool, typer.Option("--pdf", help="The figures also as PDF.")] = False,
    as_json: AsJson = False,
) -> None:
    """Draw runs or trainings: one HTML file, and its figures.

    Of evaluations: scores, why questions were missed, and every step of an episode.
    """
    done = draw(folders, out, episodes, pdf)
    show([done.table], [asdict(one) for one in done.progress] or list(done.results), as_json)


def draw(folders: Sequence[Path], out: Path | None = None, episodes: int = EPISODES, pdf: bool = False) -> Report:
    """Write a report, and say what was written."""
    from atommem_cli.ablation import findings, reader
    from atommem_cli.core.folders import claim
    from atommem_cli.reporting import publish
    from atommem_cli.reporting import report as reports

    if out is not None and out.resolve() not in {folder.resolve() for folder in folders}:
        claim(out, (publish.MARK, reports.MARK))
    target = out or (folders[0] if len(folders) == 1 else None)
    done = reports.report(reader.drawn(folders), target, pdf=pdf, episodes=episodes, beside=findings.beside(folders))
    for path in done.paths:
        terminal.say(f"{path}: written")
    return done


def conclude(found: Sequence[Findings], as_json: bool) -> None:
    """Print comparisons: tables, and what they say in sentences."""
    if as_json:
        show([], [{**each.values, "sentences": each.sentences} for each in found], as_json)
        return
    for each in found:
        show(each.shown, [], as_json)
        terminal.show_lines(each.sentences)
