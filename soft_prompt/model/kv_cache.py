"""Key-value caches for Transformers models.

Every cache here is a plain one: a Transformers cache made from a model's config would cut layers with sliding windows.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from transformers.cache_utils import Cache, DynamicCache, DynamicLayer

# Keys and values of one layer, each `[batch, kv_heads, tokens, head_dim]`.
LayerKV = tuple[Tensor, Tensor]


class PreallocatedLayer(DynamicLayer):  # type: ignore[misc]
    """One layer's keys and values in buffers that are allocated once.

    Transformers' own layer concatenates, which copies the whole cache for every layer and token.

    Args:
        capacity: maximum number of positions.
    """

    def __init__(self, capacity: int) -> None:
        super().__init__()
        self.capacity = capacity
        self.length = 0
        self._buffers: LayerKV | None = None

    def update(self, key_states: Tensor, value_states: Tensor, *_: object, **__: object) -> LayerKV:
        """Append keys and values, each `[batch, kv_heads, new, head_dim]`, and return all of them."""
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
        """Number of stored positions."""
        return self.length

    @property
    def nbytes(self) -> int:
        """Size of the buffers in bytes."""
        return sum(buffer.nbytes for buffer in self._buffers or ())

    def prefix(self, length: int) -> LayerKV:
        """Keys and values of the first `length` positions, at least 1. Do not write to them."""
        assert self._buffers is not None
        keys, values = self._buffers
        return keys[:, :, :length], values[:, :, :length]

    def select_rows(self, rows: Tensor) -> None:
        """Keep some rows of the batch. `rows`: `[kept]`, int64."""
        if self._buffers is not None:
            keys, values = self._buffers
            self._buffers = (keys[rows], values[rows])
            self.keys, self.values = self.prefix(self.length)


def preallocated_cache(layers: int, capacity: int) -> Cache:
    """An empty cache of `layers` layers whose buffers hold `capacity` positions."""
    return Cache(layers=[PreallocatedLayer(capacity) for _ in range(layers)])


def dynamic_cache(layers: Sequence[LayerKV]) -> DynamicCache:
    """A cache that holds the given keys and values, one pair per layer.

    Its `update` concatenates. So gradients flow through new positions, and the given tensors are never written to.
    """
    cache = DynamicCache()
    for number, (keys, values) in enumerate(layers):
        cache.update(keys, values, number)
    return cache


def stacked_layers(cache: DynamicCache) -> Tensor:
    """Keys and values of a batch of one as `[layers, 2, kv_heads, tokens, head_dim]`."""
    return torch.stack([torch.stack((layer.keys[0], layer.values[0])) for layer in cache.layers])
