"""Prefill: the keys and values of token ids, computed once without gradient."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from soft_prompt.model.backbone import Backbone
from soft_prompt.model.kv_cache import dynamic_cache, stacked_layers


def prefill(backbone: Backbone, ids: Sequence[int], before: Tensor | None = None) -> Tensor:
    """Run token ids through the frozen backbone and return their keys and values.

    Args:
        backbone: the frozen model.
        ids: token ids.
        before: keys and values of everything before them, `[layers, 2, kv_heads, tokens, head_dim]`.

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
