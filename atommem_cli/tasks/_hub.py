"""Raw QA records of the Hugging Face hub."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from atommem_cli.core.errors import BackendError, SourceError
from atommem_cli.models import hub
from atommem_cli.tasks._records import OPTIONAL, Layout, RawRow, conformed
from atommem_cli.tasks._schema import Mismatch


def read_hub(layout: Layout, split: str) -> tuple[Iterator[RawRow], tuple[str, ...]]:
    """Rows of the hub's data set (kept in the usual cache), and the files they come from, with revision.

    Raises:
        BackendError: the hub cannot be reached.
        SourceError: its schema has changed.
    """
    from datasets import load_dataset

    where = f"{layout.hub}{f' ({layout.config})' if layout.config else ''}"
    try:
        with hub.unhurried():
            table = load_dataset(layout.hub, layout.config, split=split)
    except Exception as error:
        raise BackendError(
            f"cannot load {where} from the hub ({type(error).__name__}; is there a network?): "
            "give a local copy with --source"
        ) from error
    wanted = {*layout.schema, *layout.optional, *OPTIONAL}
    rows = table.select_columns([name for name in table.column_names if name in wanted])
    origin = tuple(sorted(map(str, table.info.download_checksums or ())))

    def checked() -> Iterator[RawRow]:
        for number, raw in enumerate(rows, start=1):
            try:
                yield conformed(layout, raw)
            except Mismatch as wrong:
                raise SourceError(f"{where}, {split}: record {number}: {wrong}") from None

    return checked(), origin


def fetch(repository: str, name: str) -> tuple[Path, str]:
    """One file of a data set on the hub, in the usual cache; and where it is from, with revision.

    Raises:
        BackendError: the hub cannot be reached.
    """
    from huggingface_hub import hf_hub_download

    try:
        with hub.unhurried():
            path = Path(hf_hub_download(repository, name, repo_type="dataset"))
    except Exception as error:
        raise BackendError(
            f"cannot load {name} of {repository} from the hub ({type(error).__name__}; is there a network?): "
            "give a local copy with --source"
        ) from error
    return path, f"hf://datasets/{repository}@{path.parent.name}/{name}"
