"""Key-value caches for Transformers models, and prefill: the keys and values of token ids.

Every cache here is a plain one: a Transformers cache made from a model's config would cut layers with sliding windows.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from transformers.cache_utils import Cache, DynamicCache, DynamicLayer

from soft_prompt.model.backbone import Backbone

# Keys and values of one layer, each `[batch, kv_heads, tokens, head_dim]`.
LayerKV = tuple[Tensor, Tensor]


class PreallocatedLayer(DynamicLayer):  # type: ignore[misc]
    """One layer's keys and values in buffers that are allocated once, for at most `capacity` positions.

    Transformers' own layer concatenates, which copies the whole cache for every layer and token.
    """

    def __init__(self, capacity: int) -> None:
        super().__init__()
        self.capacity = capacity
        self.length = 0
        self._buffers: LayerKV | None = None

    def update(self, key_states: Tensor, value_states: Tensor, *_: object, **__: object) -> LayerKV:
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

    def prefix(self, length: int) -> LayerKV:
        """Keys and values of the first `length` positions, at least 1. Do not write to them."""
        assert self._buffers is not None
        keys, values = self._buffers
        return keys[:, :, :length], values[:, :, :length]

    def batch_select_indices(self, indices: Tensor) -> None:
        if self._buffers is not None:
            keys, values = self._buffers
            self._buffers = (keys[indices], values[indices])
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


def prefill(backbone: Backbone, ids: Sequence[int], before: Tensor | None = None) -> Tensor:
    """Run token ids through the frozen backbone and return their keys and values.

    Args:
        backbone: the frozen model.
        ids: token ids.
        before: keys and values of everything before them, in the same form as the result.

    Returns:
        `[layers, 2, kv_heads, tokens, head_dim]` in the backbone's dtype, for `ids` alone.

    Raises:
        BackboneError: if the backbone is an encoder-decoder.
    """
    backbone.require_decoder_only("a prefix to store")
    first = 0 if before is None else before.shape[-2]
    cache = dynamic_cache([] if before is None else [(layer[0][None], layer[1][None]) for layer in before])
    device = backbone.device
    with torch.no_grad():
        # The base model has no head: prefill needs no logits, and those of one token cost as much as many layers.
        backbone.model.base_model(
            input_ids=torch.tensor([list(ids)], device=device),
            position_ids=torch.arange(first, first + len(ids), device=device)[None],
            past_key_values=cache,
            use_cache=True,
        )
    keys_and_values = stacked_layers(cache)
    return keys_and_values if before is None else keys_and_values[..., first:, :].clone()
