"""Key-value caches for Transformers models, and prefill: the keys and values of token ids.

Every cache here is a plain one: a Transformers cache made from a model's config would cut layers with sliding windows.
Transformers takes seconds to import, so it is imported where a model runs: a domain that only quotes does without it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from soft_prompt.model.backbone import Backbone

if TYPE_CHECKING:
    from transformers.cache_utils import Cache, DynamicCache

# Keys and values of one layer, each `[batch, kv_heads, tokens, head_dim]`.
LayerKV = tuple[Tensor, Tensor]


def preallocated_cache(layers: int, capacity: int) -> Cache:
    """An empty cache of `layers` layers whose buffers hold `capacity` positions."""
    from transformers.cache_utils import Cache

    from soft_prompt.model.cache_layers import PreallocatedLayer

    return Cache(layers=[PreallocatedLayer(capacity) for _ in range(layers)])


def dynamic_cache(layers: Sequence[LayerKV]) -> DynamicCache:
    """A cache that holds the given keys and values, one pair per layer.

    Its `update` concatenates. So gradients flow through new positions, and the given tensors are never written to.
    """
    from transformers.cache_utils import DynamicCache

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
