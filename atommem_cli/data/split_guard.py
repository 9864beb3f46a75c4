"""Training and validation kept apart: no question of the one is asked in the other."""

from __future__ import annotations

from hashlib import blake2b
from pathlib import Path

from atommem_cli.core.errors import UsageError
from atommem_cli.data.files import MANIFEST, TASKS, Manifest, read_manifest, read_tasks


def digest(question: str) -> bytes:
    """Stands for a question's text; case and white space do not count."""
    return blake2b(" ".join(question.casefold().split()).encode(), digest_size=16).digest()


def asked(folder: Path) -> set[bytes]:
    """Digests of the questions of a prepared folder."""
    return {digest(question.text) for task in read_tasks(folder) for question in task.questions}


def beside(folder: Path | None, checked: dict[str, str]) -> set[bytes]:
    """Digests of the questions of validation as it is prepared beside train; none where train is compared with all that
    it was made of.

    Args:
        folder: see `Request.beside`.
        checked: what train is compared with already; what is read here comes to it.
    """
    if folder is None:
        return set()
    there = read_manifest(folder)
    if there.inputs and set(there.inputs.values()) <= set(checked.values()):
        return set()
    checked[f"{folder.name}/{TASKS}"] = there.sha256
    return asked(folder)


def comparable(folder: Path, source: str) -> Manifest | None:
    """The manifest of a prepared folder with questions of the same source, word for word; None where it is none."""
    if not (folder / MANIFEST).is_file():
        return None
    manifest = read_manifest(folder)
    return manifest if manifest.source == source and not manifest.swapped else None


def compares(train: Manifest, folder: Path) -> bool:
    """Whether training is compared with what is prepared as validation, or was made without its questions."""
    return bool(train.checked) or (not train.swapped and comparable(folder / "validation", train.source) is not None)


def covered(train: Manifest, validation: Manifest) -> bool:
    """Whether training was made without the questions of just this validation split."""
    known = {*train.checked.values(), *train.checked}
    files = set(validation.inputs.values()) or set(validation.origin)
    return validation.sha256 in known or (bool(files) and files <= known)


def insist(
    train: Path, validation: Path, of_train: Manifest, of_validation: Manifest, *, named: Path, tail: str
) -> None:
    """Refuse two splits that share a question.

    Args:
        train: the prepared folder; validation likewise.
        named: what train's folder is or will be called.
        tail: what to do.

    Raises:
        UsageError: they do.
    """
    if covered(of_train, of_validation):
        return
    if shared := len(asked(train) & asked(validation)):
        raise UsageError(f"{shared} questions of validation are in {named}, too: {tail}")
