"""How the replies of a run came: with a thought, cut at their limit, empty, or ended nobody knows why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from atommem_cli.core import thoughts
from atommem_cli.core.calls import UNANSWERED, Expects, Finish

MANY = 0.1
"""Share of replies from which on a score says more about limits than about the model."""
HOW = {
    "thought": "with a thought",
    "cut": "cut at their limit",
    "empty": "empty",
    "other": "ended for a reason that is not known",
}
"""Names of what there may be to say of a reply, and the words."""


def tally(steps: Iterable[Mapping[str, Any]], marks: thoughts.Marks) -> dict[str, int]:
    """Counts over lines of steps.jsonl.

    Returns:
        `all`: replies that came from the model; of them `thought`: with a thought, `cut`: at their limit, `empty`:
        nothing said beside a thought, `other`: of a finish that is not known. `wanted`: replies to calls that asked for
        an answer or for notes, and `missing`: the empty ones of them; while reading an empty reply may mean that there
        is nothing to do.
    """
    counts: Counter[str] = Counter()
    for line in steps:
        if line["finish"] not in UNANSWERED:
            wanted = line["expects"] != Expects.OPERATIONS
            found = marked(line["reply"], line["finish"], marks)
            counts.update(found)
            counts.update({"all": 1, "wanted": int(wanted), "missing": int(wanted and "empty" in found)})
    return {name: counts[name] for name in ("all", *HOW, "wanted", "missing")}


def marked(reply: str, finish: str, marks: thoughts.Marks) -> list[str]:
    """What there is to say of one reply, by the names in `HOW`."""
    parts = thoughts.split(reply, marks)
    found = {
        "thought": bool(parts.thought),
        "cut": finish == Finish.LENGTH,
        "empty": parts.empty,
        "other": finish == Finish.OTHER,
    }
    return [name for name, is_so in found.items() if is_so]


def told(counts: Mapping[str, int]) -> str:
    """The counts as a cell of a table; empty where there is nothing to say, as of summaries of earlier versions."""
    words = [f"{counts[name]:,} {what}" for name, what in HOW.items() if counts.get(name)]
    return f"{', '.join(words)} of {counts['all']:,}" if words and "all" in counts else ""


def warnings(result: Mapping[str, Any]) -> list[str]:
    """One sentence for each thing in a run's `summary.json` that keeps a score from saying what it seems to."""
    found = [f"{name} {why}" for name, why in result.get("never", {}).items()]
    counts, judge = result.get("replies"), result.get("judge_replies")
    if counts and "all" in counts and counts["cut"] > 0 and counts["cut"] >= MANY * counts["all"]:
        found.append(
            f"{counts['cut']} of {counts['all']} replies were cut at their limit (empty: {counts['empty']}): give them"
            " room with limits.reply and limits.answer, or turn thinking off"
        )
    if counts and counts.get("missing", 0) > 0 and counts["missing"] >= MANY * counts["wanted"]:
        found.append(f"{counts['missing']} of {counts['wanted']} replies that should be answers or notes say nothing")
    if judge and judge["cut"] > 0 and judge["cut"] >= MANY * judge["all"]:
        found.append(
            f"{judge['cut']} replies of the judge, for {judge['all']} verdicts, were cut at their limit: give them room"
            " with eval.judge.extra, as in {max_tokens: 4096}"
        )
    return found
