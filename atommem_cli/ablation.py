"""`atommem ablate`: what a memory component, a chunk size, a number of entries or an embedder is worth.

An arm is the recipe with something changed; it is played over the same tasks with the same seeds as the base, as
an ordinary run folder (`arms/NAME`), and all arms share policy, store and embedder. The folder belongs to the
recipe without its `ablate` section: arms of a later command join those that are there, and none is played twice.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from atommem_cli import evaluation, sessions
from atommem_cli.assembly import assemble
from atommem_cli.errors import UsageError
from atommem_cli.evaluation import Progress, evaluate
from atommem_cli.evidence.comparison import names_of
from atommem_cli.evidence.runs import Run
from atommem_cli.jsonlines import Lines, read_json, whole_lines
from atommem_cli.plugins import did_you_mean
from atommem_cli.recipe import Recipe
from atommem_cli.records import Folder
from atommem_cli.reporting import pooling, published
from atommem_cli.reporting.publication import Findings, findings, publish
from atommem_cli.retraining import retrain
from atommem_cli.sections import How
from atommem_cli.tables import Cost
from atommem_cli.taskfiles import read_manifest, verify
from atommem_cli.types import OpKind, Outcome

STORAGE = "storage"
_OF_STORAGE = (OpKind.CREATE, OpKind.READ, OpKind.UPDATE, OpKind.DELETE)
COMPONENTS: dict[str, tuple[OpKind, ...]] = {**{kind.value: (kind,) for kind in OpKind}, STORAGE: _OF_STORAGE}
"""What can be dropped, and the operations that it takes along."""
BASE = "base"
RETRAINED = "-retrained"

ARMS = "arms.jsonl"
"""One line per arm that was ever asked for, in that order: name and dropped components."""


@dataclass(frozen=True, slots=True)
class Arm:
    """One cell of the table."""

    name: str
    """Also that of its folder."""
    recipe: Recipe
    retrained: bool = False
    """Whether its policy has been trained again under this recipe."""
    component: tuple[str, ...] = ()
    """Components that are dropped, sorted."""


def arms(recipe: Recipe) -> list[Arm]:
    """The base, and the arms that the recipe's `ablate` section asks for; those that equal the base are left out.

    Raises:
        UsageError: an unknown component.
    """
    section = recipe.ablate
    found = [Arm(BASE, recipe), *(_without(recipe, names, section.how) for names in section.drop)]
    sizes, ks = section.chunk_tokens or (recipe.chunk.tokens,), section.retrieve_k or (recipe.memory.retrieve_k,)
    for tokens, k in product(sizes, ks):
        changed = recipe.changed([f"chunk.tokens={tokens}", f"memory.retrieve_k={k}"])
        found.append(Arm(f"chunk-{tokens}-k-{k}", changed))
    for embedder in section.embedders:
        changed = recipe.changed([f"embedder={json.dumps(embedder.model_dump(mode='json'))}"])
        model = str((embedder.model_extra or {}).get("model", ""))
        found.append(Arm("-".join(filter(None, ("embedder", embedder.name, Path(model).name))), changed))
    first = {(arm.recipe.digest, arm.retrained): arm.name for arm in reversed(found)}
    return [arm for arm in found if first[arm.recipe.digest, arm.retrained] == arm.name]


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


def plan(recipe: Recipe) -> list[tuple[str, Cost]]:
    """What every arm would take; no weights. Training is not in it (`ablate.how: train`).

    Raises:
        UsageError: an unknown component.
        SourceError: the tasks are not there.
    """
    return [(arm.name, evaluation.plan(arm.recipe)) for arm in arms(recipe)]


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


def _without(recipe: Recipe, names: str, how: How) -> Arm:
    gone = components(names)
    kinds = sorted({kind for name in gone for kind in COMPONENTS[name]} | set(recipe.memory.drop))
    way = "noop" if how == "noop" else "prompt"
    changed = recipe.changed([f"memory.drop={json.dumps(kinds)}", f"memory.how={way}"])
    label = "-".join(("without", *gone)) + {"prompt": "", "noop": "-noop", "train": RETRAINED}[how]
    return Arm(label, changed, retrained=how == "train", component=gone)


def run_path(recipe: Recipe, out: Path | None) -> Path:
    """Where an ablation goes: `results/ablate-<recipe>-<digest8>`, or the folder the user named."""
    return out or Path("results") / f"ablate-{recipe.name}-{recipe.digest[:8]}"


def play(
    recipe: Recipe, out: Path, *, command: Sequence[str] = (), progress: Progress | None = None
) -> list[tuple[str, tuple[str, ...], Run]]:
    """Play every arm that the recipe asks for; continues an ablation that was begun in the same folder.

    Returns:
        As `finished`: arms of earlier commands, too.

    Raises:
        UsageError: an unknown component, tasks that are not there, or a folder of something else.
        BackendError: something outside failed; what had finished is saved.
        Interrupted: the user stopped it; likewise.
    """
    wanted = arms(recipe)
    manifest = verify(Path(recipe.task.folder) / recipe.task.split)
    identity = {"command": "ablate", "recipe": recipe.content, "tasks": manifest.sha256}
    with Folder(out, identity, recipe.dump()) as folder:
        folder.sessions.append(sessions.opening(command))
        register = Lines(out / ARMS)
        try:
            known = {line["arm"] for line in register.read()}
            for arm in wanted:
                if arm.name not in known:
                    register.append({"arm": arm.name, "component": arm.component})
        finally:
            register.close()
        _play(wanted, out, command, progress)
    return finished(out)


def finished(out: Path) -> list[tuple[str, tuple[str, ...], Run]]:
    """Name, dropped components and run of every finished arm of an ablation, the base first.

    Raises:
        UsageError: it is no folder of an ablation, or the base is not finished.
        SourceError: a file is damaged.
    """
    if not (out / ARMS).is_file():
        raise UsageError(f"{out}: not the folder of an `atommem ablate` run (it has no {ARMS})")
    found = []
    for _, line in whole_lines(out / ARMS):
        path = out / "arms" / line["arm"]
        if (path / "summary.json").is_file() and (run := Run(path)).complete:
            found.append((line["arm"], tuple(line["component"]), run))
    if not found or found[0][0] != BASE:
        raise UsageError(f"{out}: its base is not finished; the same `atommem ablate` goes on where it stopped")
    return found


def opened(folders: Sequence[Path], out: Path | None) -> tuple[Sequence[Path], Path | None]:
    """Folders for a report: of one ablation its finished arms, and where the report goes; else as they are given.

    Raises:
        UsageError, SourceError: see `finished`.
    """
    if len(folders) != 1 or not (folders[0] / ARMS).is_file():
        return folders, out
    return [run.path for _, _, run in finished(folders[0])], out or folders[0]


def _play(wanted: Sequence[Arm], out: Path, command: Sequence[str], progress: Progress | None) -> None:
    first = lent = None
    try:
        for arm in wanted:
            where = out / "arms" / arm.name
            recipe = (
                retrain(arm.recipe, out / "training" / arm.name, command, progress) if arm.retrained else arm.recipe
            )
            # What the arms share is stamped with the ablation's folder.
            lent = assemble(recipe, out, lent=lent)
            first = first or lent

            def tell(done: int, planned: int, remark: str, name: str = arm.name) -> None:
                if progress:
                    progress(done, planned, f"{name} {remark}".rstrip())

            evaluate(recipe, where, command=command, progress=tell, parts=lent)
    finally:
        if first is not None:
            first.close()


def conclude(out: Path) -> Findings:
    """Compare every finished arm of an ablation with its base, and write tables and figures into its folder.

    Raises:
        UsageError, SourceError: see `finished`.
        BackendError: the disk is full or gone.
    """
    found = finished(out)
    base = found[0][2]
    manifest = read_manifest(base.folder)
    documents = manifest.documents.min if manifest.documents.min == manifest.documents.max else 0
    printed = published.beside([(name, gone, run.recipe) for name, gone, run in found], manifest.source, documents)
    used = read_json(base.path / "summary.json")["operations"]
    result = findings(
        [run for _, _, run in found],
        [name for name, _, _ in found],
        what=[_what(name, gone, run.recipe) for name, gone, run in found],
        caveats=[_caveat(name, gone, used) for name, gone, _ in found],
        theirs={name: f"{points:+.1f} ({score:.1f})" for name, (score, points) in printed.items()},
    )
    publish(out, result, {name: points for name, (_, points) in printed.items()})
    return result


def agree(folders: Sequence[Path]) -> Findings:
    """Ablations of the same arms under several seeds, pooled.

    Raises:
        UsageError, SourceError: see `finished`.
        RunMismatch: they have no arm in common.
    """
    names = names_of(folders)
    found = {name: conclude(folder) for name, folder in zip(names, folders, strict=True)}
    comparisons = [one.comparisons[0] for one in found.values()]
    tables = pooling.pool(comparisons, names)
    return Findings(tuple(comparisons), tuple(tables), (), {"ablations": {k: v.values for k, v in found.items()}})


def _what(name: str, gone: tuple[str, ...], recipe: Recipe) -> str:
    if gone:
        how = "and training again without it" if name.endswith(RETRAINED) else f"({recipe.memory.how})"
        return f"Dropping {' and '.join(gone)} {how}"
    if name.startswith("chunk"):
        return f"Chunks of {recipe.chunk.tokens} tokens with k = {recipe.memory.retrieve_k}"
    return f"The embedder {name.removeprefix('embedder-')}"


def _caveat(name: str, gone: tuple[str, ...], used: Mapping[str, Mapping[str, int]]) -> str:
    """What an arm cannot say: the policy's own share in it."""
    if not gone:
        return "The policy was not trained for the change."
    if name.endswith(RETRAINED):
        return "One training per arm: how much trainings differ by their seed is not in the interval."
    kinds = sorted({kind for component in gone for kind in COMPONENTS[component]})
    counts = {kind: used.get(kind, {}).get(Outcome.OK, 0) for kind in kinds}
    if not any(counts.values()):
        return "The base never used it with effect, so this says nothing about its worth."
    times = ", ".join(f"{kind} {count} times" for kind, count in counts.items())
    return f"The base used it with effect ({times}); a policy trained without it might do better or worse."
