"""Raw QA records of the Hugging Face hub."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from atommem_cli.errors import SourceError
from atommem_cli.tasks._records import OPTIONAL, Layout, Row, conformed
from atommem_cli.tasks._schema import Mismatch

REACHED = 5
"""Seconds in which the hub must answer."""


def read_hub(layout: Layout, split: str) -> tuple[Iterator[Row], tuple[str, ...]]:
    """Rows of the hub's data set (kept in the usual cache), and the files they come from, with revision.

    Raises:
        SourceError: the hub cannot be reached, or its schema has changed.
    """
    from datasets import load_dataset

    where = f"{layout.hub}{f' ({layout.config})' if layout.config else ''}"
    try:
        with _quiet(), _no_waiting():
            table = load_dataset(layout.hub, layout.config, split=split)
    except Exception as error:
        raise SourceError(
            f"cannot load {where} from the hub ({type(error).__name__}; is there a network?): "
            "give a local copy with --source"
        ) from error
    wanted = {*layout.schema, *layout.optional, *OPTIONAL}
    rows = table.select_columns([name for name in table.column_names if name in wanted])
    origin = tuple(sorted(map(str, table.info.download_checksums or ())))

    def checked() -> Iterator[Row]:
        for number, raw in enumerate(rows, start=1):
            try:
                yield conformed(layout, raw)
            except Mismatch as wrong:
                raise SourceError(f"{where}, {split}: record {number}: {wrong}") from None

    return checked(), origin


@contextmanager
def _quiet() -> Iterator[None]:
    """`datasets` and the hub's client log what they also raise."""
    loggers = [logging.getLogger(name) for name in ("datasets", "huggingface_hub")]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)


@contextmanager
def _no_waiting() -> Iterator[None]:
    """Where the hub does not answer, what is in its cache: else its client tries again for half a minute."""
    import datasets.config
    from huggingface_hub import constants, get_session

    before = constants.HF_HUB_OFFLINE, datasets.config.HF_HUB_OFFLINE
    offline = before[0]
    if not offline:
        try:
            get_session().head(constants.ENDPOINT, timeout=REACHED)
        except Exception:
            offline = True
    constants.HF_HUB_OFFLINE = datasets.config.HF_HUB_OFFLINE = offline
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE, datasets.config.HF_HUB_OFFLINE = before
