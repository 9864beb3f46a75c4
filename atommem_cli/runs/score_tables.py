"""Tables of evaluations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from atommem_cli.config import command_line
from atommem_cli.runs import replies, summary
from atommem_cli.runs.labels import judge_label, label, scorer
from atommem_cli.runs.tables import Table, number, percent, ratio, sized
from atommem_cli.scoring import llm_judge, staleness

if TYPE_CHECKING:
    pass


_PARTS = ("model", "embedder", "store", "rest")


def evaluation(result: Mapping[str, Any]) -> str:
    """`table.md` of one run."""
    warned = [f"**{warning}.**\n" for warning in replies.warnings(result)]
    return "\n".join([*warned, *(table.markdown() for table in details(result))])


def scores(results: Sequence[Mapping[str, Any]]) -> Table:
    """One row per run: who played, each score with interval and n, failures, calls and tokens per episode."""
    named = [{scorer(name, result.get("judge")): name for name in result["scores"]} for result in results]
    names = list(dict.fromkeys(name for one in named for name in one))
    headers = (
        "agent",
        "policy",
        "store",
        "embedder",
        *names,
        "n",
        "failed",
        "calls",
        "prompt tokens",
        "new tokens",
    )
    rows = []
    for result, own in zip(results, named, strict=True):
        budget = result["budget"]
        first = next(iter(result["scores"].values()))
        rows.append(
            (
                result["agent"]["name"],
                label(result["policy"]),
                result["store"],
                label(result["embedder"]),
                *(_score_of(result, own.get(name, "")) for name in names),
                sized(first["n"], first["tasks"]),
                str(len(result["failed"])),
                *(number(budget[name]["median"]) for name in ("calls", "prompt_tokens", "new_tokens")),
            )
        )
    setting = results[0]["setting"]
    title = (
        f"Scores in % with 95 % intervals clustered by task; {setting['task']}, chunks of {setting['chunk']},"
        f" k = {setting['retrieve_k']}; calls and tokens are medians per episode"
    )
    return Table(title, headers, tuple(rows))


def details(result: Mapping[str, Any]) -> list[Table]:
    """Everything one run shows: scores, kinds of question, operations, budget, time, failures."""
    tables = [scores([result])]
    rows: tuple[tuple[str, ...], ...]
    if result["by_kind"]:
        leading = scorer(llm_judge.leading(tuple(result["scores"])), result.get("judge"))
        judged = result.get("judged_by_kind", {})
        rows = tuple(
            (kind, score(cell), *((score(judged[kind]),) if judged else ()), str(cell["n"]))
            for kind, cell in result["by_kind"].items()
        )
        both = (leading, *((scorer(llm_judge.NAME, result["judge"]),) if judged else ()))
        title = f"{' and '.join(both)} by kind of question{summary.overlap(result['by_kind'])}"
        tables.append(Table(title, ("kind", *both, "n"), rows))
    tables += [named(result)] if "named" in result else []
    steps = result["steps"]["reading"]
    outcomes = sorted({outcome for counts in result["operations"].values() for outcome in counts})
    rows = tuple(
        (kind, ratio(sum(counts.values()), steps), *(str(counts.get(o, 0)) for o in outcomes))
        for kind, counts in result["operations"].items()
    )
    title = f"Memory operations ({steps} reading steps)"
    tables.append(Table(title, ("operation", "per reading step", *outcomes), rows))
    rows = tuple(
        (name, *(number(spread[key]) for key in ("min", "median", "max"))) for name, spread in result["budget"].items()
    )
    tables.append(Table("Use per episode", ("what", "min", "median", "max"), rows))
    tables.append(_facts(result))
    if result["failed"]:
        rows = tuple((f["episode"], f["error"]) for f in result["failed"])
        tables.append(Table("Failed episodes (in the denominator, as wrong)", ("episode", "error"), rows))
    return tables


def named(result: Mapping[str, Any]) -> Table:
    """What answers name, by kind of question: the shares of which `stale` is the difference of the first two."""
    rows = tuple(
        (kind, *map(score, shares.values()), str(shares["current"]["n"])) for kind, shares in result["named"].items()
    )
    title = (
        "What answers name, in %: what is true now, what is no more, neither or both (stale: the first - the second)"
    )
    return Table(title, ("kind", *staleness.SHARES, "n"), rows)


def _abstained(result: Mapping[str, Any]) -> list[str]:
    counts = result.get("abstained", {})
    told = {name: f"{one['said']} of {one['of']}" for name, one in counts.items()}
    return [f"{told['unanswerable']} where that is true, {told['answerable']} where it is not"] if told else []


def _facts(result: Mapping[str, Any]) -> Table:
    time = result["time"]
    wall = time["wall"]
    parts = ", ".join(f"{name} {time[name]:.1f} s ({ratio(time[name], wall, '.1%')})" for name in _PARTS)
    stops = ", ".join(f"{reason} {count}" for reason, count in result["stops"].items())
    killed = f"; {time['sessions_killed']} more were cut off and are not timed" if time["sessions_killed"] else ""
    dropped = ", ".join(result["setting"]["dropped"])
    rows = (
        ("episodes planned / evaluated", f"{result['planned']} / {result['evaluated']}"),
        ("stop reasons", stops),
        ("answers without tags", str(result["untagged_answers"])),
        *(("answers that say nothing tells it", told) for told in _abstained(result)),
        *(
            (what, told)
            for what, key in (("replies", "replies"), ("replies of the judge", "judge_replies"))
            if (told := replies.told(result.get(key, {})))
        ),
        *((("judge", _judged(result)),) if "judge" in result else ()),
        ("tokens never shown", str(result["truncated_tokens"])),
        *(((f"operations dropped ({result['setting'].get('how')})", dropped),) if dropped else ()),
        ("tokens in all", ", ".join(f"{k} {v}" for k, v in result["totals"].items())),
        ("wall time", f"{time['wall']:.1f} s: {parts}{killed}"),
        ("digest", result["digest"][:16]),
    )
    return Table("The run", ("what", "value"), rows)


def _judged(result: Mapping[str, Any]) -> str:
    """Who judged, how it samples, with which instructions, and what is left to judge."""
    judge = result["judge"]
    sampling = "".join(f", {key} {judge[key]}" for key in command_line.SAMPLING if judge.get(key) is not None)
    left = result["evaluated"] - judge["judged"]
    more = f"; {left} of {result['evaluated']} episodes are not judged yet" if left else ""
    return f"{judge_label(judge)}{sampling}, prompt {judge['prompt'][:8]}{more}"


def _score_of(result: Mapping[str, Any], name: str) -> str:
    """Empty where the run has no such score, a dash where it is 0 whatever is answered."""
    if name not in result["scores"]:
        return ""
    return "-" if name in result.get("never", {}) else score(result["scores"][name])


def score(cell: Mapping[str, Any]) -> str:
    return percent(cell["mean"], cell["low"], cell["high"]) if cell["n"] else "-"
