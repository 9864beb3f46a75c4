"""The Hugging Face hub, where it does not answer."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager

REACHED = 5
"""Seconds in which the hub must answer."""


@contextmanager
def unhurried() -> Iterator[bool]:
    """Where the hub does not answer, what is in its cache: else its client tries every file again for half a minute.

    Yields:
        Whether the hub may be asked: it answers, and the user did not forbid it.
    """
    from huggingface_hub import constants, get_session

    before = constants.HF_HUB_OFFLINE
    offline = before
    with _quiet():
        if not offline:
            try:
                get_session().head(constants.ENDPOINT, timeout=REACHED)
            except Exception:
                offline = True
        _forbid(offline)
        try:
            yield not offline
        finally:
            _forbid(before)


def _forbid(offline: bool) -> None:
    from huggingface_hub import constants

    constants.HF_HUB_OFFLINE = offline
    if "datasets.config" in sys.modules:  # which has copied it
        sys.modules["datasets.config"].HF_HUB_OFFLINE = offline  # type: ignore[attr-defined]


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
