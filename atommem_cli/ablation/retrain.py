"""A policy trained again under a changed recipe, the way it was trained before: AtomMem's Figure 4 protocol."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from atommem_cli.config import recipe as recipes
from atommem_cli.config.recipe import Recipe
from atommem_cli.core.errors import RecipeError, UsageError
from atommem_cli.core.files import read_json
from atommem_cli.core.types import Progress
from atommem_cli.models import tiny
from atommem_cli.running.evaluation import evaluate
from atommem_cli.runs.layout import RECIPE, RUN, SUMMARY
from atommem_cli.runs.reader import Run
from atommem_cli.training import checkpoints


def retrain(
    recipe: Recipe, changes: Sequence[str], out: Path, command: Sequence[str], progress: Progress | None
) -> Recipe:
    """Train the policy again under another recipe, stage by stage from the first one that this changes.

    Demonstrations are collected again, too: a policy learns from its own kind of prompts only.

    Args:
        recipe: that of the arm.
        changes: what makes it of the base's, as overrides; each stage's own recipe is changed likewise.

    Returns:
        The recipe with the new policy.

    Raises:
        UsageError: the policy does not come from `atommem sft` or `atommem grpo`, or what it learned from is gone.
        BackendError, Interrupted: as the stages raise them; the same command goes on.
    """
    from atommem_cli.training import grpo, sft

    stages = lineage(recipe)
    models = [str((theirs.policy.model_extra or {})["model"]) for _, theirs in stages]
    models.append(str((recipe.policy.model_extra or {})["model"]))
    policy = models[0]
    for (stage, theirs), was, made in zip(stages, models[:-1], models[1:], strict=True):
        now = theirs.changed([*changes, f"policy.model={json.dumps(policy)}"])
        if policy == was and _learns(now, stage) == _learns(theirs, stage):
            policy = made
            continue
        if stage == "sft":
            runs = []
            for number, run in enumerate(theirs.sft.runs):
                shown = Run(Path(run)).recipe
                if shown.changed(changes).digest == shown.digest:
                    runs.append(run)
                    continue
                runs.append(str(out / f"demonstrations-{number}"))
                evaluate(shown.changed(changes), Path(runs[-1]), command=command, progress=progress)
            now = now.changed([f"sft.runs={json.dumps(runs)}"])
        (sft if stage == "sft" else grpo).train(now, out / stage, command=command)
        policy = str(out / stage / "model")
    return recipe.changed([f"policy.model={json.dumps(policy)}"])


def _learns(recipe: Recipe, stage: str) -> str:
    return recipe.training_digest("sft" if stage == "sft" else "grpo")


def untrained(recipe: Recipe) -> bool:
    """Whether the policy is a fresh model. What such a one loses with a component says nothing about the component."""
    return (recipe.policy.model_extra or {}).get("model") in tiny.VOCABULARIES


def newest(recipe: Recipe) -> Path | None:
    """The newest finished training of a recipe of that name under `results/`."""
    finished = []
    for inside in Path("results").glob(f"*/{checkpoints.MODEL}/recipe.yaml"):
        summary = inside.parents[1] / SUMMARY
        try:
            if summary.is_file() and recipes.load(str(inside)).name == recipe.name:
                finished.append((summary.stat().st_mtime, summary.parent))
        except RecipeError:
            continue  # of another version, or somebody's own
    return max(finished)[1] if finished else None


def remark(recipe: Recipe, trained: Path | None) -> str:
    """What a user must know who named no policy."""
    if trained is None:
        return f"the policy of recipe {recipe.name} is untrained: its numbers say nothing; name a trained one: --policy"
    return f"policy: {trained}, the newest training of recipe {recipe.name} here"


def lineage(recipe: Recipe) -> list[tuple[str, Recipe]]:
    """The trainings that a recipe's policy went through, the first one first: command and recipe of each.

    Raises:
        UsageError: there is none.
    """
    stages: list[tuple[str, Recipe]] = []
    model = str((recipe.policy.model_extra or {}).get("model", ""))
    while (folder := Path(model).parent).joinpath(RUN).is_file():
        command = read_json(folder / RUN)["command"]
        stages.insert(0, (command, recipes.load(str(folder / RECIPE))))
        model = str((stages[0][1].policy.model_extra or {}).get("model", ""))
    if not stages:
        raise UsageError(
            "ablate.how: train needs a policy that `atommem sft` or `atommem grpo` made, in its folder; "
            f"{model or recipe.policy.name} is none"
        )
    return stages
