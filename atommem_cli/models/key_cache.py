"""Keys and values of what was read, in room that is made for several tokens at once.

Import it where a model runs: it loads transformers.

Axes: R rows, H heads, S places, D size of a head.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.nn.functional import pad
from transformers import Cache, DynamicLayer


class RoomyLayer(DynamicLayer):  # type: ignore[misc]
    """One layer's: (R, H, S, D), and beyond S places that are not seen. In memory a place is whole: (R, S, H, D)."""

    def fill(self, keys: Tensor, values: Tensor, length: int) -> None:
        """Take these for all there is.

        Args:
            keys, values: (R, more, H, D), of which `length` places are seen.
        """
        self.dtype, self.device, self.is_initialized = keys.dtype, keys.device, True
        self._rooms = [keys, values]
        self._show(length)

    def update(self, key_states: Tensor, value_states: Tensor, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        """Put tokens in; returns all that is seen now."""
        start = self.get_seq_length()
        end = start + key_states.size(2)
        if end > self._rooms[0].size(1):
            self._rooms = [pad(room, (0, 0, 0, 0, 0, roomy(end) - room.size(1))) for room in self._rooms]
        for room, new in zip(self._rooms, (key_states, value_states), strict=True):
            room[:, start:end] = new.transpose(1, 2)
        self._show(end)
        return self.keys, self.values

    def choose(self, rows: Tensor) -> None:
        """Keep these rows, in this order."""
        length = self.get_seq_length()
        self._rooms = [room[rows] for room in self._rooms]
        self._show(length)

    def _show(self, length: int) -> None:
        self.keys, self.values = (room[:, :length].transpose(1, 2) for room in self._rooms)


class RoomyCache(Cache):  # type: ignore[misc]
    """Of all layers, as a model takes it."""

    def __init__(self, once: Cache, nodes: Tensor) -> None:
        """Each row gets what it consists of.

        Args:
            once: where that stands, in layers of (B, H, N, D); it is emptied on the way.
            nodes: of each row, numbers into (B, N), flattened: shape (R, S).
        """
        super().__init__(layers=[])
        rows, length = nodes.shape
        wide = pad(nodes, (0, roomy(length) - length)).flatten()
        for layer in once.layers:
            each = [
                part.transpose(1, 2).flatten(0, 1).index_select(0, wide).unflatten(0, (rows, -1))
                for part in (layer.keys, layer.values)
            ]
            self.layers.append(RoomyLayer())
            self.layers[-1].fill(*each, length)
            layer.reset()


def roomy(length: int) -> int:
    """Places that are made for this many."""
    return length + 16 + length // 8
