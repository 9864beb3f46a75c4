"""Keys and values of what was read, in room that is made for several tokens at once.

Import it where a model runs: it loads transformers.

Axes: R rows, H heads, S places, D size of a head.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor
from transformers import Cache, DynamicLayer


class RoomyLayer(DynamicLayer):  # type: ignore[misc]
    """One layer's: (R, H, S, D), and beyond S places that are not seen."""

    def open(self, keys: Tensor, values: Tensor, rows: int, length: int) -> None:
        """Make it new, of this many rows and places, all 0.

        Args:
            keys, values: of the shape and kind that will come: (any, H, any, D).
        """
        self.dtype, self.device, self.is_initialized = keys.dtype, keys.device, True
        spare = 16 + length // 8
        self._rooms = [some.new_zeros(rows, some.size(1), length + spare, some.size(3)) for some in (keys, values)]
        self._show(length)

    def update(self, key_states: Tensor, value_states: Tensor, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        """Put tokens in; returns all that is seen now."""
        start = self.get_seq_length()
        end = start + key_states.size(2)
        if not self.is_initialized:
            self.open(key_states, value_states, len(key_states), end)
        elif end > self._rooms[0].size(2):
            before = self.keys, self.values
            self.open(key_states, value_states, len(key_states), end)
            for room, old in zip(self._rooms, before, strict=True):
                room[:, :, :start] = old
        for room, new in zip(self._rooms, (key_states, value_states), strict=True):
            room[:, :, start:end] = new
        self._show(end)
        return self.keys, self.values

    def choose(self, rows: Tensor) -> None:
        """Keep these rows, in this order, some perhaps more than once."""
        length = self.get_seq_length()
        self._rooms = [room[rows] for room in self._rooms]
        self._show(length)

    def _show(self, length: int) -> None:
        self.keys, self.values = (room[:, :, :length] for room in self._rooms)


class RoomyCache(Cache):  # type: ignore[misc]
    """Of all layers, as a model takes it."""

    def __init__(self) -> None:
        super().__init__(layer_class_to_replicate=RoomyLayer)
