"""The arms of an ablation: the recipe as it is, and the recipe with something taken away or changed."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, Literal

from atommem_cli.config.recipe import Recipe
from atommem_cli.config.schema import How
from atommem_cli.core.episode import Agent
from atommem_cli.core.errors import UsageError, did_you_mean
from atommem_cli.core.types import OpKind

STORAGE = "storage"
COMPONENTS: dict[str, tuple[OpKind, ...]] = {
    **{kind.value: (kind,) for kind in OpKind},
    STORAGE: (OpKind.CREATE, OpKind.READ, OpKind.UPDATE, OpKind.DELETE),
}
"""What can be dropped, and the operations that it takes along."""
BASE = "base"


@dataclass(frozen=True, slots=True)
class Arm:
    """One row of the table."""

    name: str
    """Also that of its folder."""
    kind: Literal["base", "component", "size", "embedder"]
    recipe: Recipe
    how: How | None = None
    """How components go; None where none does."""
    component: tuple[str, ...] = ()
    """Components that are dropped, sorted."""


def arms(recipe: Recipe) -> list[Arm]:
    """The base, and the arms that the recipe's `ablate` section asks for, each once.

    What would change nothing is left out: settings of the base, and what its agent has no use for.

    Raises:
        UsageError: an unknown component, or no arm is left.
    """
    agent: Agent = recipe.build("agent")
    found = {(recipe.digest, False): Arm(BASE, "base", recipe)}
    for arm in _all(recipe):
        if _touches(agent, arm):
            found.setdefault((arm.recipe.digest, arm.how == "train"), arm)
    if len(found) == 1:
        raise UsageError(
            f"nothing to ablate: every arm that is asked for is the base itself, or something that the agent "
            f"{recipe.agent.name} makes no use of"
        )
    return list(found.values())


def asked(
    drop: Sequence[str],
    chunk_tokens: Sequence[int],
    retrieve_k: Sequence[int],
    embedders: Sequence[str],
    how: str | None,
) -> dict[str, Any]:
    """Recipe keys for the arms that a command line names; where it names none, the recipe's own stay.

    Args:
        embedders: plug-ins, model folders or hub ids.
    """
    keys: dict[str, Any] = {"ablate.how": how}
    if drop or chunk_tokens or retrieve_k or embedders:
        plugins = [{"name": "hf", "model": name} if "/" in name else {"name": name} for name in embedders]
        chosen = {"drop": drop, "chunk_tokens": chunk_tokens, "retrieve_k": retrieve_k, "embedders": plugins}
        keys |= {f"ablate.{key}": list(values) for key, values in chosen.items()}
    return keys


def components(names: str) -> tuple[str, ...]:
    """Components joined by commas, sorted, each once.

    Raises:
        UsageError: an unknown one.
    """
    wanted = {name.strip() for name in names.split(",")}
    for name in sorted(wanted - COMPONENTS.keys()):
        hint = did_you_mean(name, COMPONENTS)
        raise UsageError(f"no memory component {name!r}{hint} (there are: {', '.join(COMPONENTS)})")
    return tuple(sorted(wanted))


def _all(recipe: Recipe) -> Iterator[Arm]:
    section = recipe.ablate
    for names in section.drop:
        gone = components(names)
        kinds = sorted({kind for name in gone for kind in COMPONENTS[name]} | set(recipe.memory.drop))
        way = "noop" if section.how == "noop" else "prompt"
        changed = recipe.changed([f"memory.drop={json.dumps(kinds)}", f"memory.how={way}"])
        ending = {"prompt": "", "noop": "-noop", "train": "-retrained"}[section.how]
        yield Arm("-".join(("without", *gone)) + ending, "component", changed, section.how, gone)
    sizes, ks = section.chunk_tokens or (recipe.chunk.tokens,), section.retrieve_k or (recipe.memory.retrieve_k,)
    for tokens, k in product(sizes, ks):
        changed = recipe.changed([f"chunk.tokens={tokens}", f"memory.retrieve_k={k}"])
        yield Arm(f"chunk-{tokens}-k-{k}", "size", changed)
    for embedder in section.embedders:
        changed = recipe.changed([f"embedder={json.dumps(embedder.model_dump(mode='json'))}"])
        model = str((embedder.model_extra or {}).get("model", ""))
        yield Arm("-".join(filter(None, ("embedder", embedder.name, Path(model).name))), "embedder", changed)


def _touches(agent: Agent, arm: Arm) -> bool:
    """Whether the agent may notice."""
    if arm.kind == "component":
        return any(kind in agent.operations for name in arm.component for kind in COMPONENTS[name])
    return OpKind.READ in agent.operations or (arm.kind == "size" and agent.calls_per_chunk > 0)
