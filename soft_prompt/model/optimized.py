"""The backbone optimised for few tokens at a time, as training and decoding run it.

The optimised model is a copy of the model's structure that shares every weight with it. It computes attention and reads
linear weights in other ways, and the caller's own model stays untouched. This works for every Transformers model that
attends through `scaled_dot_product_attention`; other models keep their own attention.
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

from soft_prompt.errors import BackboneError
from soft_prompt.model.backbone import Backbone, fast_dtype
from soft_prompt.model.frozen_attention import frozen_prefix_of, prefix_attention
from soft_prompt.model.fused import fuse_linear_layers
from soft_prompt.model.linear import FlattenedLinear, PackedLinear, add_int8_weights, add_packed_weights
from soft_prompt.model.memory import free_memory

DecodeWeights = Literal["auto", "own", "int8"]

_GROUPED = "softgraft_grouped"
# Of the free memory, for packed weights.
_PACKED_SHARE = 0.25

# By model, then by whether its weights are read as int8.
_copies: MutableMapping[Any, dict[bool, Any]] = WeakKeyDictionary()
_lock = threading.Lock()


def optimized(backbone: Backbone, weights: DecodeWeights = "auto") -> Backbone:
    """The backbone with an optimised model, which is made once and lives as long as the backbone's own.

    Args:
        backbone: shares its weights with the result.
        weights: `own` reads them as they are; `int8` reads a rounded copy where few rows run, which needs a backbone
            in bf16 on the CPU; `auto` is `own`, which is faster since its weights are packed.

    Raises:
        BackboneError: if `weights` is `int8` and the backbone is not in bf16 on the CPU.
    """
    int8 = reads_int8(backbone, weights)
    with _lock:
        copies = _copies.setdefault(backbone.model, {})
        if int8 not in copies:
            copies[int8] = _optimized_copy(backbone.model, int8=int8)
    return replace(backbone, model=copies[int8])


def reads_int8(backbone: Backbone, weights: DecodeWeights) -> bool:
    """Whether a backbone with these `weights` reads them as int8.

    Raises:
        BackboneError: if `weights` is `int8` and the backbone is not in bf16 on the CPU.
    """
    if weights == "int8" and not (backbone.device.type == "cpu" and backbone.dtype == torch.bfloat16):
        raise BackboneError(
            found=f"int8 weights for the backbone {backbone.id!r}, which is {backbone.dtype} on {backbone.device}",
            expected="a backbone in bfloat16 on the CPU",
            next_step="set `decode_weights: auto`, or `dtype: bfloat16`, in domain.yaml",
        )
    return weights == "int8"


def supports_frozen_prefix(backbone: Backbone) -> bool:
    """Whether the attention of an optimised backbone can treat frozen keys separately (`frozen_attention`)."""
    return bool(backbone.model.config._attn_implementation == _GROUPED) and backbone.device.type == "cpu"


def weight_sharing_copy(model: Any) -> Any:
    """A copy of a model's structure that shares every weight with it."""
    packed = (module.packed for module in model.modules() if isinstance(module, PackedLinear))
    shared = {id(tensor): tensor for tensor in chain(model.parameters(), model.buffers(), packed)}
    return copy.deepcopy(model, shared)


def _optimized_copy(model: Any, *, int8: bool) -> Any:
    # These modules take seconds to import. A domain that only quotes does without them.
    from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS, sdpa_mask
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

    copied = weight_sharing_copy(model)
    # Families with attention code of their own, such as Falcon, would not know the new name.
    if copied.config._attn_implementation == "sdpa" and getattr(copied, "_supports_attention_backend", False):
        ALL_ATTENTION_FUNCTIONS.register(_GROUPED, grouped_attention)
        ALL_MASK_ATTENTION_FUNCTIONS.register(_GROUPED, sdpa_mask)
        copied.config._attn_implementation = _GROUPED
    replace_linear_layers(copied, int8=int8)
    return copied


def replace_linear_layers(model: Any, *, int8: bool = False) -> None:
    """Let the linear layers of an optimised copy read int8 or packed weights, where the machine has such kernels."""
    if int8:
        for layer in _linear_layers(model):
            add_int8_weights(layer)
    elif can_pack(model) and model.dtype == torch.bfloat16:
        fuse_linear_layers(model)
        for layer in _linear_layers(model):
            add_packed_weights(layer)
    elif type(head := model.get_output_embeddings()) is torch.nn.Linear:
        head.__class__ = FlattenedLinear


def _linear_layers(model: Any) -> list[torch.nn.Linear]:
    return [module for module in model.modules() if type(module) is torch.nn.Linear]


def can_pack(model: Any) -> bool:
    """Whether a model's linear layers may get packed copies of their weights.

    They need oneDNN's arithmetic for the model's dtype, and a small part of the free memory: a second copy of a large
    model's weights could take what its keys and values need.
    """
    if model.device.type != "cpu" or not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    if model.dtype != torch.float32 and (model.dtype != torch.bfloat16 or fast_dtype("cpu") != torch.bfloat16):
        return False
    weights = {id(m.weight): m.weight.nbytes for m in model.modules() if isinstance(m, torch.nn.Linear)}
    return sum(weights.values()) < _PACKED_SHARE * free_memory(model.device)


def grouped_attention(
    module: torch.nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **options: Any
) -> tuple[Tensor, None]:
    """Attention like Transformers' `sdpa`, with the query heads that share a key head grouped as rows of one head.

    PyTorch's CPU kernel reads the keys again for every head, and Transformers copies them for every head if there is a
    mask. Grouped, they are read once.

    Args:
        module: the attention layer.
        query: `[batch, heads, new, head_dim]`.
        key, value: `[batch, kv_heads, tokens, head_dim]`.
        attention_mask: None, or `[batch, 1, new, tokens]` as `sdpa` takes it.
        options: as `sdpa` takes them.

    Returns:
        `[batch, new, heads, head_dim]`, and None for the attention weights, which are not computed.
    """
    batch, heads, new, head_dim = query.shape
    if (frozen := frozen_prefix_of(module)) is not None:
        scaling = options.get("scaling")
        scale = float(head_dim**-0.5 if scaling is None else scaling)
        return prefix_attention(query, key, value, frozen, attention_mask, scale), None
    kv_heads = key.shape[1]
    groups = heads // kv_heads
    causal = attention_mask is None and new > 1
    mask_per_head = attention_mask is not None and attention_mask.shape[1] > 1
    if groups == 1 or causal or mask_per_head or query.device.type != "cpu":
        from transformers.integrations.sdpa_attention import sdpa_attention_forward

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
