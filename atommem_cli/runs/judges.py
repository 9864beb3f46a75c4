"""Who judged a run: what is recorded about it, whether two runs have the same judge, and what it said.

    judge.json       of a run that was judged after it was played (`atommem judge`): `judge`, the section of a recipe;
                     `prompt`, digest of the instructions; `sessions`, which process began when, with which versions

A run whose own recipe names a judge has it in `run.json`. `grader.json` says likewise who graded its stores (`atommem
judge --memory`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from atommem_cli.config import plugins
from atommem_cli.config.overrides import ROOMS
from atommem_cli.core.errors import UsageError
from atommem_cli.core.files import read_json
from atommem_cli.runs.journals import shaped
from atommem_cli.runs.layout import GRADER, GRADES, JUDGE, VERDICTS, Line
from atommem_cli.scoring.llm_judge import NAME

Judge = dict[str, Any]
"""A plug-in of policies with every key that can change a verdict, and `prompt`; JSON values."""


def of(folder: Path, identity: Mapping[str, Any]) -> Judge | None:
    """The judge of a run, given its `run.json`; None where it has none.

    Raises:
        SourceError: its record is damaged.
    """
    if (folder / JUDGE).is_file():
        return recorded(folder / JUDGE)
    section = identity["recipe"]["eval"].get("judge") if NAME in identity["scorers"] else None
    return described(section, identity["judge"]) if section else None


def grader(folder: Path) -> Judge | None:
    """Who graded the stores of a run; None for nobody.

    Raises:
        SourceError: its record is damaged.
    """
    return recorded(folder / GRADER) if (folder / GRADER).is_file() else None


def recorded(path: Path) -> Judge:
    """The judge of a record."""
    record = read_json(path)
    return described(record["judge"], record["prompt"])


def described(section: Mapping[str, Any], prompt: str) -> Judge:
    """A judge by a recipe's section and the digest of its instructions; keys that an older atommem did not know of
    have today's default."""
    try:
        options = plugins.load(ROOMS["eval", NAME], section["name"]).Options
    except UsageError:  # it is gone
        return {**section, "prompt": prompt}
    optional = {key: field for key, field in options.model_fields.items() if not field.is_required()}
    defaults = {key: field.get_default(call_default_factory=True) for key, field in optional.items()}
    whole = {**json.loads(json.dumps(defaults)), **section}
    moving = plugins.operational(options)
    return {**{key: value for key, value in whole.items() if key not in moving}, "prompt": prompt}


def verdicts(folder: Path, episodes: Iterable[Line]) -> dict[str, list[float]]:
    """What the judge said of episodes as they were played last, one number per question, by the episode's name.

    Raises:
        SourceError: a line is damaged.
    """
    return _said(folder / VERDICTS, "correct", episodes)


def grades(folder: Path, episodes: Iterable[Line]) -> dict[str, float]:
    """Likewise, how a model graded the store of each.

    Raises:
        SourceError: a line is damaged.
    """
    return _said(folder / GRADES, "quality", episodes)


def _said(path: Path, key: str, episodes: Iterable[Line]) -> dict[str, Any]:
    if not path.is_file():
        return {}
    said = {(line["episode"], line["steps"]): line[key] for _, line in shaped(path)}
    plays = {line["episode"]: (line["episode"], line["steps"]) for line in episodes}
    return {name: said[play] for name, play in plays.items() if play in said}


def scorers(folder: Path, identity: Mapping[str, Any], *, whole: bool) -> tuple[str, ...]:
    """The scorers of a run: its own, and a judge that came afterwards.

    Args:
        whole: whether every episode has its verdict.
    """
    own = tuple(identity["scorers"])
    return (*own, NAME) if whole and NAME not in own and (folder / JUDGE).is_file() else own
