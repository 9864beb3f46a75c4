"""What a run is, and what may change between two starts of it: one rule for every command.

A run is its recipe, its tasks, its models, and the source of the plug-ins that make it. What only says where and how
fast it runs may change: a plug-in's `Options` mark such keys (`schema.OPERATIONAL`), and they are no part of
`Recipe.content`. The number of tasks may grow. What has changed is recorded in `sessions.jsonl`.
"""

from __future__ import annotations

import ast
import functools
import hashlib
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from atommem_cli.config import plugins
from atommem_cli.config import recipe as recipes
from atommem_cli.config.overrides import ROOMS, plugin_sections
from atommem_cli.config.recipe import Recipe
from atommem_cli.core.errors import UsageError
from atommem_cli.core.yaml_file import read_yaml
from atommem_cli.data.files import Manifest
from atommem_cli.runs.layout import RUN
from atommem_cli.scoring import rewards

SOURCES = "sources"
"""Key of `run.json`: digests of the plug-ins' files, and versions of the packages that give them."""
HELPERS = "helpers"
"""Key of `run.json`, where an agent asks further models: what these say of themselves, by name."""


def planned(recipe: Recipe, manifest: Manifest) -> int:
    """Episodes of a whole run."""
    return min(recipe.task.limit or manifest.tasks, manifest.tasks) * recipe.eval.repeats


def sources(recipe: Recipe) -> dict[str, str]:
    """Digests of the files that the recipe's plug-ins are made of, by room and name; 16 hexadecimal digits.

    Of one that an installed package gives, that package's version, too.

    A plug-in is its own file and those in its folder that it imports, of these again likewise.
    """
    found: dict[str, str] = {}
    for _, room, section in plugin_sections(recipe.model_dump(mode="json")):
        found |= _made_of(room, section["name"], plugins.load(room, section["name"]))
    return dict(sorted(found.items()))


def reward_sources(weights: Mapping[str, float]) -> dict[str, str]:
    """Likewise of the rewards that come from outside, and of instructions that our own give a model."""
    found = {f"{rewards.ROOM}/{file}": digest for name in weights for file, digest in rewards.prompts(name).items()}
    for name in weights.keys() - {*rewards.OWN}:
        found |= _made_of(rewards.ROOM, name, plugins.given(rewards.ROOM, name, ()), shipped=())
    return dict(sorted(found.items()))


def _made_of(room: str, name: str, module: ModuleType, shipped: Collection[str] | None = None) -> dict[str, str]:
    """The files of a plug-in, and the package that gives it; `shipped` is `plugins.distribution`'s."""
    found = {f"{room}/{file}": digest for file, digest in _digests(module)}
    if package := plugins.distribution(room, name, shipped):
        found[f"{room}/{name} of {package.name}"] = package.version
    return found


def refusal(known: Mapping[str, Any], wanted: Mapping[str, Any]) -> str | None:
    """Why a run cannot be continued as another one, as the end of a sentence; None where it can.

    Args:
        known: what `run.json` says.
        wanted: what it would say now.
    """
    if known.get("command") != wanted.get("command"):
        return f"a run of {known.get('command')}, not of {wanted.get('command')} (choose another --out)"
    was, now = settled(known), settled(wanted)
    keys = set(changed_keys(was, now))
    edited = sorted(key.partition(".")[2] for key in keys if key.startswith(f"{SOURCES}."))
    # What a recipe's key has as its consequence is not said again.
    sections = {key.split(".")[1] for key in keys if key.startswith("recipe.")}
    told = sorted(
        key
        for key in keys
        if not key.startswith(f"{SOURCES}.")
        and key.split(".")[0] not in sections
        and not (key == "scorers" and "recipe.eval.scorers" in keys)
    )
    if told:
        return f"a different run; these differ: {', '.join(told)} (choose another --out, or undo the change)"
    if edited:
        verb = "was" if len(edited) == 1 else "were"
        return f"a run that was begun before {', '.join(edited)} {verb} edited (choose another --out, or undo the edit)"
    if _shrinks(known, wanted):
        return (
            f"a run of {known['episodes']:,} planned episodes, and {wanted['episodes']:,} are asked for: "
            "it may grow, not shrink (choose another --out, or leave --limit away)"
        )
    return None


def settled(identity: Mapping[str, Any]) -> dict[str, Any]:
    """An identity without what may change; what an older atommem did not know of has today's default."""
    kept = {key: value for key, value in identity.items() if key != "episodes"}
    content = identity.get("recipe")
    if isinstance(content, Mapping):
        kept["recipe"] = _today(content, identity.get("command"))
        for section in ("policy", "embedder"):
            kept[section] = _without_moving(ROOMS[section,], kept.get(section), content.get(section))
        if HELPERS in kept:
            kept[HELPERS] = {
                name: _without_moving(ROOMS["policy",], described, content.get(HELPERS, {}).get(name))
                for name, described in kept[HELPERS].items()
            }
    return kept


def _without_moving(room: str, described: Any, section: Any) -> Any:
    """What a plug-in says of itself, without what may change between two starts."""
    if not isinstance(described, Mapping) or not isinstance(section, Mapping):
        return described
    moving = _moving(room, str(section.get("name")))
    return {key: value for key, value in described.items() if key not in moving}


def changed_keys(old: Any, new: Any, at: str = "") -> Iterator[str]:
    """Paths at which two JSON values differ. Sources that an older atommem did not record are no difference."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in sorted({*old, *new} - ({SOURCES} if not at and SOURCES not in old else set())):
            yield from changed_keys(old.get(key), new.get(key), f"{at}.{key}" if at else str(key))
    elif old != new:
        yield at


def moved(before: Path, after: Mapping[str, Any]) -> dict[str, list[Any]]:
    """What has changed of what may: old and new value by recipe key.

    Args:
        before: the `recipe.yaml` of the run; empty where it cannot be read.
        after: the resolved recipe.
    """
    try:
        was = read_yaml(before)
    except UsageError:
        return {}
    return {
        key: [_at(was, key), _at(after, key)]
        for key in changed_keys(was, after)
        if key.partition(".")[0] not in _OTHERS
    }


_OTHERS = frozenset({"name", "sft", "grpo", "ablate"})
"""Of a recipe, what is part of its own command's identity, or of none."""


def _shrinks(known: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    was, now = known.get("episodes"), wanted.get("episodes")
    return isinstance(was, int) and isinstance(now, int) and now < was


def _today(content: Mapping[str, Any], command: object) -> dict[str, Any]:
    """The content of an older recipe as today's atommem would write it, or as it is where that reads it no more."""
    try:
        recipe = recipes.resolve({"name": "older", **content}, [], origin=RUN)
    except UsageError:
        return dict(content)
    whole = recipe.training(command) if command in ("sft", "grpo") and command in content else recipe.content
    return {**whole, "task": {key: value for key, value in whole["task"].items() if key != "limit"}}


def _moving(room: str, name: str) -> frozenset[str]:
    try:
        return plugins.operational(plugins.load(room, name).Options)
    except UsageError:
        return frozenset()


def _digests(module: ModuleType) -> Iterator[tuple[str, str]]:
    own = getattr(module, "__file__", None)
    if own is None:
        return
    home = Path(own).parent
    seen: set[Path] = set()
    waiting = [Path(own)]
    while waiting:
        path = waiting.pop()
        if path in seen or not path.is_file():
            continue
        seen.add(path)
        content = path.read_bytes()
        yield path.relative_to(home).as_posix(), hashlib.sha256(content).hexdigest()[:16]
        waiting += _beside(content, path.parent, home, module.__package__ or "")


def _beside(source: bytes, folder: Path, home: Path, package: str) -> Iterator[Path]:
    """The files below `home` that a source imports."""
    for name, level in _imports(source):
        if level == 0 and package:
            inside = name.removeprefix(f"{package}.")
            bases = [home] if inside != name else []
        else:
            inside, bases = name, [home if level == 0 else folder if level == 1 else folder.parents[level - 2]]
        for base in bases:
            if inside and base.is_relative_to(home):
                at = base.joinpath(*inside.split("."))
                yield from (at.with_suffix(".py"), at / "__init__.py")


@functools.lru_cache(maxsize=256)
def _imports(source: bytes) -> tuple[tuple[str, int], ...]:
    """Dotted names that a module imports, and how many dots stand before them; a source is parsed once a process."""
    found: list[tuple[str, int]] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += ((alias.name, 0) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = [node.module] if node.module else []
            found.append((".".join(base), node.level))
            found += ((".".join([*base, alias.name]), node.level) for alias in node.names)
    return tuple(found)


def _at(content: Any, key: str) -> Any:
    for part in key.split("."):
        content = content.get(part) if isinstance(content, Mapping) else None
    return content
