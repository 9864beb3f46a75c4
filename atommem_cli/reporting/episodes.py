"""The episodes that a report shows step by step, as JSON: which ones, what is in them, and how they fit the page."""

from __future__ import annotations

import copy
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from atommem_cli.core.chunking import distracting
from atommem_cli.core.errors import AtommemError
from atommem_cli.core.safe_text import cut, visible
from atommem_cli.core.types import Chunk, OpKind, Question, Task
from atommem_cli.explain.miss_causes import MISSED_BELOW, Explanation
from atommem_cli.replay import replay
from atommem_cli.runs import stages, summary
from atommem_cli.runs.layout import Line
from atommem_cli.runs.memory_states import Moment, Step, states
from atommem_cli.runs.reader import Run

SHOWN = 50
"""Of one run, unless the reader of the report asks for others."""
ROOM = 29_000
"""Bytes of JSON per episode, so that 50 of them stay under 2 MB together with figures and program."""
LONGEST = 20_000
"""Characters of one text; of a longer one the rest is left out."""
SHORTEST = 100
"""Characters that are shown of a text whatever the room."""

Case = dict[str, Any]
"""One episode as JSON, with `Prose` in it until it is packed."""


class Prose(str):
    """A text that may be long: it is cut to size, and its pieces are stored once per page."""

    __slots__ = ()


def choose(missed: Mapping[str, bool], most: int) -> list[str]:
    """At most `most` of the episodes, best first: missed and right ones in proportion, each by the order of a hash.

    The hash is of the name alone, so that several runs of the same tasks show much the same ones. The first so many
    of the result are in proportion, too, and both kinds are among the first two.
    """
    order = sorted(missed, key=lambda name: hashlib.sha256(f"casebook {name}".encode("utf-8", "replace")).digest())
    groups = ([name for name in order if missed[name] is wanted] for wanted in (True, False))
    placed = [(place / len(group), name) for group in groups for place, name in enumerate(group)]
    return [name for _, name in sorted(placed)[:most]]


def case(
    line: Line,
    steps: Sequence[Line],
    scorers: Sequence[str],
    leading: str,
    task: Task | None,
    chunks: Sequence[Chunk] | None,
    explained: Sequence[Explanation] | None,
    *,
    staged: bool = False,
) -> Case:
    """One episode; of what is not there any more (tasks, tokenizer) there is None or nothing.

    Args:
        staged: whether its agent has stages.
    """
    late = distracting(task.documents, chunks) if task and chunks else set()
    parts = {number: {"stage": one} for number, one in enumerate(stages.numbered(steps, late))} if staged else {}
    questions = [
        {
            **(_asked(task.questions[number]) if task else {}),
            "answer": Prose(answer["text"]),
            "tagged": answer["tagged"],
            "scores": [line["scores"][scorer][number] for scorer in scorers],
            "missed": line["scores"][leading][number] < MISSED_BELOW,
            **(_why(explained[number]) if explained else {}),
        }
        for number, answer in enumerate(line["answers"])
    ]
    return {
        "name": line["episode"],
        "stop": line["stop"],
        "error": Prose(line.get("error", "")),
        "chunks": None if chunks is None else [Prose(chunk.text) for chunk in chunks],
        "count": line["chunks"],
        "questions": questions,
        "steps": [{**_step(step), **parts.get(number, {})} for number, step in enumerate(states(steps))],
        **({"distractors": sorted(late)} if late else {}),
    }


def labels(question: Question) -> list[str]:
    """What a question is grouped by, as in `summary.json`: hinge and hops of `stream`, or its source's type."""
    return summary.labels(question) or ["other"]


def add_prompts(run: Run, cases: Sequence[Case]) -> str:
    """Rebuild the messages of every call by playing the episodes again without a model.

    Returns:
        Why some are missing, in one sentence; empty if all are there.
    """
    wanted = {one["name"]: one for one in cases}
    part = copy.copy(run)
    part.episodes = {name: line for name, line in run.episodes.items() if name in wanted}
    try:
        for _, trajectory in replay.play(part):
            calls = [step for step in wanted[trajectory.episode]["steps"] if step["step"] >= 0]
            for step, transition in zip(calls, trajectory.transitions, strict=True):
                step["prompt"] = [[message.role, Prose(message.content)] for message in transition.observation.messages]
    except AtommemError as error:
        return f"The exact prompts cannot be rebuilt: {error}"
    return ""


def pack(runs: Sequence[Sequence[Case]]) -> tuple[dict[str, Any], list[str]]:
    """The cases of each run, best first, as JSON of at most `ROOM` bytes for each of them, or for 50 if they are fewer.

    A text becomes a list of numbers of its pieces in `pieces`. What does not fit is left out: the prompts, then
    episodes, and of a single episode the ends of long texts.

    Returns:
        The content, and what was left out.
    """
    room = sum(ROOM * max(SHOWN, len(cases)) for cases in runs)
    left_out = []
    packed = _packed(runs, LONGEST)
    if _size(packed) > room and any("prompt" in step for cases in runs for case in cases for step in case["steps"]):
        runs = [[_without_prompts(case) for case in cases] for cases in runs]
        left_out.append("the exact prompts")
        packed = _packed(runs, LONGEST)
    longest, most = LONGEST, max(map(len, runs), default=0)
    while (size := _size(packed)) > room and (most > 1 or longest > SHORTEST):
        if most > 1:
            most = max(1, min(most - 1, most * room // size))
        else:
            longest //= 2
        packed = _packed([cases[:most] for cases in runs], longest)
    if longest < LONGEST:
        left_out.append(f"all but the first {longest:,} characters of each text")
    if fewer := sum(map(len, runs)) - len(packed["episodes"]):
        left_out.append(f"{fewer:,} more episodes")
    return packed, left_out


def _without_prompts(case: Case) -> Case:
    return {**case, "steps": [{key: of for key, of in step.items() if key != "prompt"} for step in case["steps"]]}


def _packed(runs: Sequence[Sequence[Case]], longest: int) -> dict[str, Any]:
    pieces: dict[str, int] = {}

    def place(value: Any) -> Any:
        match value:
            case Prose():
                return [pieces.setdefault(piece, len(pieces)) for piece in _PIECE.findall(cut(visible(value), longest))]
            case str():
                return visible(value)
            case list() | tuple():
                return [place(inner) for inner in value]
            case dict():
                return {key: place(inner) for key, inner in value.items()}
        return value

    named = [(case["name"], {**case, "run": run}) for run, cases in enumerate(runs) for case in cases]
    episodes = [place(case) for _, case in sorted(named, key=lambda pair: (pair[1]["run"], pair[0]))]
    return {"pieces": list(pieces), "episodes": episodes}


_PIECE = re.compile(r"<[^<>\n]{1,40}>|\n|[^<\n]+|<")
"""Lines and tags apart, so that a chunk, the reply that quotes it and the entry it became share their text."""


def _size(packed: Mapping[str, Any]) -> int:
    return len(script_json(packed).encode())


def script_json(value: Any) -> str:
    """JSON that cannot end the script element it stands in, nor begin a comment or another element."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _asked(question: Question) -> Case:
    return {
        "text": Prose(question.text),
        "gold": [Prose(answer) for answer in question.answers],
        "labels": labels(question),
    }


def _why(explained: Explanation) -> Case:
    """Cause of a miss, and the steps at which each gold fact came and went."""
    ways = ("shown", "written", "lost", "retrieved")
    return {
        "cause": explained.cause or "",
        "facts": [
            {
                "text": Prose(fact.text),
                "cause": fact.cause or "",
                **{way: getattr(fact, way) for way in ways},
                **({"heard": fact.heard} if fact.heard is not None else {}),
                **({"taken out": fact.taken} if fact.taken is not None else {}),
            }
            for fact in explained.facts
        ],
    }


def _step(step: Step) -> Case:
    line, changed = step.line, _changed(step)
    ops = [_op(moment) for moment in step.moments]
    state = {"changed": changed} if changed else {}
    if line["step"] < 0:
        return {"step": line["step"], "shown": [], "ops": ops, **state}
    kept = ("step", "expects", "chunk", "question", "finish", "prompt_tokens", "new_tokens", "seconds")
    heard = [[said.id, said.role, Prose(said.text)] for said in step.heard]
    return {
        **{key: line[key] for key in kept},
        **({"error": Prose(line["error"])} if line.get("error") else {}),
        **({"heard": heard} if heard else {}),
        "shown": [[entry, Prose(text)] for entry, text in line["shown"]],
        "reply": Prose(line["reply"]),
        "ops": ops,
        **state,
    }


def _op(moment: Moment) -> Case:
    rewritten = moment.old and any(edit.part == "scratchpad" for edit in moment.edits)
    return {
        "kind": moment.kind.value,
        "outcome": moment.outcome.value,
        "text": Prose(moment.text),
        "entry": moment.entry,
        **({"target": moment.target} if moment.target is not None else {}),
        **({"targets": list(moment.targets)} if moment.targets else {}),
        **({"automatic": True} if moment.automatic else {}),
        **({"old": Prose(moment.old)} if rewritten else {}),
    }


def _changed(step: Step) -> Case:
    """What a step made of the parts of the state: the new text of one that is a single text, else texts by id; noise is
    what the first one made.

    None is a text that was removed. A message of the context has its role and its place with it.
    """
    changed: Case = {}
    for edit in (*step.noise, *(edit for moment in step.moments for edit in moment.edits)):
        if edit.verb == "set":
            changed[edit.part] = Prose(edit.text)
        else:
            changed.setdefault(edit.part, {})[edit.id] = None if edit.verb == "remove" else Prose(edit.text)
    if messages := changed.get("context"):
        for said in step.moments[-1].context:
            if said.id in messages:
                messages[said.id] = {"role": said.role, "text": Prose(said.text), "place": said.place}
    return changed


def marks() -> dict[str, str]:
    """A letter for each kind of operation: the first of its name that no earlier one has."""
    found: dict[str, str] = {}
    for kind in OpKind:
        found[kind.value] = next(letter for letter in kind.upper() if letter not in found.values())
    return found
