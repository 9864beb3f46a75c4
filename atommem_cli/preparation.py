"""The machine behind `atommem prepare`: from raw records or a seed to a folder of tasks.

The folder depends on its options and inputs alone: preparing twice, with one worker or many, gives the same
bytes. Tasks go to disk one by one, so memory does not grow with their number.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import statistics
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from pydantic import ValidationError

import atommem_cli
from atommem_cli import plugins
from atommem_cli.errors import BackendError, UsageError
from atommem_cli.taskfiles import (
    MANIFEST,
    SPLITS,
    TASKS,
    Filter,
    Manifest,
    Plan,
    Request,
    Spread,
    adapter,
    dump,
    read_manifest,
    read_tasks,
    verify,
)
from atommem_cli.text import Tokenizer, WordTokenizer, render
from atommem_cli.types import Document
from atommem_cli.workers import ordered

__all__ = ["SPLITS", "Manifest", "prepare", "read_manifest", "read_tasks", "verify"]

ALIASES = {"2wikimultihopqa": "twowiki"}
"""Names that cannot be the name of a module."""
SEED = 42
"""AtomMem's (papers.md 1.4)."""
MOST_COUNTS = 16384
"""Documents whose token count is remembered."""

Progress = Callable[[str, int, int | None], None]
"""Stage ("read" or "write"), how much is done, and of how much (None: not known yet)."""


def prepare(
    name: str,
    *,
    out: str | Path,
    split: str = "validation",
    source: str | None = None,
    options: Mapping[str, Any] | None = None,
    limit: int | None = None,
    seed: int = SEED,
    workers: int = 1,
    tokenizer: Tokenizer | None = None,
    keep: Filter | None = None,
    force: bool = False,
    progress: Progress | None = None,
) -> Manifest:
    """Prepare one split of a source into `<out>/<split>/`.

    A folder that was prepared from the same is verified and left alone.

    Args:
        name: a source of `tasks/`; the full name 2wikimultihopqa is understood too.
        source: a file, or a folder with `<split>.jsonl`, `<split>-*.parquet` and the like; None is the hub
            (`stream` takes none).
        options: the source's own options (`docs`, `questions`, ...).
        limit: at most this many *tasks*. None is all that the records give; for `stream`, 200.
        workers: processes that make tasks; 1 is this one. The result is the same.
        tokenizer: counts tokens for the manifest; None is words and marks.
        keep: which questions to use; None is all.
        force: prepare again, whatever is there.

    Raises:
        UsageError: an unknown source, split or option; or the folder was prepared from something else.
        SourceError: records cannot be read, or the folder that is there is damaged.
        BackendError: the disk did not take the files, or a worker died.
    """
    name = ALIASES.get(name, name)
    module = plugins.load("tasks", name)
    if split not in SPLITS:
        raise UsageError(f"no split {split!r}{plugins.did_you_mean(split, SPLITS)} (there are: train, validation)")
    for label, number in (("limit", limit), ("workers", workers)):
        if number is not None and number < 1:
            raise UsageError(f"{label} is {number}; it must be at least 1")
    chosen = _options(module, name, options or {})
    counter = tokenizer or WordTokenizer()
    folder = Path(out) / split
    described = {
        **chosen.model_dump(mode="json"),
        "name": name,
        "seed": seed,
        "limit": limit,
        "keep": keep.describe() if keep else None,
        "tokenizer": counter.name,
        "local": source is not None,
    }
    inputs = module.inputs(source, split)
    with _alone(folder):
        if (folder / MANIFEST).exists() and not force:
            return _same(folder, described, inputs)
        scratch = folder / ".scratch"
        shutil.rmtree(scratch, ignore_errors=True)
        try:
            scratch.mkdir()
            tell = progress or _silent
            request = Request(split, source, limit, seed, keep, scratch, lambda n: tell("read", n, None))
            plan = module.build(chosen, request)
            partial = scratch / TASKS
            facts = _write(partial, plan, counter, workers, tell)
            manifest = Manifest(
                atommem=atommem_cli.__version__,
                source=plan.source,
                split=split,
                licence=plan.licence,
                origin=plan.origin,
                inputs=inputs,
                options=described,
                questions_read=plan.read,
                questions_skipped=dict(sorted(plan.skipped.items())),
                supporting_lost=plan.lost_supporting,
                pool=plan.pool,
                swapped=dict(sorted(plan.swapped.items())),
                **facts,
            )
            (folder / MANIFEST).unlink(missing_ok=True)
            os.replace(partial, folder / TASKS)
            (scratch / MANIFEST).write_text(dump(manifest), encoding="utf-8")
            os.replace(scratch / MANIFEST, folder / MANIFEST)
            return manifest
        except OSError as error:
            raise BackendError(f"cannot write to {folder}: {error.strerror or error}") from error
        finally:
            shutil.rmtree(scratch, ignore_errors=True)


def _silent(stage: str, done: int, total: int | None) -> None:
    pass


def _options(module: ModuleType, name: str, options: Mapping[str, Any]) -> Any:
    try:
        return module.Options(**options)
    except ValidationError as error:
        first = error.errors()[0]
        key = str(first["loc"][0]) if first["loc"] else ""
        if first["type"] == "extra_forbidden":
            known = list(module.Options.model_fields)
            hint = plugins.did_you_mean(key, known)
            raise UsageError(f"{name} has no option {key!r}{hint} (there are: {', '.join(known)})") from None
        # Where several types are allowed there is one error for each.
        said = dict.fromkeys(
            e["msg"].removeprefix("Value error, ") for e in error.errors() if e["loc"][:1] == first["loc"][:1]
        )
        raise UsageError(f"{name}: {f'option {key!r}: ' if key else ''}{' or '.join(said)}") from None


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """The folder, made if need be, and locked until we are done; the lock ends with the process.

    What was made and is still empty in the end goes again.
    """
    made = [path for path in (folder, folder.parent) if not path.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise BackendError(f"cannot write to {folder}: {error.strerror}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise UsageError(f"{folder} is being prepared by another process") from None
    finally:
        os.close(descriptor)
        with suppress(OSError):
            for path in made:
                path.rmdir()


def _same(folder: Path, described: Mapping[str, Any], inputs: Mapping[str, str]) -> Manifest:
    """The manifest that is there, if it was made from the same."""
    there = read_manifest(folder)
    pairs = [
        *((key, there.options.get(key), described.get(key)) for key in {**there.options, **described}),
        *((key, there.inputs.get(key), inputs.get(key)) for key in {**there.inputs, **inputs}),
    ]
    differing = [f"{key} (there {old!r}, now {new!r})" for key, old, new in pairs if old != new]
    if differing:
        raise UsageError(
            f"{folder} was prepared from something else: {', '.join(differing)}; use another --out, or --force"
        )
    return verify(folder)


# --- making and writing ----------------------------------------------------------------------------


class _Made(NamedTuple):
    """One task, ready to be written."""

    line: bytes
    documents: int
    tokens: int
    kinds: tuple[str, ...]
    hinges: tuple[str, ...]


class _Workshop:
    """Makes a task and measures it."""

    def __init__(self, plan: Plan, tokenizer: Tokenizer) -> None:
        self._make = plan.make
        self._tokenizer = tokenizer
        self._counts: dict[Document, int] = {}

    def __call__(self, job: Any) -> _Made:
        task = self._make(job)
        line = adapter().dump_json(task, exclude_defaults=True) + b"\n"
        tokens = sum(map(self._count, task.documents))
        kinds = tuple(question.kind for question in task.questions)
        hinges = tuple(question.hinge for question in task.questions)
        return _Made(line, len(task.documents), tokens, kinds, hinges)

    def _count(self, document: Document) -> int:
        """Tokens of one document as it is shown; the same ones come again and again as filler."""
        if document not in self._counts:
            if len(self._counts) >= MOST_COUNTS:
                self._counts.clear()
            self._counts[document] = len(self._tokenizer.spans(render([document])[0]))
        return self._counts[document]


def _write(path: Path, plan: Plan, tokenizer: Tokenizer, workers: int, tell: Progress) -> dict[str, Any]:
    """Make all tasks and write them in order; what the manifest says about them."""
    documents: list[int] = []
    tokens: list[int] = []
    kinds: Counter[str] = Counter()
    hinges: Counter[str] = Counter()
    digest = hashlib.sha256()
    total = len(plan.jobs)
    if not total:
        raise UsageError("there is no usable question, so there is no task")
    with path.open("wb") as file:
        for made in ordered(_Workshop(plan, tokenizer), plan.jobs, workers):
            file.write(made.line)
            digest.update(made.line)
            documents.append(made.documents)
            tokens.append(made.tokens)
            kinds.update(made.kinds)
            hinges.update(made.hinges)
            tell("write", len(documents), total)
        file.flush()
        os.fsync(file.fileno())
    return {
        "tasks": total,
        "questions_used": kinds.total(),
        "kinds": {kind: kinds[kind] for kind in sorted(kinds) if kind},
        "hinges": {hinge: hinges[hinge] for hinge in sorted(hinges) if hinge},
        "documents": _spread(documents),
        "tokens": _spread(tokens),
        "sha256": digest.hexdigest(),
    }


def _spread(values: Sequence[int]) -> Spread:
    return Spread(min=min(values), median=statistics.median_low(values), max=max(values), total=sum(values))
