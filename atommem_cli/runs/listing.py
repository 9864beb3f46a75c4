"""What lies in a folder of results: one line per run, from its small files alone."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from atommem_cli.core.errors import SourceError, UsageError
from atommem_cli.core.files import read_json, whole_lines
from atommem_cli.core.folders import RUN, SHARDS, shards_of
from atommem_cli.runs import judges
from atommem_cli.runs.labels import judge_label, label
from atommem_cli.runs.layout import ARM_FOLDERS, ARMS, EPISODES, METRICS, RECIPE, SESSIONS, SUMMARY
from atommem_cli.runs.tables import Table, percent
from atommem_cli.scoring import llm_judge

_INSIDE = frozenset({ARM_FOLDERS, "checkpoints", "model", "rollouts", SHARDS})
"""Folders of a run that hold no runs of their own, or very many."""


@dataclass(frozen=True, slots=True)
class Listed:
    """One run."""

    folder: str
    """From where the command was typed."""
    command: str
    """eval, sft, grpo or ablate; empty where the folder is damaged."""
    recipe: str
    """Its name."""
    agent: str
    policy: str
    """Of a training: what it began from."""
    scorer: str
    """The leading one; empty where there is no score yet, or never will be."""
    score: tuple[float, float, float] | None
    """Mean and the ends of its interval, in [0, 1]."""
    judge: str
    """Plug-in and model of who judged; empty where nobody did."""
    judged: tuple[float, float, float] | None
    """The judge's score; None where there is none yet, or never will be."""
    state: str
    """finished; how far it is; or what is wrong with the folder."""
    date: str
    """When it was last worked on, as its own record says, in UTC."""


def runs(folder: Path) -> list[Listed]:
    """Every run below a folder, those worked on last first.

    Raises:
        UsageError: there is no such folder.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder}: no such folder: `atommem eval` makes one")
    found = [_listed(path) for path in _folders(folder)]
    return sorted(found, key=lambda one: (one.date, one.folder), reverse=True)


def table(found: list[Listed]) -> Table:
    """One row per run."""
    rows = tuple(
        (
            one.folder,
            one.command or "-",
            one.recipe,
            one.agent,
            one.policy,
            _scored(one) or "-",
            one.state,
            one.date.replace("T", " ")[:16],
        )
        for one in found
    )
    headers = ("run", "command", "recipe", "agent", "policy", "score in %", "state", "date (UTC)")
    return Table(f"{len(found):,} runs", headers, rows)


def _scored(one: Listed) -> str:
    judge = f"{llm_judge.NAME} ({one.judge})"
    told = [] if one.scorer == llm_judge.NAME or one.score is None else [f"{one.scorer} {percent(*one.score)}"]
    return "; ".join([*told, *([f"{judge} {percent(*one.judged)}"] if one.judged else [])])


def _folders(folder: Path) -> Iterator[Path]:
    for place, inside, files in os.walk(folder):
        run = RUN in files or (SHARDS in inside and bool(shards_of(Path(place))))
        if run:
            yield Path(place)
        inside[:] = sorted(set(inside) - _INSIDE) if run else sorted(inside)


def _listed(path: Path) -> Listed:
    try:
        if not (path / RUN).is_file():
            return _spread(path)
        identity = read_json(path / RUN)
        result = read_json(path / SUMMARY) if (path / SUMMARY).is_file() else {}
        return _read(path, identity, result)
    except SourceError as error:
        wrong = str(error)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, OSError):
        wrong = f"{path}: its files are not those of a run"
    state = f"damaged: {wrong.removeprefix(f'{path}').lstrip(':/ ')}"
    return Listed(str(path), "", "", "", "", "", None, "", None, state, "")


def _spread(path: Path) -> Listed:
    """A run of which there are shards alone."""
    parts = [mark.parent for mark in shards_of(path)]
    identity = read_json(parts[0] / RUN)
    state = "in shards, not joined"
    if identity["command"] == "eval":
        done = sum(_lines(part / EPISODES) for part in parts)
        state = f"{done:,} of {int(identity['episodes']):,} episodes {state}"
    return replace(
        _read(parts[0], identity, {}), folder=str(path), state=state, date=max(_date(part) for part in parts)
    )


def _read(path: Path, identity: Mapping[str, Any], result: Mapping[str, Any]) -> Listed:
    recipe = identity["recipe"]
    policy = recipe["policy"]
    command = str(identity["command"])
    told = identity.get("policy") or {"name": policy["name"], "model": policy.get("model") or policy.get("script", "")}
    scores = result.get("scores", {}) if command == "eval" else {}
    scorer = next(iter(scores), "")
    judge = judges.of(path, identity) if llm_judge.NAME in scores else None
    name = _name(path / RECIPE)
    state = {"eval": _played, "ablate": _armed}.get(command, _trained)(path, identity, result)
    return Listed(
        str(path),
        command,
        name,
        str(recipe["agent"]["name"]),
        label(told),
        scorer,
        _interval(scores.get(scorer)),
        judge_label(judge) if judge else "",
        _interval(scores.get(llm_judge.NAME)),
        state,
        _date(path),
    )


def _interval(cell: Mapping[str, Any] | None) -> tuple[float, float, float] | None:
    return (float(cell["mean"]), float(cell["low"]), float(cell["high"])) if cell and cell["n"] else None


def _played(path: Path, identity: Mapping[str, Any], result: Mapping[str, Any]) -> str:
    planned = int(identity["episodes"])
    done = min(_lines(path / EPISODES), planned)
    if result and done < result["evaluated"]:
        return f"damaged: {done:,} of {result['evaluated']:,} episodes are left in {EPISODES}"
    if not result or result["evaluated"] < done:
        return "finished, not summed up" if done == planned else f"{done:,} of {planned:,} episodes"
    failed = f", {len(result['failed'])} failed" if result["failed"] else ""
    whole = result["evaluated"] >= planned
    return f"finished{failed}" if whole else f"{result['evaluated']:,} of {planned:,} episodes{failed}"


def _armed(path: Path, _: Mapping[str, Any], result: Mapping[str, Any]) -> str:
    arms = _lines(path / ARMS)
    return f"{'finished' if (path / 'table.json').is_file() else 'unfinished'}, {arms} arms"


def _trained(path: Path, _: Mapping[str, Any], result: Mapping[str, Any]) -> str:
    if result:
        return f"finished, {int(result['updates']):,} updates"
    last = None
    if (path / METRICS).is_file():
        for _number, line in whole_lines(path / METRICS):
            last = line.get("step", last)
    return "training, no update yet" if last is None else f"training, update {last}"


def _lines(path: Path) -> int:
    if not path.is_file():
        return 0
    with path.open("rb") as file:
        return sum(piece.count(b"\n") for piece in iter(lambda: file.read(1 << 20), b""))


def _name(path: Path) -> str:
    """The recipe's own name; it is the first key that a resolved recipe is written with."""
    if not path.is_file():
        return ""
    with path.open(encoding="utf-8", errors="replace") as file:
        line = file.readline(1000)
    return line.removeprefix("name:").strip().strip("'\"") if line.startswith("name:") else ""


def _date(path: Path) -> str:
    times = [
        str(line.get("end") or line.get("begin") or "")
        for _, line in (whole_lines(path / SESSIONS) if (path / SESSIONS).is_file() else ())
        if isinstance(line, dict)
    ]
    return max(times, default="")
