"""The command line: parse, load the recipe, call one library function, print."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from atommem_cli import terminal
from atommem_cli.errors import AtommemError, UsageError

if TYPE_CHECKING:
    from atommem_cli import tables

app = typer.Typer(
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


@app.command()
def prepare(
    name: Annotated[str, typer.Argument(help="hotpotqa, 2wikimultihopqa, musique or stream.")],
    source: Annotated[str | None, typer.Option(help="A file or folder of records; default: the hub.")] = None,
    split: Annotated[list[str] | None, typer.Option(help="Repeatable; default: train and validation.")] = None,
    out: Annotated[Path | None, typer.Option(help="Default: data/NAME.")] = None,
    docs: Annotated[int | None, typer.Option(help="Documents per task (200; stream: 8).")] = None,
    questions: Annotated[str | None, typer.Option(help="Questions per task: a number, or mix (1-10).")] = None,
    limit: Annotated[int | None, typer.Option(help="Most tasks per split.")] = None,
    seed: Annotated[int, typer.Option(help="A task's content depends on it and on the task's id alone.")] = 42,
    workers: Annotated[int, typer.Option(help="Processes; the result is the same.")] = 1,
    change: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="An option of the source, as style=rich.")
    ] = None,
    closed_book_filter: Annotated[
        str | None, typer.Option(metavar="RECIPE", help="Drop questions this recipe's policy knows anyway.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a folder of other options.")] = False,
    as_json: AsJson = False,
) -> None:
    """Turn raw records, or a seed, into long-context tasks."""
    from atommem_cli import contamination, preparation, tables
    from atommem_cli import recipe as recipes

    if source is not None and Path(source).is_file() and not split:
        raise UsageError(f"{source} is one file: say which --split it is, train or validation")
    options = recipes.assignments(
        [f"{k}={v}" for k, v in (("docs", docs), ("questions", questions)) if v] + (change or [])
    )
    keep = contamination.closed_book(closed_book_filter) if closed_book_filter else None
    done = []
    for one in split or list(preparation.SPLITS):
        with terminal.progress(f"{name} {one}") as show:
            manifest = preparation.prepare(
                name, out=out or Path("data") / name, split=one, source=source, options=options, limit=limit,
                seed=seed, workers=workers, keep=keep, force=force,
                progress=lambda stage, count, total: show(count, total, "records" if stage == "read" else "tasks"),
            )  # fmt: skip
        done.append(manifest)
    _print([tables.prepared(done)], [manifest.model_dump(mode="json") for manifest in done], as_json)


@app.command("eval")
def evaluate(
    recipe: RecipeName = None,
    agent: Annotated[list[str] | None, typer.Option(help="Repeatable; default: the recipe's.")] = None,
    policy: PolicyName = None,
    limit: Annotated[int | None, typer.Option(help="First tasks only.")] = None,
    repeats: Annotated[int | None, typer.Option(help="Episodes per task.")] = None,
    change: Changes = None,
    out: RunOut = None,
    max_failed: Annotated[int | None, typer.Option(help="Failed episodes that are still a success.")] = None,
    plan: Planned = False,
    as_json: AsJson = False,
) -> None:
    """Score any agent with any policy and store, with evidence."""
    from atommem_cli import evaluation, tables

    given = {"task.limit": limit, "eval.repeats": repeats, "eval.max_failed": max_failed}
    chosen = evaluation.recipes_for(recipe, agent or [], policy, given, change or [])
    if plan:
        costs = [(r.agent.name, evaluation.plan(r)) for r in chosen]
        _print([tables.costs(costs)], [{"agent": name, **asdict(cost)} for name, cost in costs], as_json)
        return
    results = []
    for one in chosen:
        with terminal.progress(f"{one.agent.name} episodes") as show:
            path = evaluation.run_path(one, out, several=len(chosen) > 1)
            results.append(evaluation.evaluate(one, path, command=sys.argv, progress=show))
        terminal.say(f"{path}: written")
    shown = tables.details(results[0]) if len(results) == 1 else [tables.scores(results)]
    _print(shown, results, as_json)
    raise typer.Exit(int(any(len(r["failed"]) > c.eval.max_failed for r, c in zip(results, chosen, strict=True))))


@app.command()
def sft(
    recipe: RecipeName = None,
    runs: Annotated[
        list[str] | None, typer.Option("--from", metavar="RUN", help="A run of eval to learn from; repeatable.")
    ] = None,
    policy: PolicyName = None,
    change: Changes = None,
    out: RunOut = None,
    plan: Planned = False,
    processes: Processes = None,
    as_json: AsJson = False,
) -> None:
    """Teach the format and the habits of good trajectories."""
    from atommem_cli import history, progress
    from atommem_cli import recipe as recipes
    from atommem_cli.training import running
    from atommem_cli.training import sft as teaching

    chosen = recipes.meant(recipe, policy, {"sft.runs": runs}, change or [])
    if plan:
        planned = teaching.plan(chosen, processes)
        _print([teaching.table(planned)], [asdict(planned)], as_json)
        return
    path = running.run_path("sft", chosen, out)
    with terminal.progress("updates") as show:
        result = teaching.train(chosen, path, command=sys.argv, progress=show)
    terminal.say(f"{path}: written; next: atommem grpo --policy {path}")
    _print([progress.table(history.read_all([path]))], [result], as_json)


@app.command()
def grpo(
    recipe: RecipeName = None,
    policy: PolicyName = None,
    change: Changes = None,
    out: RunOut = None,
    plan: Planned = False,
    processes: Processes = None,
    sharded: Annotated[bool, typer.Option("--sharded", help="For --plan: FSDP or ZeRO-3 shares the weights.")] = False,
    as_json: AsJson = False,
) -> None:
    """Learn the memory policy from the reward of whole episodes."""
    from atommem_cli import history, progress
    from atommem_cli import recipe as recipes
    from atommem_cli.training import estimate, plans, running
    from atommem_cli.training import grpo as learning

    chosen = recipes.meant(recipe, policy, {}, change or [])
    if plan:
        planned = estimate.grpo(chosen, processes=processes or 1, sharded=sharded)
        _print(plans.tables(planned), [asdict(planned)], as_json)
        return
    path = running.run_path("grpo", chosen, out)
    with terminal.progress("updates") as show:
        result = learning.train(chosen, path, command=sys.argv, progress=show)
    for remark in [f"{path}: written", *learning.warnings(result)]:
        terminal.say(remark)
    _print([progress.table(history.read_all([path]))], [result], as_json)


@app.command()
def report(
    folders: Annotated[list[Path], typer.Argument(help="Training folders; several are drawn over each other.")],
    out: Annotated[Path | None, typer.Option(help="Default: the run's own folder; needed for several.")] = None,
    pdf: Annotated[bool, typer.Option("--pdf", help="The figures also as PDF.")] = False,
    as_json: AsJson = False,
) -> None:
    """Draw what training did: rewards, operations, costs, in one file."""
    from atommem_cli import report as reports

    done = reports.report(folders, out, pdf=pdf)
    for path in done.paths:
        terminal.say(f"{path}: written")
    _print([done.table], [asdict(one) for one in done.progress], as_json)


@app.command()
def check(recipe: RecipeName = None, change: Changes = None, as_json: AsJson = False) -> None:
    """Ten seconds of self-examination, without weights or network."""
    from atommem_cli import recipe as recipes
    from atommem_cli import selfcheck

    findings = []
    for finding in selfcheck.run(recipes.load(recipe or recipes.DEFAULT, change or [])):
        findings.append(finding)
        if not as_json:
            print(f"{'ok  ' if finding.ok else 'FAIL'}  {finding.name}: {finding.text}", flush=True)
    if as_json:
        terminal.show_json([asdict(finding) for finding in findings])
    raise typer.Exit(int(not all(finding.ok for finding in findings)))


def _print(shown: Sequence[tables.Table], values: Sequence[Any], as_json: bool) -> None:
    if as_json:
        terminal.show_json(values[0] if len(values) == 1 else values)
    else:
        terminal.show(shown)


def main() -> None:
    """Entry point: one sentence and an exit status for every error."""
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    try:
        app()
    except AtommemError as error:
        print(f"atommem: {error}", file=sys.stderr)
        sys.exit(error.status)


if __name__ == "__main__":
    main()
