"""The backbone as training and decoding use it: the same weights, read in ways that suit few tokens at a time.

A decoder is a copy of the model's structure that shares every weight with it. What is changed in it, how attention is
computed and how linear layers read their weights, is not seen by the caller who owns the model. It serves any model of
Transformers that attends through `scaled_dot_product_attention`.
"""

from __future__ import annotations

import copy
import threading
from collections.abc import MutableMapping
from dataclasses import replace
from itertools import chain
from typing import Any, Literal
from weakref import WeakKeyDictionary

import torch
from torch import Tensor
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS, sdpa_mask
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from soft_prompt.errors import BackboneError
from soft_prompt.model.backbone import Backbone
from soft_prompt.model.frozen_attention import attend, frozen_of
from soft_prompt.model.linear import RowsLinear, with_int8

_GROUPED = "softgraft_grouped"

_copies: MutableMapping[Any, dict[bool, Any]] = WeakKeyDictionary()
_making = threading.Lock()


def decoder(backbone: Backbone, weights: DecodeWeights = "auto") -> Backbone:
    """The backbone as it decodes. Its model is made once and then kept as long as the backbone's own.

    Args:
        backbone: whose weights it shares.
        weights: `own` reads them as they are; `int8` reads a rounded copy beside them where few rows run, which needs
            a backbone in bf16 on the CPU; `auto` is `int8` there and `own` elsewhere.

    Raises:
        BackboneError: `int8` for a backbone that is not in bf16 on the CPU.
    """
    possible = backbone.device.type == "cpu" and backbone.dtype == torch.bfloat16
    if weights == "int8" and not possible:
        raise BackboneError(
            found=f"int8 weights asked for, and the backbone {backbone.id!r} is {backbone.dtype} on {backbone.device}",
            expected="a backbone in bfloat16 on the CPU",
            next_step="set `decode_weights: auto`, or `dtype: bfloat16`, in domain.yaml",
        )
    rounded = possible and weights != "own"
    with _making:
        made = _copies.setdefault(backbone.model, {})
        if rounded not in made:
            made[rounded] = _decoding_copy(backbone.model, rounded=rounded)
    return replace(backbone, model=made[rounded])


def attends_beside(backbone: Backbone) -> bool:
    """Whether a decoder's attention can keep what is frozen apart (`frozen_attention`)."""
    return bool(backbone.model.config._attn_implementation == _GROUPED) and backbone.device.type == "cpu"


def sharing_copy(model: Any) -> Any:
    """A copy of a model's structure that shares every weight with it."""
    shared = {id(tensor): tensor for tensor in chain(model.parameters(), model.buffers())}
    return copy.deepcopy(model, shared)


def _decoding_copy(model: Any, *, rounded: bool) -> Any:
    twin = sharing_copy(model)
    # Families that attend in code of their own, as Falcon does, would take the new name for none they know.
    if twin.config._attn_implementation == "sdpa" and getattr(twin, "_supports_attention_backend", False):
        # The registries take new names; nobody who does not ask for this one meets it.
        ALL_ATTENTION_FUNCTIONS.register(_GROUPED, grouped_attention)
        ALL_MASK_ATTENTION_FUNCTIONS.register(_GROUPED, sdpa_mask)
        twin.config._attn_implementation = _GROUPED
    head = twin.get_output_embeddings()
    if type(head) is torch.nn.Linear:
        head.__class__ = RowsLinear
    if rounded:
        for layer in [module for module in twin.modules() if type(module) in (torch.nn.Linear, RowsLinear)]:
            with_int8(layer)
    return twin


def grouped_attention(
    module: torch.nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **options: Any
) -> tuple[Tensor, None]:
    """Attention as Transformers' `sdpa`, with the query heads that share keys put together as rows of one head.

    PyTorch's kernel for the CPU reads the keys anew for every head, and Transformers copies them for every head where
    there is a mask; as rows of one head they are read once.

    Args:
        module: the attention layer.
        query: `[batch, heads, new, head_dim]`.
        key, value: `[batch, kv_heads, tokens, head_dim]`.
        attention_mask: None, or `[batch, 1, new, tokens]` as `sdpa` takes it.
        options: as `sdpa` takes them.

    Returns:
        `[batch, new, heads, head_dim]`, and None for the attention weights, which are not computed.
    """
    if (frozen := frozen_of(module)) is not None:
        return attend(query, key, value, frozen, attention_mask, _scale(query, options)), None
    batch, heads, new, head_dim = query.shape
    kv_heads = key.shape[1]
    groups = heads // kv_heads
    causal = attention_mask is None and new > 1
    own_mask = attention_mask is not None and attention_mask.shape[1] > 1
    if groups == 1 or causal or own_mask or query.device.type != "cpu":
        attended, _ = sdpa_attention_forward(module, query, key, value, attention_mask, **options)
        return attended, None
    attended = torch.nn.functional.scaled_dot_product_attention(
        query.reshape(batch, kv_heads, groups * new, head_dim),
        key,
        value,
        attn_mask=None if attention_mask is None else attention_mask.repeat(1, 1, groups, 1),
        scale=options.get("scaling"),
    )
    return attended.reshape(batch, heads, new, value.shape[-1]).transpose(1, 2).contiguous(), None


def _scale(query: Tensor, options: dict[str, Any]) -> float:
    given = options.get("scaling")
    return float(query.shape[-1] ** -0.5 if given is None else given)


DecodeWeights = Literal["auto", "own", "int8"]
