"""Layers of Transformers' key-value caches: one with buffers of its own, and one behind a frozen prefix."""

from __future__ import annotations

import torch
from torch import Tensor
from transformers.cache_utils import DynamicLayer

# Keys and values of one layer, each `[batch, kv_heads, tokens, head_dim]`.
_KV = tuple[Tensor, Tensor]


class PreallocatedLayer(DynamicLayer):  # type: ignore[misc]
    """One layer's keys and values in buffers that are allocated once, for at most `capacity` positions.

    Transformers' own layer concatenates, which copies the whole cache for every layer and token.
    """

    def __init__(self, capacity: int) -> None:
        super().__init__()
        self.capacity = capacity
        self.length = 0
        self._buffers: _KV | None = None

    def update(self, key_states: Tensor, value_states: Tensor, *_: object, **__: object) -> _KV:
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
        return self.length

    def prefix(self, length: int) -> _KV:
        """Keys and values of the first `length` positions, at least 1. Do not write to them."""
        assert self._buffers is not None
        keys, values = self._buffers
        return keys[:, :, :length], values[:, :, :length]

    def batch_select_indices(self, indices: Tensor) -> None:
        if self._buffers is not None:
            keys, values = self._buffers
            self._buffers = (keys[indices], values[indices])
            self.keys, self.values = self.prefix(self.length)


class SuffixLayer(DynamicLayer):  # type: ignore[misc]
    """One layer of a cache that counts the positions of a frozen prefix and holds only those behind it, if any."""

    def __init__(self, prefix_length: int, suffix: _KV | None) -> None:
        super().__init__()
        self.prefix_length = prefix_length
        self.suffix = suffix

    def update(self, key_states: Tensor, value_states: Tensor, *_: object, **__: object) -> _KV:
        if self.suffix is None:
            return key_states, value_states
        return torch.cat((self.suffix[0], key_states), dim=-2), torch.cat((self.suffix[1], value_states), dim=-2)

    def get_seq_length(self) -> int:
        return self.prefix_length + (self.suffix[0].shape[-2] if self.suffix else 0)
