"""The ladder of a finished run: its questions answered again from other memories, from none to the gold facts.

Policy, limits, seeds and scorers are the run's; only the answer stage is asked again (`rungs` says how, and what
each rung shows). The difference between two rungs is the price of the stage between them. An episode that failed
has on every rung the scores it has in the run and is not asked again: it is the price of no stage, and stands in
what the top rung lacks to 100. A question that the run did not come to (a budget, an overflow) is asked.

    ladder.jsonl             one line per question and rung, appended as they come; the same command goes on there
    ladder.json, ladder.md   made from them in the end

Nothing else in the run folder changes.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import pairwise
from typing import Any

from atommem_cli import judging, records, sessions, summary
from atommem_cli.errors import Interrupted, UsageError
from atommem_cli.evaluation import Progress
from atommem_cli.evidence.climbing import Climbing, Sheet, ask, assemble, name_of
from atommem_cli.evidence.paired import paired
from atommem_cli.evidence.rungs import Rung, left_out
from atommem_cli.evidence.runs import Line, Run, failed
from atommem_cli.jsonlines import Lines, whole_lines, write_whole
from atommem_cli.records import Folder
from atommem_cli.statistics import mean_interval
from atommem_cli.tables import Table, label, percent, points
from atommem_cli.types import Finish

SCHEMA = 1
"""Version of the ladder's files."""
JOURNAL = "ladder.jsonl"

_STAGES = {
    Rung.NO_MEMORY: "the agent's prompt",
    Rung.OWN_MEMORY: "memory, or what the agent shows instead",
    Rung.ORACLE_RETRIEVAL: "retrieval",
    Rung.GOLD_FACTS: "writing and keeping",
}
"""What the step up to a rung is the price, or the worth, of."""


def climb(run: Run, *, command: Sequence[str] = (), progress: Progress | None = None) -> dict[str, Any]:
    """Ask every rung that is not asked yet, and sum up; a ladder that was begun goes on where it stopped.

    Args:
        command: the command line, for the record.

    Returns:
        The content of `ladder.json`.

    Raises:
        UsageError: the run is not finished, its agent has no ladder, or a judge alone scores it.
        RunMismatch: tasks, policy or agent are not those of the run any more, or another process works on it.
        BackendError: something outside failed; what had finished is saved.
        Interrupted: the user stopped it; likewise.
    """
    run.insist_complete()
    run.check()
    scorers = [name for name in run.scorers if name != judging.NAME]
    if not scorers:
        raise UsageError(f"{run.path}: scored by a judge alone; a ladder needs a scorer that needs no model")
    same = {key: value for key, value in run.identity.items() if key != "schema"}
    with Folder(run.path, same, run.recipe.dump()):  # for its lock
        lines = Lines(run.path / JOURNAL)
        try:
            climbing = assemble(run, Sheet(lines))
            ask(climbing, scorers, progress)
        except KeyboardInterrupt:
            raise Interrupted(
                f"stopped; what had finished is in {run.path / JOURNAL}: the same command goes on"
            ) from None
        finally:
            lines.close()
        result = _sum_up(climbing, scorers, command)
        write_whole(run.path / "ladder.json", json.dumps(result, indent=2, ensure_ascii=False) + "\n")
        write_whole(run.path / "ladder.md", "\n".join(table.markdown() for table in tables(result)))
    return result


# --- summing up


def _sum_up(climbing: Climbing, scorers: Sequence[str], command: Sequence[str]) -> dict[str, Any]:
    run, why = climbing.run, left_out(climbing.sees)
    latest = {(line["episode"], line["question"], line["rung"]): line for _, line in whole_lines(run.path / JOURNAL)}
    scores: dict[Rung, dict[str, list[list[float]]]] = {}
    rungs = []
    present = [rung for rung in Rung if rung not in why]
    for rung in present:
        by_task: dict[str, dict[str, list[float]]] = {name: defaultdict(list) for name in scorers}
        for line in run.episodes.values():
            for name in scorers:
                own = line["scores"][name]
                if rung is not Rung.OWN_MEMORY and not failed(line):
                    own = [latest[line["episode"], i, rung]["scores"][name] for i in range(len(own))]
                by_task[name][line["task"]] += own
        scores[rung] = {name: list(tasks.values()) for name, tasks in by_task.items()}
        rungs.append(
            {"rung": rung, "scores": {n: _interval(s) for n, s in scores[rung].items()}}
            | _use([line for key, line in latest.items() if key[2] == rung])
        )
    leading = scorers[0]
    steps = []
    for lower, upper in pairwise(present):
        difference = paired(scores[upper][leading], scores[lower][leading])
        stages = " + ".join(_STAGES[rung] for rung in _above(lower, upper) if rung not in why)
        steps.append({"from": lower, "to": upper, "of": stages, **asdict(difference)})
    whole = [json.dumps(latest[key], sort_keys=True) for key in sorted(latest)]
    return {
        "schema": SCHEMA,
        "run": run.name,
        "run_digest": records.digest(run.episodes.values()),
        "agent": run.identity["agent"],
        "policy": run.identity["policy"],
        "seed": run.recipe.seed,
        "retrieve_k": run.recipe.memory.retrieve_k,
        "scorer": leading,
        "rungs": rungs,
        "steps": steps,
        "left_out": why,
        "failed_episodes": [name for name, line in run.episodes.items() if failed(line)],
        "failed_calls": [
            {"call": name_of(*key), "error": line["error"]}
            for key, line in latest.items()
            if line["finish"] == Finish.ERROR
        ],
        "digest": hashlib.sha256("\n".join(whole).encode()).hexdigest(),
        "made": sessions.opening(command, {}),
    }


def _above(lower: Rung, upper: Rung) -> list[Rung]:
    """The rungs from one to another, the lower one apart."""
    every = list(Rung)
    return every[every.index(lower) + 1 : every.index(upper) + 1]


def _interval(scores: Sequence[Sequence[float]]) -> dict[str, Any]:
    return summary.cell(mean_interval(scores))


def _use(lines: Sequence[Line]) -> dict[str, int]:
    """What asking took, and how often it came to nothing."""
    return {
        "calls": len(lines),
        "prompt_tokens": sum(line["prompt_tokens"] for line in lines),
        "new_tokens": sum(line["new_tokens"] for line in lines),
        "overflowed": sum(line["finish"] == Finish.OVERFLOW for line in lines),
    }


def tables(result: Mapping[str, Any]) -> list[Table]:
    """The ladder from its bottom to its top, and what there is to say about it."""
    leading, rungs = result["scorer"], result["rungs"]
    others = [name for name in rungs[0]["scores"] if name != leading]
    headers = ("rung", leading, "step from the rung before", "p", "won / lost / same", "price or worth of", *others)
    rows = []
    for rung, step in zip(rungs, [None, *result["steps"]], strict=True):
        told = ("", "", "", "")
        if step is not None:
            counts = f"{step['wins']} / {step['losses']} / {step['ties']}"
            told = (points(step["delta"], step["low"], step["high"]), f"{step['p']:.3g}", counts, step["of"])
        more = (_percent(rung["scores"][name]) for name in others)
        rows.append((rung["rung"], _percent(rung["scores"][leading]), *told, *more))
    top = rungs[-1]["scores"][leading]
    missing = points(1 - top["mean"], 1 - top["high"], 1 - top["low"])
    rows.append(("all right", "100", missing, "", "", "reading and reasoning", *("" for _ in others)))
    title = (
        f"Ladder of {result['run']} ({result['agent']['name']}, {label(result['policy'])}): "
        "scores in % with 95 % intervals clustered by task; steps are paired, in points, "
        f"p is not adjusted; {top['n']} questions in {top['tasks']} tasks"
    )
    return [Table(title, headers, tuple(rows)), _facts(result)]


def _facts(result: Mapping[str, Any]) -> Table:
    rungs, failed_episodes, failed_calls = result["rungs"], result["failed_episodes"], result["failed_calls"]
    asked = [rung for rung in rungs if rung["calls"]]
    retrieved = [result["retrieve_k"] for rung in rungs if rung["rung"] == Rung.ORACLE_RETRIEVAL]
    rows = [
        (
            "asked again",
            "; ".join(f"{r['rung']} {r['calls']} calls, {r['prompt_tokens']} prompt tokens" for r in asked),
        ),
        ("own memory", "what the run scored; while it answered it may have read again, on the other rungs it may not"),
        *(("oracle retrieval", f"at most {k} own entries, those that carry gold facts, no others") for k in retrieved),
        *((f"left out: {rung}", why) for rung, why in result["left_out"].items()),
    ]
    if over := sum(rung["overflowed"] for rung in rungs):
        rows.append(("prompts beyond the window", f"{over}, counted as wrong"))
    if failed_episodes:
        rows.append(("failed episodes", f"{len(failed_episodes)}, with the run's own scores on every rung"))
    if failed_calls:
        told = f"{len(failed_calls)}, counted as wrong until the same command asks them again; the first: "
        rows.append(("failed calls", told + f"{failed_calls[0]['call']}: {failed_calls[0]['error']}"))
    rows.append(("digest", result["digest"][:16]))
    return Table("The ladder", ("what", "value"), tuple(rows))


def _percent(cell: Mapping[str, Any]) -> str:
    return percent(cell["mean"], cell["low"], cell["high"])
