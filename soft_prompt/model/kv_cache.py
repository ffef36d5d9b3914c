"""Key-value caches for Transformers models, filled from stored tensors or grown in place.

Two things of the library's own cache do not fit here. It concatenates at every step, which copies the whole cache
once a layer and token; and a cache made from a config cuts sliding-window layers. So every cache here is a plain one.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from transformers.cache_utils import Cache, DynamicCache, DynamicLayer


class GrowingLayer(DynamicLayer):  # type: ignore[misc]
    """One layer's keys and values in a buffer allocated once; `update` writes behind what is there."""

    def __init__(self, capacity: int) -> None:
        super().__init__()
        self.capacity = capacity
        self.length = 0
        self._buffers: tuple[Tensor, Tensor] | None = None

    def update(self, key_states: Tensor, value_states: Tensor, *_: object, **__: object) -> tuple[Tensor, Tensor]:
        """Write `[batch, kv_heads, new, head_dim]` behind the stored positions and return all of them."""
        if self._buffers is None:
            shape = (*key_states.shape[:2], self.capacity, key_states.shape[-1])
            self._buffers = (key_states.new_empty(shape), value_states.new_empty(shape))
            self.is_initialized = True
        keys, values = self._buffers
        end = self.length + key_states.shape[-2]
        keys[:, :, self.length : end] = key_states
        values[:, :, self.length : end] = value_states
        self.length = end
        self.keys, self.values = keys[:, :, :end], values[:, :, :end]
        return self.keys, self.values

    def get_seq_length(self) -> int:
        """Stored positions."""
        return self.length

    @property
    def nbytes(self) -> int:
        """Bytes of the buffers."""
        return sum(buffer.nbytes for buffer in self._buffers or ())

    def first(self, length: int) -> tuple[Tensor, Tensor]:
        """Keys and values of the first positions, each `[batch, kv_heads, length, head_dim]`. Do not write to them.

        `length` is at least 1 and at most what is stored.
        """
        assert self._buffers is not None
        keys, values = self._buffers
        return keys[:, :, :length], values[:, :, :length]

    def select_rows(self, rows: Tensor) -> None:
        """Keep some rows of the batch. `rows`: `[kept]`, int64."""
        if self._buffers is not None:
            keys, values = self._buffers
            self._buffers = (keys[rows], values[rows])
            self.keys, self.values = (b[:, :, : self.length] for b in self._buffers)


def filled_cache(layers: Sequence[tuple[Tensor, Tensor]]) -> DynamicCache:
    """A plain cache that holds keys and values, each `[batch, kv_heads, tokens, head_dim]`, a layer.

    `update` concatenates, so gradients flow through new positions and the stored tensors are never written to.
    """
    cache = DynamicCache()
    for number, (keys, values) in enumerate(layers):
        cache.update(keys, values, number)
    return cache


def growing_cache(layers: int, capacity: int) -> Cache:
    """An empty cache whose buffers hold `capacity` positions."""
    return Cache(layers=[GrowingLayer(capacity) for _ in range(layers)])


def stacked(cache: DynamicCache) -> Tensor:
    """Keys and values of a batch of one as `[layers, 2, kv_heads, tokens, head_dim]`."""
    return torch.stack([torch.stack((layer.keys[0], layer.values[0])) for layer in cache.layers])
