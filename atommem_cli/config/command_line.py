"""What a command line means: recipes; and which command line makes a folder of tasks."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from atommem_cli.config import plugins
from atommem_cli.config.recipe import DEFAULT, Recipe, load, shipped
from atommem_cli.core.folders import RECIPE


def recipes_for(
    name: str | None, agents: Sequence[str], policy: str | None, given: Mapping[str, Any], changes: Sequence[str]
) -> list[Recipe]:
    """The recipes a command line means: one per agent, all else equal. See `meant`.

    A change of a key that only some of several agents have (`agent.KEY=...`) is for those.
    """
    if len(agents) < 2:
        return [meant(name, policy, given, [*changes, *(f"agent.name={agent}" for agent in agents)])]
    known = {agent: plugins.keys("agents", agent) for agent in agents}
    anybody = set().union(*known.values())
    own = {change: key for change in changes if (key := _agents_key(change)) in anybody}
    base = meant(name, policy, given, [change for change in changes if change not in own])
    return [
        base.changed([f"agent.name={agent}", *(change for change, key in own.items() if key in known[agent])])
        for agent in agents
    ]


def _agents_key(change: str) -> str:
    """The key that `agent.KEY=value` sets, or an empty string."""
    section, _, key = change.partition("=")[0].strip().partition(".")
    return key.partition(".")[0] if section == "agent" else ""


def meant(name: str | None, policy: str | None, given: Mapping[str, Any], changes: Sequence[str]) -> Recipe:
    """The recipe that a command line means.

    Args:
        name: as `load` takes it; None is the recipe inside the model folder that `policy` names, or else
            the embedded default.
        policy: a plug-in's name or file, `scripted:SCRIPT`, a hub id, the folder of a model, or that of a training,
            which holds one; None keeps the recipe's.
        given: recipe keys and values; None is not given.

    Raises:
        RecipeError: file, key and a suggestion in one sentence.
    """
    wanted = [f"{key}={json.dumps(value)}" for key, value in given.items() if value is not None]
    if policy is None:
        return load(name or DEFAULT, [*wanted, *changes])
    folder = _model_folder(policy)
    inside = folder / RECIPE
    recipe = load(str(inside) if name is None and inside.is_file() else name or DEFAULT)
    section = named(policy)
    # What the recipe says about sampling stays, where its own policy is a model, too.
    kept = recipe.policy.name == section["name"] == "hf" and "model" in section
    chosen = f"policy.model={json.dumps(section['model'])}" if kept else f"policy={json.dumps(section)}"
    return recipe.changed([chosen, *wanted, *changes])


def named(policy: str) -> dict[str, str]:
    """The section that the name of a policy means, as `meant` takes it: `name`, and a model or a script."""
    if plugins.is_file(policy):
        return {"name": policy}
    folder = _model_folder(policy)
    if folder.is_dir() or "/" in policy:
        return {"name": "hf", "model": str(folder) if folder.is_dir() else policy}
    plugin, _, script = policy.partition(":")
    return {"name": plugin, "script": script} if script else {"name": plugin}


SAMPLING = ("temperature", "top_p", "thinking")
"""Keys of a policy that change what it says, whichever model it is."""


def replaced(name: str | None, chosen: Recipe) -> str:
    """What a policy that took the place of the recipe's own does not keep of its sampling; empty where all is kept.

    Args:
        name: the recipe that was asked for, as `meant` takes it.
    """
    before = load(name or DEFAULT).policy
    if before.name == chosen.policy.name:
        return ""
    old, new = before.model_extra or {}, chosen.policy.model_extra or {}
    moved = [key for key in SAMPLING if key in old and key in new and old[key] != new[key]]
    told = ", ".join(
        f"{key} {json.dumps(new[key])} (the recipe's {before.name}: {json.dumps(old[key])})" for key in moved
    )
    return f"policy {chosen.policy.name}: {told}" if moved else ""


def _model_folder(policy: str) -> Path:
    """The folder itself, or the model in it where it is that of a training."""
    folder = Path(policy)
    inside = folder / "model"
    return inside if (inside / "config.json").is_file() and not (folder / "config.json").is_file() else folder


_CONTINUED = re.compile(r"\\\n# *")
"""Where a command of a header goes on in the next line."""


def preparing(folder: Path) -> str:
    """The command that makes one split of prepared tasks: as the headers of shipped recipes have it, or in general."""
    commands: dict[str, str] = {}
    for name, path in shipped().items():
        for line in _CONTINUED.sub(" ", path.read_text(encoding="utf-8")).splitlines():
            words = line.removeprefix("#").partition("#")[0].split() if line.startswith("#") else []
            if words[:2] != ["atommem", "prepare"]:
                continue
            given = dict(itertools.pairwise(words))
            if Path(given.get("--out", f"data/{words[2]}")) / given.get("--split", folder.name) == folder:
                commands.setdefault(" ".join(words), name)
    if len(commands) < 2:
        return f"`{next(iter(commands), 'atommem prepare')}`"
    return " or ".join(f"`{command}` (recipe {name})" for command, name in commands.items())
