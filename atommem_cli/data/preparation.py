"""The machine behind `atommem prepare`: from raw records or a seed to a folder of tasks.

The folder depends on its options and inputs alone: preparing twice, with one worker or many, gives the same
bytes. Tasks go to disk one by one, so memory does not grow with their number.
"""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import atommem_cli
from atommem_cli.config.blame import blaming
from atommem_cli.core import folders
from atommem_cli.core.chunking import Tokenizer, WordTokenizer
from atommem_cli.core.errors import BackendError, Interrupted, UsageError, did_you_mean
from atommem_cli.core.files import lock
from atommem_cli.data import distractors as distracting
from atommem_cli.data import sources, split_guard, task_rules, written
from atommem_cli.data.files import (
    MANIFEST,
    SPLIT_WORDS,
    SPLITS,
    TASKS,
    Filter,
    Manifest,
    Request,
    dump,
    read_manifest,
    read_tasks,
    verify,
)
from atommem_cli.data.making import CountProgress, write
from atommem_cli.data.sources import SourceModule, canonical, module_of, source_of
from atommem_cli.data.written import WRITTEN, Writer

__all__ = [
    "SPLITS",
    "Manifest",
    "check",
    "prepare",
    "read_manifest",
    "read_tasks",
    "verify",
]

SEED = 42
"""AtomMem's (papers.md 1.4)."""
DISTRACTORS = "distractor_documents"
"""The number of them, in a manifest; `stream` has an option `distractors` of its own."""
SCRATCH = ".scratch"
MARKS = (MANIFEST, f"{SCRATCH}/{MANIFEST}", WRITTEN)
"""With one of them a folder is ours; the second is there while the first is replaced, the third before it."""


def check(
    name: str, splits: list[str], *, out: str | Path, source: str | None = None, validation: str | None = None
) -> None:
    """Find what is wrong with any of several splits before the first is prepared: names, files, their first records.

    Raises:
        UsageError, SourceError, BackendError: as `prepare`.
    """
    module = module_of(name)
    if validation is not None and "train" not in map(_split, splits):
        raise UsageError(f"--validation {validation}: is for --split train, which must not ask its questions")
    for split in splits:
        folders.claim(Path(out) / _split(split), MARKS)
        _inputs(module, name, source, _split(split), validation)


def prepare(
    name: str,
    *,
    out: str | Path,
    split: str = "validation",
    source: str | None = None,
    validation: str | None = None,
    options: Mapping[str, Any] | None = None,
    limit: int | None = None,
    seed: int = SEED,
    workers: int = 1,
    tokenizer: Tokenizer | None = None,
    keep: Filter | None = None,
    distractors: int = 0,
    writer: Writer | None = None,
    force: bool = False,
    progress: CountProgress | None = None,
) -> Manifest:
    """Prepare one split of a source into `<out>/<split>/`.

    A folder that was prepared from the same is verified and left alone.

    Args:
        name: a source of `tasks/`.
        split: train or validation; `dev` is validation.
        source: a file, or a folder with `<split>.jsonl`, `<split>-*.parquet` and the like, or with the original
            downloads; None is the hub (`stream` takes none).
        validation: a file or folder of the questions that `train` must not ask. Those of the source's own folder, of
            the hub, and of a validation split that is prepared in `out` are left out anyway.
        options: the source's own options (`docs`, `questions`, ...).
        limit: at most this many *tasks*. None is all that the records give; for `stream`, 200.
        workers: processes that make tasks; 1 is this one. The result is the same.
        tokenizer: counts tokens for the manifest; None is words and marks.
        keep: which questions to use; None is all.
        distractors: documents that each task gets in the end; see there.
        writer: who writes them; None is the bank alone.
        force: prepare again, whatever is there.

    Raises:
        UsageError: an unknown source, split or option; or the folder was prepared from something else.
        SourceError: records cannot be read, a task is not what it must be, or the folder that is there is damaged.
        PluginError: a source of the user's own fails.
        BackendError: the disk did not take the files, or a worker died.
    """
    name, (module, chosen), split = canonical(name), source_of(name, options or {}), _split(split)
    for label, number, least in (("limit", limit, 1), ("workers", workers, 1), ("distractors", distractors, 0)):
        if number is not None and number < least:
            raise UsageError(f"{label} is {number}; it must be at least {least}")
    counter = tokenizer or WordTokenizer()
    folder = Path(out) / split
    folders.claim(folder, MARKS)
    folders.insist_apart(folder)
    described = {
        **chosen.model_dump(mode="json"),
        "name": name,
        "seed": seed,
        "limit": limit,
        "keep": keep.describe() if keep else None,
        "tokenizer": counter.name,
        "local": source is not None,
        **({DISTRACTORS: distractors} if distractors else {}),
        **({"distractors_by": writer.describe()} if writer else {}),
    }
    if writer and not distractors:
        raise UsageError("--distractors-by: --distractors says how many passages it writes")
    inputs = _inputs(module, name, source, split, validation)
    with _alone(folder):
        if (folder / MANIFEST).exists() and not force:
            same = _same(folder, described, inputs | (written.digest(folder) if writer else {}))
            _insist_apart(Path(out), name, folder, same)
            return same
        scratch = folder / SCRATCH
        shutil.rmtree(scratch, ignore_errors=True)
        try:
            scratch.mkdir()
            tell = progress or _silent
            beside = Path(out) / "validation" if split == "train" else None
            if beside is not None and split_guard.comparable(beside, name) is None:
                beside = None
            request = Request(
                split, source, limit, seed, keep, validation, beside, scratch, lambda n: tell("read", n, None)
            )
            with blaming("its plan"):
                plan = module.build(chosen, request)
                given = written.write(plan, distractors, writer, folder, tell) if writer else None
                plan = distracting.add(plan, distractors, seed, name, given)
            checked = _check(name, source)
            task_rules.insist(task_rules.plan_fault(plan), checked)
            facts = write(scratch / TASKS, plan, counter, workers, tell, check=checked)
            manifest = Manifest(
                atommem=atommem_cli.__version__,
                source=plan.source,
                split=split,
                licence=plan.licence,
                origin=plan.origin,
                inputs=inputs | (written.digest(folder) if writer else {}),
                options=described,
                questions_read=plan.read,
                questions_skipped=dict(sorted(plan.skipped.items())),
                supporting_lost=plan.lost_supporting,
                pool=plan.pool,
                swapped=dict(sorted(plan.swapped.items())),
                checked=dict(sorted(plan.checked.items())),
                **facts,
            )
            if _inputs(module, name, source, split, validation) != inputs:
                raise UsageError(f"{source}: changed while it was read; prepare again")
            (scratch / MANIFEST).write_text(dump(manifest), encoding="utf-8")
            _insist_apart(Path(out), name, scratch, manifest)
            (folder / MANIFEST).unlink(missing_ok=True)
            os.replace(scratch / TASKS, folder / TASKS)
            os.replace(scratch / MANIFEST, folder / MANIFEST)
            return manifest
        except KeyboardInterrupt:
            raise Interrupted(f"stopped; {folder} is as it was before: the same command begins again") from None
        except OSError as error:
            raise BackendError(f"cannot write to {folder}: {error.strerror or error}") from error
        finally:
            shutil.rmtree(scratch, ignore_errors=True)


def _inputs(module: SourceModule, name: str, source: str | None, split: str, validation: str | None) -> dict[str, str]:
    """The files that a source reads, and their digests."""
    with blaming("its files"):
        found = module.inputs(source, split, validation)
    task_rules.insist(task_rules.inputs_fault(found), _check(name, source))
    return dict(found)


def _check(name: str, source: str | None) -> str:
    """The command that looks whether a source keeps its promises."""
    return shlex.join(["atommem", "check", "tasks", name, *(["--source", source] if source else [])])


def _split(word: str) -> str:
    """The split that a word of the command line means.

    Raises:
        UsageError: none that can be prepared.
    """
    split = SPLIT_WORDS.get(word, "")
    if split not in SPLITS:
        why = "; the answers of a test set are not public" if split else did_you_mean(word, SPLITS)
        raise UsageError(f"no split {word!r}{why} (there are: train, and validation or dev)")
    return split


def _insist_apart(out: Path, name: str, made: Path, manifest: Manifest) -> None:
    """Insist that a split shares no question with the other one that is prepared in the same folder.

    Args:
        made: where it lies; the other one has its own place.
    """
    train = manifest.split == "train"
    other = out / ("validation" if train else "train")
    there = split_guard.comparable(other, manifest.source)
    if there is None or manifest.swapped or manifest.source in {*there.checked, *manifest.checked}:
        return
    mend = "prepare validation first, or train again with --validation FILE and --force"
    if manifest.inputs and manifest.inputs == there.inputs:
        files = ", ".join(manifest.inputs)
        mend = f"both are made of {files}: say which --split its records are, with an --out of its own"
    elif sources.is_outside(name):
        mend = "its source has to leave them out of train: request.beside is the prepared folder of validation"
    elif train:
        mend = "prepare train again with --force"
    both = (made, other, manifest, there) if train else (other, made, there, manifest)
    split_guard.insist(*both, named=out / "train", tail=mend)


def _silent(stage: str, done: int, total: int | None) -> None:
    pass


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """The folder, made if need be, and locked until we are done; the lock ends with the process.

    What was made and is still empty in the end goes again.
    """
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise BackendError(f"cannot write to {folder}: {error.strerror}") from error
    try:
        if not lock(descriptor, folder):
            raise UsageError(f"{folder} is being prepared by another process")
        yield
    finally:
        os.close(descriptor)
        with suppress(OSError):
            for path in made:
                path.rmdir()


def _same(folder: Path, described: Mapping[str, Any], inputs: Mapping[str, str]) -> Manifest:
    """The manifest that is there, if it was made from the same."""
    there = read_manifest(folder)
    options = {**there.options, "name": canonical(there.options["name"])}
    pairs = [
        *((key, options.get(key), described.get(key)) for key in {**options, **described}),
        *((key, there.inputs.get(key), inputs.get(key)) for key in {**there.inputs, **inputs}),
    ]
    differing = [f"{key} (there {old!r}, now {new!r})" for key, old, new in pairs if old != new]
    if differing:
        raise UsageError(
            f"{folder} was prepared from something else: {', '.join(differing)}; use another --out, or --force"
        )
    return verify(folder)
