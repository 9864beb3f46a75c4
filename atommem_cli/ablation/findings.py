"""What an ablation says: every arm against the base, in tables and sentences; and several under other seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from atommem_cli.ablation import crossed, pool, published, published_agemem, reader, varying
from atommem_cli.ablation.reader import Ablation, PlayedArm
from atommem_cli.compare.curves import pooled
from atommem_cli.core.errors import RunMismatch, UsageError
from atommem_cli.core.files import read_json
from atommem_cli.core.types import Outcome
from atommem_cli.data.files import read_manifest
from atommem_cli.reporting.publish import Findings, findings
from atommem_cli.reporting.run_page import Beside
from atommem_cli.runs.layout import STEPS, SUMMARY
from atommem_cli.runs.names import differing, labels, names_of
from atommem_cli.runs.reader import Run, open_all
from atommem_cli.runs.tables import Table

PER_SEED = ("seed", "task.folder", "policy.model", "policy.init_seed")
"""Recipe keys in which ablations that are pooled may differ."""


def worth(ablation: Ablation, scorer: str | None = None) -> Findings:
    """Compare every finished arm of an ablation with its base.

    Args:
        scorer: None is the leading one; published numbers stand beside the one that they are of.

    Raises:
        SourceError: a file is damaged, or the tasks are gone.
    """
    played = ablation.arms
    whose, printed = _theirs(ablation, scorer)
    used = read_json(ablation.base.path / SUMMARY)["operations"]
    found = findings(
        [arm.run for arm in played],
        [arm.name for arm in played],
        scorer,
        what=[_what(arm, ablation.base) for arm in played],
        caveats=[_caveat(arm, ablation.base, used) for arm in played],
        theirs={name: f"{points:+.1f} ({score:.1f})" for name, (score, points) in printed.items()},
        whose=whose,
    )
    found = replace(found, theirs={name: points for name, (_, points) in printed.items()})
    found = found.drawing(crossed.of(ablation, found.comparisons[0]))
    if not ablation.missing:
        return found
    return found.saying(f"Not finished, and in no figure here: {', '.join(ablation.missing)}.")


def _theirs(ablation: Ablation, scorer: str | None) -> tuple[str, dict[str, tuple[float, float]]]:
    """Who published numbers, and by the name of an arm whose setting matches: score, and difference to the published
    base in points."""
    manifest = read_manifest(ablation.base.folder)
    if ablation.base.recipe.agent.name == published_agemem.AGENT:
        named = scorer or ablation.base.leading
        return published_agemem.WHOSE, published_agemem.matching(ablation.arms, manifest, named)
    documents = manifest.documents.min if manifest.documents.min == manifest.documents.max else 0
    found = published.matching(ablation.arms, manifest.source, documents) if scorer is None else {}
    return published.WHOSE, found


def agree(folders: Sequence[Path], scorer: str | None = None) -> Findings:
    """Ablations of the same arms under several seeds, pooled.

    Raises:
        UsageError: fewer than two, or one twice.
        RunMismatch: their recipes differ in more than seed, tasks and policy, or they have no arm in common.
        SourceError: a file is damaged.
    """
    read = [reader.read(folder) for folder in {folder.resolve(): folder for folder in folders}.values()]
    if len(read) < 2:
        raise UsageError("to pool ablations takes two at least")
    _insist_alike(read)
    names = names_of([one.path for one in read])
    found = {name: worth(one, scorer) for name, one in zip(names, read, strict=True)}
    comparisons = tuple(one.comparisons[0] for one in found.values())
    tables, sentences = pool.pool(comparisons, names)
    missing = [f"{name}: {arm}" for name, one in zip(names, read, strict=True) for arm in one.missing]
    if missing:
        sentences.append(f"Not finished, and in no figure here: {', '.join(missing)}.")
    values = {"ablations": {name: one.values for name, one in found.items()}}
    drawn = list(found.values())
    common = [key for key in _keys(drawn[0]) if all(key in _keys(one) for one in drawn)]
    together = [pooled([next(c for c in one.curves if c.key == key) for one in drawn]) for key in common]
    return Findings(comparisons, tuple(tables), tuple(sentences), values).drawing(together)


def _keys(found: Findings) -> list[str]:
    return [one.key for one in found.curves]


def beside(folders: Sequence[Path]) -> Beside:
    """For a report: what the evaluations in it say about each other, or why they say nothing.

    Raises:
        SourceError: a file is damaged.
    """
    if len(folders) == 1 and reader.is_one(folders[0]):
        return worth(reader.read(folders[0])).beside()
    if len(folders) < 2 or any(not (folder / STEPS).is_file() for folder in folders):
        return Beside()
    runs = open_all(folders)
    try:
        return findings(runs, labels(runs)).beside()
    except UsageError as error:
        return Beside([Table("The runs are not compared", ("why",), ((str(error),),))])


def _insist_alike(read: Sequence[Ablation]) -> None:
    digests = [(one.base.identity["tasks"], one.base.identity["policy"], one.base.recipe.seed) for one in read]
    for number, digest in enumerate(digests):
        if digest in digests[:number]:
            other = read[digests.index(digest)]
            raise RunMismatch(f"{other.path} and {read[number].path} have the same tasks, policy and seed: that is one")
    unlike = [key for key in differing([one.base.recipe.content for one in read]) if key not in PER_SEED]
    if unlike:
        raise RunMismatch(f"these ablations cannot be pooled: their recipes differ in {', '.join(unlike)}")


def _what(arm: PlayedArm, base: Run) -> str:
    dropping = ""
    if arm.component:
        how = "and training again without" if arm.how == "train" else f"({arm.how})"
        dropping = f"Dropping {' and '.join(arm.component)} {how}"
    recipe = arm.run.recipe
    if arm.varied is not None:
        key, value = arm.varied
        doing = "Training again with" if arm.how == "train" and not dropping else "Playing with"
        given = f"{key} at {varying.told(value)} instead of {varying.told(varying.at(base.recipe, key))}"
        return f"{dropping}, and playing with {given}" if dropping else f"{doing} {given}"
    if dropping:
        return dropping
    if arm.kind == "size":
        return f"Chunks of {recipe.chunk.tokens} tokens with k = {recipe.memory.retrieve_k}"
    return f"The embedder {arm.name.removeprefix('embedder-')}"


def _played(run: Run) -> str:
    return str(read_json(run.path / SUMMARY)["digest"])


def _caveat(arm: PlayedArm, base: Run, used: Mapping[str, Mapping[str, int]]) -> str:
    """What an arm cannot say: the policy's own share in it."""
    if arm.how == "train":
        return "One training per arm: how much trainings differ by their seed is not in the interval."
    if arm.kind != "component":
        if _played(arm.run) == _played(base):
            return "Nothing that was played differs from the base: the setting had no part in it."
        return "The policy was not trained for the change."
    kinds = sorted({*arm.run.recipe.memory.drop} - {*base.recipe.memory.drop})
    counts = {kind: used.get(kind, {}).get(Outcome.OK, 0) for kind in kinds}
    if not any(counts.values()):
        return "The base never used it with effect, so this says nothing about its worth."
    uses = ", ".join(f"{kind}: {count}" for kind, count in counts.items())
    return f"The base used it with effect ({uses}); a policy trained without might do better or worse."
