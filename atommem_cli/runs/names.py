"""What runs are called beside each other: in tables, sentences, figures and legends."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from atommem_cli.core.safe_text import one_line
from atommem_cli.runs.labels import telling
from atommem_cli.runs.reader import Run

_OURS = re.compile(r"eval-.+-[0-9a-f]{8}")
"""A folder's name that nobody chose."""
_MOST_KEYS = 3
_PARTS = ("name", "model", "script", "dialect")
"""Keys whose value says by itself what it is."""


def labels(runs: Sequence[Run]) -> list[str]:
    """A name for each run: its folder's, or, where nobody chose it, the values of the keys in which they differ."""
    folders = names_of([run.path for run in runs])
    if not all(_OURS.fullmatch(run.name) for run in runs):
        return folders
    keys = differing([run.recipe.content for run in runs])
    keys = {key: values for key, values in keys.items() if "-" not in values} or keys
    if not 0 < len(keys) <= _MOST_KEYS:
        return folders
    told = [" ".join(_told(key, values[number]) for key, values in keys.items()) for number in range(len(runs))]
    return told if len(set(told)) == len(runs) else folders


def _told(key: str, value: str) -> str:
    last = key.rpartition(".")[2]
    value = json.loads(value) if value.startswith('"') else value  # JSON
    return one_line(telling(value) if last in _PARTS else f"{last} {value}")


def names_of(folders: Sequence[Path]) -> list[str]:
    """A name for each folder: its own, with as many parents as it takes to tell them apart."""
    parts = [folder.resolve().parts for folder in folders]
    depth = 1
    while depth < max(map(len, parts)) and len({each[-depth:] for each in parts}) < len(parts):
        depth += 1
    return [one_line("/".join(each[-depth:])) for each in parts]


def differing(contents: Sequence[Any]) -> dict[str, tuple[str, ...]]:
    """The recipe keys in which some contents differ, with one value each ("-" where a key is not there)."""
    flat = [dict(_flat(content)) for content in contents]
    keys = dict.fromkeys(key for one in flat for key in one)
    values = {key: tuple(str(one.get(key, "-")) for one in flat) for key in keys}
    return {key: each for key, each in values.items() if len(set(each)) > 1}


def _flat(value: Any, at: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _flat(inner, f"{at}.{key}" if at else str(key))
    else:
        if isinstance(value, str) and Path(value).is_absolute():
            value = str(Path("…", *Path(value).parts[-2:]))  # a table travels further than a machine
        yield at, json.dumps(value, ensure_ascii=False)
