"""The arms of an ablation: the recipe as it is, and the recipe with something taken away or changed."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, Literal

from atommem_cli.ablation import varying
from atommem_cli.config.recipe import Recipe
from atommem_cli.config.schema import How
from atommem_cli.core import components as declared
from atommem_cli.core.episode import Agent
from atommem_cli.core.errors import UsageError, did_you_mean
from atommem_cli.core.types import OpKind
from atommem_cli.runs.labels import telling

BASE = "base"
CROSSED = "+"
"""Between a component that is dropped and a value, in the name of an arm that has both."""


@dataclass(frozen=True, slots=True)
class Arm:
    """One row of the table."""

    name: str
    """Also that of its folder."""
    kind: Literal["base", "component", "size", "embedder", "vary", "crossed"]
    recipe: Recipe
    how: How | None = None
    """How components go; of `vary`: train, or None where nothing is trained; None where none does."""
    component: tuple[str, ...] = ()
    """Components that are dropped, sorted."""
    varied: tuple[str, Any] | None = None
    """Of `vary`: the key and its value."""

    @property
    def trained_as(self) -> str:
        """The arm whose training it plays with: its own, or that of its component."""
        return self.name.partition(CROSSED)[0]


def arms(recipe: Recipe) -> list[Arm]:
    """The base, and the arms that the recipe's `ablate` section asks for, each once.

    What would change nothing is left out: settings of the base, and what its agent has no use for.

    Raises:
        UsageError: an unknown component or key, or no arm is left.
    """
    agent: Agent = recipe.build("agent")
    base = Arm(BASE, "base", recipe)
    found = {_plays(base): base}
    for arm in _all(recipe, agent):
        if _touches(agent, arm) and (arm.varied is None or _digests(arm.recipe) != _digests(recipe)):
            found.setdefault(_plays(arm), arm)
    if len(found) == 1:
        raise UsageError(
            f"nothing to ablate: every arm that is asked for is the base itself, or something that the agent "
            f"{telling(recipe.agent.name)} makes no use of (it has: {_listed(agent)})"
        )
    return list(found.values())


def asked(
    drop: Sequence[str],
    chunk_tokens: Sequence[int],
    retrieve_k: Sequence[int],
    embedders: Sequence[str],
    vary: Sequence[str],
    how: str | None,
    cross: bool = False,
) -> dict[str, Any]:
    """Recipe keys for the arms that a command line names; where it names none, the recipe's own stay.

    Args:
        embedders: plug-ins, model folders or hub ids.
        vary: KEY=VALUE,VALUE with values in YAML.
        cross: whether each of them also goes without each component.

    Raises:
        UsageError: one of `vary` is not of that form.
    """
    keys: dict[str, Any] = {"ablate.how": how, "ablate.cross": cross or None}
    if drop or chunk_tokens or retrieve_k or embedders or vary:
        plugins = [{"name": "hf", "model": name} if "/" in name else {"name": name} for name in embedders]
        chosen = {"drop": drop, "chunk_tokens": chunk_tokens, "retrieve_k": retrieve_k, "embedders": plugins}
        keys |= {f"ablate.{key}": list(values) for key, values in chosen.items()}
        keys["ablate.vary"] = varying.asked(vary)
    return keys


def remarks(recipe: Recipe) -> list[str]:
    """What a user must know of components that are asked for and left out, in one sentence at most.

    Raises:
        UsageError: an unknown component.
    """
    agent: Agent = recipe.build("agent")
    asked_for = [components(names, agent) for names in recipe.ablate.drop]
    idle = [",".join(names) for names in asked_for if not _uses(agent, names)]
    if not idle:
        return []
    return [
        f"left out: {' '.join(idle)}: the agent {telling(recipe.agent.name)} has no such component (it has: "
        f"{_listed(agent)})"
    ]


def components(names: str, agent: Agent) -> tuple[str, ...]:
    """Components joined by commas, sorted, each once.

    Raises:
        UsageError: one that neither this agent nor, as far as is known, any other has.
    """
    known = {**declared.WORDS, **declared.of(agent)}
    wanted = {name.strip() for name in names.split(",")}
    for name in sorted(wanted - known.keys()):
        raise UsageError(
            f"no memory component {name!r}{did_you_mean(name, declared.of(agent))} (there are: {_listed(agent)})"
        )
    return tuple(sorted(wanted))


def changes(arm: Arm) -> list[str]:
    """What a policy has to learn anew under, as overrides of the recipes that it was trained with."""
    if arm.component:
        return [f"memory={arm.recipe.memory.model_dump_json()}"]
    assert arm.varied is not None
    return [varying.change(*arm.varied)]


def _listed(agent: Agent) -> str:
    return ", ".join(declared.of(agent)) or "none"


def _operations(agent: Agent, names: Sequence[str]) -> set[OpKind]:
    """What goes with these components; with one that this agent does not have, what goes in others."""
    known = {**declared.WORDS, **declared.of(agent)}
    return {kind for name in names for kind in known[name]}


def _uses(agent: Agent, names: Sequence[str]) -> bool:
    return any(name in declared.of(agent) for name in names)


def _plays(arm: Arm) -> tuple[str, ...]:
    """What tells apart what is played: the recipe, and how its policy is trained where it is trained for the arm."""
    return _digests(arm.recipe) if arm.how == "train" else (arm.recipe.digest,)


def _digests(recipe: Recipe) -> tuple[str, ...]:
    return recipe.digest, recipe.training_digest("sft"), recipe.training_digest("grpo")


def _all(recipe: Recipe, agent: Agent) -> Iterator[Arm]:
    section = recipe.ablate
    dropped: list[Arm] = []
    for names in section.drop:
        gone = components(names, agent)
        kinds = sorted(_operations(agent, gone) | set(recipe.memory.drop))
        way = "noop" if section.how == "noop" else "prompt"
        changed = recipe.changed([f"memory.drop={json.dumps(kinds)}", f"memory.how={way}"])
        ending = {"prompt": "", "noop": "-noop", "train": "-retrained"}[section.how]
        dropped.append(Arm("-".join(("without", *gone)) + ending, "component", changed, section.how, gone))
    yield from dropped
    sizes, ks = section.chunk_tokens or (recipe.chunk.tokens,), section.retrieve_k or (recipe.memory.retrieve_k,)
    for tokens, k in product(sizes, ks):
        changed = recipe.changed([f"chunk.tokens={tokens}", f"memory.retrieve_k={k}"])
        yield Arm(f"chunk-{tokens}-k-{k}", "size", changed)
    for embedder in section.embedders:
        changed = recipe.changed([f"embedder={json.dumps(embedder.model_dump(mode='json'))}"])
        model = str((embedder.model_extra or {}).get("model", ""))
        yield Arm("-".join(filter(None, ("embedder", embedder.name, Path(model).name))), "embedder", changed)
    for key, value, changed in varying.recipes(recipe):
        learned = section.how == "train" and not section.cross
        how: How | None = "train" if learned or varying.trains(key) else None
        name = varying.named(key, value) + ("-retrained" if how else "")
        yield Arm(name, "vary", changed, how, varied=(key, value))
    for arm in dropped if section.cross else ():
        for key, value, changed in varying.recipes(arm.recipe):
            name = f"{arm.name}{CROSSED}{varying.named(key, value)}"
            yield Arm(name, "crossed", changed, arm.how, arm.component, (key, value))


def _touches(agent: Agent, arm: Arm) -> bool:
    """Whether the agent may notice."""
    if arm.component:
        return _uses(agent, arm.component)
    if arm.kind == "vary":
        return True
    return OpKind.READ in agent.operations or (arm.kind == "size" and agent.calls_per_chunk > 0)
