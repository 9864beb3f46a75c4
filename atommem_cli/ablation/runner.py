"""`atommem ablate`: what a memory component, a chunk size, a number of entries or an embedder is worth.

An arm is the recipe with something changed; it is played over the same tasks with the same seeds as the base, as
an ordinary run folder (`arms/NAME`), and all arms share policy, store and embedder. The folder belongs to the
recipe without its `ablate` section: arms of a later command join those that are there, and none is played twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from atommem_cli.ablation.reader import ARMS
from atommem_cli.ablation.retrain import lineage, retrain
from atommem_cli.ablation.variants import Arm, arms
from atommem_cli.config.recipe import Recipe
from atommem_cli.core import folders
from atommem_cli.core.errors import UsageError
from atommem_cli.core.files import Lines
from atommem_cli.core.types import Progress
from atommem_cli.data.files import verify
from atommem_cli.running import costing
from atommem_cli.running.build import assemble
from atommem_cli.running.evaluation import evaluate
from atommem_cli.runs import identity, provenance
from atommem_cli.runs.tables import Cost
from atommem_cli.runs.writer import Folder


def run_path(recipe: Recipe, out: Path | None) -> Path:
    """Where an ablation goes: `results/ablate-<recipe>-<digest8>`, or the folder the user named.

    Raises:
        UsageError: that folder lies in the folder of a run.
    """
    if out is not None:
        folders.insist_apart(out)
    return out or Path("results") / f"ablate-{recipe.name}-{recipe.digest[:8]}"


def plan(recipe: Recipe, progress: Progress | None = None) -> list[tuple[str, Cost]]:
    """What playing every arm would take; no weights. Training is not in it (`ablate.how: train`).

    Raises:
        UsageError: as `play`.
    """
    return costing.plans([(arm.name, arm.recipe) for arm in _checked(recipe)], progress)


def play(recipe: Recipe, out: Path, *, command: Sequence[str] = (), progress: Progress | None = None) -> None:
    """Play every arm that the recipe asks for; continues an ablation that was begun in the same folder.

    Raises:
        UsageError: an unknown component, no arm, a policy that cannot be trained again, tasks that are not there,
            or a folder of something else.
        BackendError: something outside failed; what had finished is saved.
        Interrupted: the user stopped it; likewise.
    """
    wanted = _checked(recipe)
    manifest = verify(Path(recipe.task.folder) / recipe.task.split)
    known = {
        "command": "ablate",
        "recipe": recipe.content,
        "tasks": manifest.sha256,
        "episodes": identity.planned(recipe, manifest),
        identity.SOURCES: identity.sources(recipe),
    }
    with Folder(out, known, recipe.dump()) as folder:
        folder.sessions.append(provenance.session_start(command, folder.changed))
        register = Lines(out / ARMS)
        try:
            there = {line.get("arm") for line in register.read()}
            for arm in wanted:
                if arm.name not in there:
                    line = {"arm": arm.name, "kind": arm.kind, "how": arm.how, "component": arm.component}
                    register.append(line)
        finally:
            register.close()
        _play(wanted, out, command, progress)


def _checked(recipe: Recipe) -> list[Arm]:
    wanted = arms(recipe)
    if any(arm.how == "train" for arm in wanted):
        for _, stage in lineage(recipe):
            missing = [run for run in stage.sft.runs if not (Path(run) / "run.json").is_file()]
            if missing:
                raise UsageError(f"ablate.how: train needs {missing[0]}, which the policy learned from: it is gone")
    return wanted


def _play(wanted: Sequence[Arm], out: Path, command: Sequence[str], progress: Progress | None) -> None:
    open_stores = []
    lent = None
    try:
        for arm in wanted:
            where, recipe = out / "arms" / arm.name, arm.recipe
            if arm.how == "train":
                recipe = retrain(recipe, out / "training" / arm.name, command, progress)
            # What arms share is stamped with the ablation's folder; each embedder has a store of its own.
            place = out if arm.kind != "embedder" else where
            lent = assemble(recipe, place, lent=lent)
            if lent.store not in open_stores:
                open_stores.append(lent.store)

            def tell(done: int, planned: int, remark: str, name: str = arm.name) -> None:
                if progress:
                    progress(done, planned, f"{name} {remark}".rstrip())

            evaluate(recipe, where, command=command, progress=tell, parts=lent)
    finally:
        for store in open_stores:
            store.close()
