"""Training: sft, grpo."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated

import typer

from atommem_cli.cli import terminal
from atommem_cli.cli.options import (
    AsJson,
    Changes,
    GrpoOut,
    Planned,
    PolicyName,
    Processes,
    RecipeName,
    SftOut,
    Sharded,
    Speed,
    command,
    forewarn,
    show,
)


@command(
    "sft",
    "atommem eval --policy scripted:sloppy --set task.split=train --out results/demonstrations",
    "atommem sft --from results/demonstrations --plan",
    "atommem sft --from results/demonstrations",
)
def sft(
    recipe: RecipeName = None,
    runs: Annotated[
        list[str] | None, typer.Option("--from", metavar="RUN", help="A run of eval to learn from; repeatable.")
    ] = None,
    policy: PolicyName = None,
    change: Changes = None,
    out: SftOut = None,
    plan: Planned = False,
    processes: Processes = None,
    sharded: Sharded = False,
    tokens_per_second: Speed = None,
    as_json: AsJson = False,
) -> None:
    """Teach the format and the habits of good trajectories."""
    from atommem_cli.config import command_line
    from atommem_cli.reporting import training_history, training_summary
    from atommem_cli.runs.tables import Rates
    from atommem_cli.training import loop, plan_tables
    from atommem_cli.training import sft as teaching

    chosen = command_line.meant(recipe, policy, {"sft.runs": runs}, change or [])
    forewarn(recipe, chosen)
    if plan:
        planned = teaching.plan(chosen, processes, sharded=sharded)
        show(teaching.tables(planned, Rates(tokens_per_second)), [asdict(planned)], as_json)
        _tell(plan_tables.sentences(planned, smaller="sft.trainer.per_device_train_batch_size"))
        return
    path = loop.run_path("sft", chosen, out)
    with terminal.progress("updates") as tell:
        result = teaching.train(chosen, path, command=sys.argv, progress=tell, say=terminal.say)
    terminal.say(f"{path}: written; next: atommem grpo --policy {path}")
    show([training_summary.table(training_history.read_all([path]))], [result], as_json)


@command(
    "grpo",
    "atommem grpo --policy results/sft-tiny-DIGEST",
    "atommem grpo --recipe 8b --plan --processes 8 --sharded",
)
def grpo(
    recipe: RecipeName = None,
    policy: PolicyName = None,
    change: Changes = None,
    out: GrpoOut = None,
    plan: Planned = False,
    processes: Processes = None,
    sharded: Sharded = False,
    tokens_per_second: Speed = None,
    as_json: AsJson = False,
) -> None:
    """Learn the memory policy from the reward of whole episodes."""
    from atommem_cli.config import command_line
    from atommem_cli.reporting import training_history, training_summary
    from atommem_cli.runs.tables import Rates
    from atommem_cli.training import grpo as learning
    from atommem_cli.training import loop, plan_grpo, plan_tables

    chosen = command_line.meant(recipe, policy, {}, change or [])
    forewarn(recipe, chosen)
    if plan:
        planned = plan_grpo.grpo(chosen, processes=1 if processes is None else processes, sharded=sharded)
        show(plan_tables.tables(planned, Rates(tokens_per_second)), [asdict(planned)], as_json)
        _tell(plan_tables.sentences(planned, smaller="grpo.micro_batch_tokens"))
        return
    path = loop.run_path("grpo", chosen, out)
    with terminal.progress("updates") as tell:
        result = learning.train(chosen, path, command=sys.argv, progress=tell, say=terminal.say)
    _tell([f"{path}: written", *learning.warnings(result)])
    show([training_summary.table(training_history.read_all([path]))], [result], as_json)


def _tell(sentences: Sequence[str]) -> None:
    for sentence in sentences:
        terminal.say(sentence)
