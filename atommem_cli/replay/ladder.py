"""The ladder of a finished run: its questions answered again from other memories, from none to the gold facts.

Policy, limits, seeds and scorers are the run's; only the answer stage is asked again (`ladder_rungs` says how, and what
each rung shows). The difference between two rungs is the price of the stage between them. An episode that failed
has on every rung the scores it has in the run and is not asked again: it is the price of no stage, and stands in
what the top rung lacks to 100. A question that the run did not come to (a budget, an overflow) is asked. A question
of which nothing says what facts it needs is not on the rungs that are made of gold facts: each rung has its own n, and
a step compares the questions that are on both of its rungs.

    ladder.jsonl             one line per question and rung, appended as they come; the same command goes on there
    ladder.json, ladder.md   made from them in the end

Nothing else in the run folder changes.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from itertools import pairwise
from typing import Any

from atommem_cli.compare.paired import paired
from atommem_cli.core.calls import Finish
from atommem_cli.core.errors import Interrupted, UsageError
from atommem_cli.core.files import Lines, whole_lines, write_whole
from atommem_cli.core.types import Progress
from atommem_cli.replay.ladder_asking import Climbing, Sheet, ask, assemble, name_of
from atommem_cli.replay.ladder_rungs import Rung
from atommem_cli.runs import provenance, summary, writer
from atommem_cli.runs.labels import label
from atommem_cli.runs.layout import LADDER, LADDER_LINES, LADDER_TABLE, Line
from atommem_cli.runs.reader import Run, failed
from atommem_cli.runs.tables import Table, percent, points, sized
from atommem_cli.scoring import llm_judge
from atommem_cli.scoring.intervals import mean_interval
from atommem_cli.scoring.metrics import lowest

SCHEMA = 1
"""Version of the ladder's files."""

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
    scorers = [name for name in run.scorers if name != llm_judge.NAME]
    if not scorers:
        raise UsageError(f"{run.path}: scored by a judge alone; a ladder needs a scorer that needs no model")
    with run.held():
        lines = Lines(run.path / LADDER_LINES)
        try:
            climbing = assemble(run, Sheet(lines))
            ask(climbing, scorers, progress)
        except KeyboardInterrupt:
            raise Interrupted(
                f"stopped; what had finished is in {run.path / LADDER_LINES}: the same command goes on"
            ) from None
        finally:
            lines.close()
        result = _sum_up(climbing, scorers, command)
        write_whole(run.path / LADDER, json.dumps(result, indent=2, ensure_ascii=False) + "\n")
        write_whole(run.path / LADDER_TABLE, "\n".join(table.markdown() for table in tables(result)))
    return result


# --- summing up


def _sum_up(climbing: Climbing, scorers: Sequence[str], command: Sequence[str]) -> dict[str, Any]:
    run, why = climbing.run, climbing.left_out
    asked = {(one.episode, one.number, one.rung) for one in climbing.sheet.asked.values()}
    written = {
        (line["episode"], line["question"], line["rung"]): line for _, line in whole_lines(run.path / LADDER_LINES)
    }
    latest: dict[Call, Line] = {key: line for key, line in written.items() if key in asked}
    present = [rung for rung in Rung if rung not in why]
    scores = {rung: _scores(climbing, rung, latest) for rung in present}
    rungs = [
        {"rung": rung, "scores": {name: _interval(_by_task(found, name, found), name) for name in scorers}}
        | _use([line for key, line in latest.items() if key[2] == rung])
        for rung, found in scores.items()
    ]
    leading = scorers[0]
    steps = []
    for lower, upper in pairwise(present):
        both = [key for key in scores[upper] if key in scores[lower]]
        above, below = (_by_task(scores[rung], leading, both) for rung in (upper, lower))
        difference = paired(above, below, lowest=lowest(leading))
        stages = " + ".join(_STAGES[rung] for rung in _above(lower, upper) if rung not in why)
        steps.append({"from": lower, "to": upper, "of": stages, **asdict(difference)})
    whole = [json.dumps(latest[key], sort_keys=True) for key in sorted(latest)]
    return {
        "schema": SCHEMA,
        "run": run.name,
        "run_digest": writer.digest(run.episodes.values()),
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
        "made": provenance.session_start(command, {}),
    }


Call = tuple[str, int, str]
"""Its episode, the number of its question, its rung."""
Scores = dict[tuple[str, str, int], Mapping[str, float]]
"""By scorer, of each question on a rung: its task, its episode, its number."""


def _scores(climbing: Climbing, rung: Rung, latest: Mapping[Call, Line]) -> Scores:
    found: Scores = {}
    for name, line in climbing.run.episodes.items():
        own = rung is Rung.OWN_MEMORY or failed(line)
        for number in range(len(line["answers"])):
            if climbing.has(rung, line["task"], number):
                given = {scorer: scores[number] for scorer, scores in line["scores"].items()}
                found[line["task"], name, number] = given if own else latest[name, number, rung]["scores"]
    return found


def _by_task(scores: Scores, scorer: str, keys: Iterable[tuple[str, str, int]]) -> list[list[float]]:
    tasks: dict[str, list[float]] = defaultdict(list)
    for key in keys:
        tasks[key[0]].append(scores[key][scorer])
    return list(tasks.values())


def _above(lower: Rung, upper: Rung) -> list[Rung]:
    """The rungs from one to another, the lower one apart."""
    every = list(Rung)
    return every[every.index(lower) + 1 : every.index(upper) + 1]


def _interval(scores: Sequence[Sequence[float]], scorer: str) -> dict[str, Any]:
    return summary.cell(mean_interval(scores, lowest=lowest(scorer)))


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
    headers = (
        "rung",
        leading,
        "n",
        "step from the rung before",
        "p",
        "won / lost / same",
        "price or worth of",
        *others,
    )
    rows = []
    for rung, step in zip(rungs, [None, *result["steps"]], strict=True):
        told = ("", "", "", "")
        if step is not None:
            counts = f"{step['wins']} / {step['losses']} / {step['ties']}"
            told = (points(step["delta"], step["low"], step["high"]), f"{step['p']:.3g}", counts, step["of"])
        more = (_percent(rung["scores"][name]) for name in others)
        cell = rung["scores"][leading]
        rows.append((rung["rung"], _percent(cell), sized(cell["n"], cell["tasks"]), *told, *more))
    top = rungs[-1]["scores"][leading]
    missing = points(1 - top["mean"], 1 - top["high"], 1 - top["low"])
    rows.append(("all right", "100", "", missing, "", "", "reading and reasoning", *("" for _ in others)))
    title = (
        f"Ladder of {result['run']} ({result['agent']['name']}, {label(result['policy'])}): "
        "scores in % with 95 % intervals clustered by task; steps are paired by the questions on both rungs, in "
        "points; p is not adjusted"
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
    every, least = (of(rung["scores"][result["scorer"]]["n"] for rung in rungs) for of in (max, min))
    if least < every:
        told = f"known of {least} of {every} questions; the others are not on the rungs that are made of them"
        rows.append(("gold facts", told))
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
