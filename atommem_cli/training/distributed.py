"""Processes that train together."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

T = TypeVar("T")


def count() -> int:
    """How many processes train together (`accelerate launch`); 1 without a launcher."""
    number: int = _state().num_processes
    return number


def own() -> int:
    """The number of this process, from 0, which writes the folder and talks to the user."""
    number: int = _state().process_index
    return number


def wait() -> None:
    """Until every process is here."""
    _state().wait_for_everyone()


def _state() -> Any:
    from accelerate import PartialState
    from accelerate.utils import parse_flag_from_env

    # By itself it looks for a GPU, and processes without one would not find each other before the trainer is there.
    return PartialState(cpu=parse_flag_from_env("ACCELERATE_USE_CPU"))


def gather(values: list[T]) -> list[T]:
    """The values of all ranks, in their order, on every rank; just these with one process."""
    from accelerate.utils import gather_object

    found: list[T] = gather_object(values)
    return found


@contextmanager
def accumulating(accelerator: Any, model: Any) -> Iterator[None]:
    """Gradients add up on this rank, and are shared with the others by what is computed afterwards."""
    state, sync = accelerator.gradient_state, accelerator.sync_gradients
    state._set_sync_gradients(False)
    try:
        with accelerator.no_sync(model):
            yield
    finally:
        state._set_sync_gradients(sync)
