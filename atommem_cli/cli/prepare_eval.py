"""Tasks and evaluations: prepare, eval, check."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from atommem_cli.cli import terminal
from atommem_cli.cli.analysis import draw
from atommem_cli.cli.options import (
    AgentNames,
    AsJson,
    Changes,
    EvalOut,
    Limit,
    Planned,
    PolicyName,
    Price,
    RecipeName,
    Repeats,
    ShardOf,
    Speed,
    command,
    forewarn,
    show,
    show_costs,
    show_shares,
)
from atommem_cli.core import folders
from atommem_cli.core.errors import AtommemError, UsageError

if TYPE_CHECKING:
    from atommem_cli.config.recipe import Recipe
    from atommem_cli.runs.shards import Shard


@command(
    "prepare",
    "atommem prepare stream",
    "atommem prepare hotpotqa --docs 200",
    "atommem prepare musique --source my/records --split validation --questions 1",
    "atommem prepare records --source my/wiki --out data/wiki",
)
def prepare(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME", help="hotpotqa, stream, records (your own data), ... (`atommem options tasks`)."
        ),
    ],
    source: Annotated[
        str | None, typer.Option(metavar="PATH", help="A file or folder of records; default: the hub.")
    ] = None,
    split: Annotated[
        list[str] | None, typer.Option(metavar="SPLIT", help="Repeatable: train, validation (or dev); default: both.")
    ] = None,
    validation: Annotated[
        str | None,
        typer.Option(metavar="PATH", help="Questions that train must not ask; default: those of the split beside it."),
    ] = None,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Default: data/NAME.")] = None,
    docs: Annotated[int | None, typer.Option(min=1, metavar="N", help="Documents per task (200; stream: 8).")] = None,
    questions: Annotated[
        str | None, typer.Option(metavar="N", help="Questions per task: a number, or mix (1-10).")
    ] = None,
    distractors: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Documents in the end that no question is about (0).")
    ] = None,
    distractors_by: Annotated[
        str | None, typer.Option(metavar="RECIPE", help="Have this recipe's policy write them.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, metavar="N", help="Most tasks per split.")] = None,
    seed: Annotated[
        int, typer.Option(metavar="N", help="A task's content depends on it and on the task's id alone.")
    ] = 42,
    workers: Annotated[int, typer.Option(min=1, metavar="N", help="Processes; the result is the same.")] = 1,
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
    from atommem_cli.config import recipe as recipes
    from atommem_cli.data import preparation, sources, split_guard
    from atommem_cli.data.written import told
    from atommem_cli.running import contamination, distractor_writer
    from atommem_cli.runs import tables

    name = sources.canonical(name)
    options = recipes.assignments(
        [f"{k}={v}" for k, v in (("docs", docs), ("questions", questions)) if v is not None] + (change or [])
    )
    splits, folder = split or list(sources.splits(name, source)), out or Path("data") / folders.part(name)
    preparation.check(name, splits, out=folder, source=source, validation=validation)
    keep = contamination.closed_book(closed_book_filter) if closed_book_filter is not None else None
    writer = distractor_writer.of(distractors_by) if distractors_by is not None else None
    stages = {"read": "records", "ask": "tasks with distractors"}
    done = []
    for one in splits:
        with terminal.progress(f"{name} {one}") as tell:
            manifest = preparation.prepare(
                name, out=folder, split=one, source=source, validation=validation, options=options, limit=limit,
                seed=seed, workers=workers, keep=keep, distractors=distractors or 0, writer=writer, force=force,
                progress=lambda stage, count, total: tell(count, total, stages.get(stage, "tasks")),
            )  # fmt: skip
        done.append(manifest)
        if manifest.tasks == 1 < manifest.questions_used and manifest.options.get("questions") == "all":
            terminal.say(
                f"{folder}/{manifest.split}: one task with {manifest.questions_used} questions, and intervals are "
                "those of tasks: --questions 1 makes a task of each"
            )
        if writer is not None and distractors:
            terminal.say(f"{folder}/{manifest.split}: {told(folder / manifest.split, distractors * manifest.tasks)}")
    for manifest in done:
        if manifest.split == "train" and not split_guard.compares(manifest, folder):
            mend = (
                "prepare it beside" if sources.is_outside(name) else "prepare it first, or name its file: --validation"
            )
            terminal.say(f"{folder}/train: not checked against questions of validation; {mend}")
    if keep is not None and keep.remark:
        terminal.say(keep.remark)
    show([tables.prepared(done)], [manifest.model_dump(mode="json") for manifest in done], as_json)


@command(
    "eval",
    "atommem eval --policy scripted:oracle --agent atommem --agent rag",
    "atommem eval --recipe small-cpu --set task.folder=data/wiki --agent rag --agent atommem --report",
    "atommem eval --policy openai_server --set policy.url=http://localhost:8000/v1 --set policy.model=M",
    "atommem eval --policy results/grpo-tiny-DIGEST",
    "atommem eval --recipe 8b --plan",
)
def evaluate(
    recipe: RecipeName = None,
    agent: AgentNames = None,
    policy: PolicyName = None,
    limit: Limit = None,
    repeats: Repeats = None,
    change: Changes = None,
    out: EvalOut = None,
    max_failed: Annotated[
        int | None, typer.Option(min=0, metavar="N", help="Failed episodes that are still a success.")
    ] = None,
    ladder: Annotated[
        bool, typer.Option("--ladder", help="Then ask again from other memories, from none to the gold facts.")
    ] = False,
    report: Annotated[bool, typer.Option("--report", help="Then draw each run, as `atommem report` does.")] = False,
    shard: ShardOf = None,
    plan: Planned = False,
    tokens_per_second: Speed = None,
    price: Price = None,
    as_json: AsJson = False,
) -> None:
    """Score any agent with any policy and store, with evidence."""
    from atommem_cli.config import command_line
    from atommem_cli.explain.store_grades import grades
    from atommem_cli.replay import ladder as ladders
    from atommem_cli.reporting import run_tables, store_tables
    from atommem_cli.running import costing, evaluation, suited
    from atommem_cli.runs import provenance, replies, score_tables, shards
    from atommem_cli.runs.labels import telling
    from atommem_cli.runs.reader import Run

    given = {"task.limit": limit, "eval.repeats": repeats, "eval.max_failed": max_failed}
    chosen = command_line.recipes_for(recipe, agent or [], policy, given, change or [])
    mine = shards.parse(shard) if shard else None
    for option, given_too in (("ladder", ladder), ("report", report)):
        if mine and given_too:
            raise UsageError(f"--{option}: it is made of the whole run, by the command that joins the shards")
    forewarn(recipe, *chosen)
    for unsuited in dict.fromkeys(filter(None, map(suited.remark, chosen))):
        terminal.say(unsuited)
    if plan:
        with terminal.patience("tasks cut") as tell:
            costs = costing.plans([(telling(one.agent.name), one) for one in chosen], tell, mine or shards.WHOLE)
        show_costs(chosen, costs, "agent", tokens_per_second, price, as_json)
        return
    if mine:
        _play_shards(chosen, out, mine, as_json)
        return
    results: list[dict[str, Any]] = []
    stores = {}
    try:
        for one in chosen:
            with terminal.progress(f"{telling(one.agent.name)} episodes") as tell:
                path = evaluation.run_path(one, out, several=len(chosen) > 1)
                result = evaluation.evaluate(one, path, command=sys.argv, progress=tell)
                if ladder:
                    result["ladder"] = ladders.climb(Run(path), command=sys.argv, progress=tell)
            stores[telling(one.agent.name)] = graded = grades(Run(path))
            results.append({**result, "stores": graded.values()})
            terminal.say(f"{path}: {provenance.told(path, result['evaluated'], len(result['failed']))}")
            for warning in replies.warnings(result):
                terminal.say(f"{path}: {warning}")
            if report:
                draw([path])
    except AtommemError:  # and what had finished before is shown all the same
        if results:
            show([score_tables.scores(results)], results, as_json)
        raise
    shown = score_tables.details(results[0]) if len(results) == 1 else [score_tables.scores(results)]
    agents = [telling(one.agent.name) for one in chosen]
    shown += run_tables.by_kind(agents, results) if len(results) > 1 else []
    shown += store_tables.tables(stores, "agent")
    shown += [table for result in results if "ladder" in result for table in ladders.tables(result["ladder"])]
    show(shown, results, as_json)
    raise typer.Exit(int(any(len(r["failed"]) > c.eval.max_failed for r, c in zip(results, chosen, strict=True))))


def _play_shards(chosen: Sequence[Recipe], out: Path | None, shard: Shard, as_json: bool) -> None:
    from atommem_cli.running import evaluation
    from atommem_cli.runs import shards
    from atommem_cli.runs.labels import telling

    shares, good = [], True
    for one in chosen:
        path = evaluation.run_path(one, out, several=len(chosen) > 1)
        folders.claim(path)
        with terminal.progress(f"{telling(one.agent.name)} episodes of shard {shard}") as tell:
            beside = [path, *shards.found(path)]
            share = evaluation.play_shard(
                one, shard.folder(path), shard, command=sys.argv, progress=tell, beside=beside
            )
        shares.append((telling(one.agent.name), share))
        good = good and share.failed <= one.eval.max_failed
    show_shares(shares, "agent", as_json)
    raise typer.Exit(int(not good))


@command(
    "check",
    "atommem check",
    "atommem check --recipe 8b",
    "atommem check agents ./mine.py",
    "atommem check policies openai_server --set policy.url=http://localhost:8000/v1 --set policy.model=M",
)
def check(
    room: Annotated[
        str | None,
        typer.Argument(metavar="[ROOM]", help="agents, policies, stores, embedders, tasks, rewards, dialects."),
    ] = None,
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="A plug-in, or its file: does it keep its room's contract?")
    ] = None,
    recipe: RecipeName = None,
    change: Changes = None,
    source: Annotated[str | None, typer.Option(metavar="PATH", help="Of tasks: records, as for prepare.")] = None,
    as_json: AsJson = False,
) -> None:
    """Ten seconds of self-examination, without weights or network; or of one plug-in, promise by promise."""
    from atommem_cli.cli import selfcheck
    from atommem_cli.config import recipe as recipes

    if room is None and source is not None:
        raise UsageError("--source: is for `atommem check tasks NAME`")
    if room is None:
        found = selfcheck.run(recipes.load(recipe or recipes.DEFAULT, change or []))
    else:
        found = selfcheck.plugin(room, name, recipe, change or [], source)
    findings = []
    for finding in found:
        findings.append(finding)
        if not as_json:
            terminal.show_lines([f"{'ok  ' if finding.ok else 'FAIL'}  {finding.name}: {finding.text}"])
    if as_json:
        terminal.show_json([asdict(finding) for finding in findings])
    raise typer.Exit(int(not all(finding.ok for finding in findings)))
