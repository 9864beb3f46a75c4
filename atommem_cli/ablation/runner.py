"""`atommem ablate`: what a memory component, a chunk size, an embedder, or any other setting of a recipe is worth.

An arm is the recipe with something changed; it is played over the same tasks with the same seeds as the base, as
an ordinary run folder (`arms/NAME`), and all arms share policy, store and embedder. The folder belongs to the
recipe without its `ablate` section: arms of a later command join those that are there, and none is played twice.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from atommem_cli.ablation import heard
from atommem_cli.ablation.retrain import lineage, retrain
from atommem_cli.ablation.variants import Arm, arms, changes
from atommem_cli.config.recipe import Recipe
from atommem_cli.core import folders
from atommem_cli.core.errors import UsageError
from atommem_cli.core.files import Lines
from atommem_cli.core.types import Progress
from atommem_cli.data.files import verify
from atommem_cli.running import costing
from atommem_cli.running.build import Parts, assemble, kept
from atommem_cli.running.evaluation import Share, evaluate
from atommem_cli.running.evaluation import play_shard as play_one
from atommem_cli.runs import identity, provenance, shards
from atommem_cli.runs.layout import ARM_FOLDERS, ARMS, RUN
from atommem_cli.runs.shards import WHOLE, Shard
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


def plan(recipe: Recipe, progress: Progress | None = None, shard: Shard = WHOLE) -> list[tuple[str, Cost]]:
    """What playing every arm, or a share of each, would take; no weights. Training is not in it (`ablate.how: train`).

    Raises:
        UsageError: as `play`.
    """
    return costing.plans([(arm.name, arm.recipe) for arm in _checked(recipe)], progress, shard)


def play(recipe: Recipe, out: Path, *, command: Sequence[str] = (), progress: Progress | None = None) -> None:
    """Play every arm that the recipe asks for; continues an ablation that was begun in the same folder, and joins its
    shards.

    Raises:
        UsageError: an unknown component, no arm, a policy that cannot be trained again, tasks that are not there,
            a folder of something else, or a shard that is still played.
        BackendError: something outside failed; what had finished is saved.
        Interrupted: the user stopped it; likewise.
    """
    wanted, known, given = _checked(recipe), _known(recipe), shards.found(out)
    shards.insist_stopped(given)
    shards.insist_same(given, known)

    def arm_played(arm: Arm, recipe: Recipe, where: Path, parts: Parts, tell: Progress) -> None:
        joined = [_place(part, arm) for part in given]
        evaluate(recipe, where, command=command, progress=tell, parts=parts, joined=joined)

    with Folder(out, known, recipe.dump()) as folder:
        for part in given:
            shards.take_sessions(folder.sessions, part)
        folder.sessions.append(provenance.session_start(command, folder.changed))
        register = Lines(out / ARMS)
        try:
            there = {line.get("arm") for line in register.read()}
            for arm in wanted:
                if arm.name not in there:
                    line = {"arm": arm.name, "kind": arm.kind, "how": arm.how, "component": arm.component}
                    register.append({**line, **({} if arm.varied is None else {"varied": list(arm.varied)})})
        finally:
            register.close()
        _play(wanted, out, command, progress, arm_played)


def play_shard(
    recipe: Recipe, out: Path, shard: Shard, *, command: Sequence[str] = (), progress: Progress | None = None
) -> list[tuple[str, Share]]:
    """Play one share of every arm; `play` joins it to the others.

    Args:
        out: the ablation's folder; the shard's own is in it.

    Returns:
        The name of each arm, and how far its share is.

    Raises:
        UsageError: arms are to be trained; else as `play`.
        BackendError, Interrupted: as `play`.
    """
    if trains(recipe):
        raise UsageError("--shard: arms that learn anew (ablate.how: train) are one process's: leave --shard away")
    wanted, known = _checked(recipe), _known(recipe)
    folders.claim(out)
    shards.insist_same([out, *shards.found(out)], known)
    shares: list[tuple[str, Share]] = []

    def arm_played(arm: Arm, recipe: Recipe, where: Path, parts: Parts, tell: Progress) -> None:
        shares.append((arm.name, play_one(recipe, where, shard, command=command, progress=tell, parts=parts)))

    own = shard.folder(out)
    with Folder(own, {**known, shards.KEY: str(shard)}, recipe.dump()) as folder:
        folder.sessions.append(provenance.session_start(command, folder.changed))
        _play(wanted, own, command, progress, arm_played)
    return shares


def trains(recipe: Recipe) -> bool:
    """Whether some arm is to be trained.

    Raises:
        UsageError: as `play`.
    """
    return any(arm.how == "train" for arm in arms(recipe))


def _checked(recipe: Recipe) -> list[Arm]:
    wanted = arms(recipe)
    if any(arm.how == "train" for arm in wanted):
        for _, stage in lineage(recipe):
            missing = [run for run in stage.sft.runs if not (Path(run) / RUN).is_file()]
            if missing:
                raise UsageError(f"ablate.how: train needs {missing[0]}, which the policy learned from: it is gone")
    return wanted


def _known(recipe: Recipe) -> dict[str, Any]:
    """What an ablation is."""
    manifest = verify(Path(recipe.task.folder) / recipe.task.split)
    return {
        "command": "ablate",
        "recipe": recipe.content,
        "tasks": manifest.sha256,
        "episodes": identity.planned(recipe, manifest),
        identity.SOURCES: identity.sources(recipe),
    }


def _place(out: Path, arm: Arm) -> Path:
    return out / ARM_FOLDERS / arm.name


def _play(
    wanted: Sequence[Arm],
    out: Path,
    command: Sequence[str],
    progress: Progress | None,
    play_arm: Callable[[Arm, Recipe, Path, Parts, Progress], None],
) -> None:
    """Play arms one after another, with one policy and store as long as they share them."""
    open_stores = []
    lent = None
    try:
        for arm in wanted:
            where, recipe = _place(out, arm), arm.recipe
            if arm.how == "train":
                recipe = retrain(recipe, changes(arm), out / "training" / arm.trained_as, command, progress)
            # What arms share is stamped with the ablation's folder; each embedder has a store of its own.
            shared = kept(recipe) == kept(wanted[0].recipe)
            place = out if shared else where
            lent = assemble(recipe, place, lent=lent)
            if lent.store not in open_stores:
                open_stores.append(lent.store)

            def tell(done: int, planned: int, remark: str, name: str = arm.name) -> None:
                if progress:
                    progress(done, planned, f"{name} {remark}".rstrip())

            parts = lent
            if arm is not wanted[0]:
                base = wanted[0]
                parts = replace(lent, policy=heard.of(lent.policy, recipe, base.recipe, _place(out, base)))
            play_arm(arm, recipe, where, parts, tell)
    finally:
        for store in open_stores:
            store.close()
