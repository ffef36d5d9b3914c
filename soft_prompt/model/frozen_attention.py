"""Attention to a frozen prefix and a trainable suffix, kept in separate tensors.

Training attends mostly to the frozen prefix before the soft slot. A cache would join prefix and suffix in one tensor,
so that the prefix would get gradients too, for every query head, only to have them discarded. Here one softmax runs
over both parts, and the backward pass computes the gradients of the queries and the suffix alone. It recomputes the
attention weights instead of storing them (as FlashAttention does, Dao et al. 2022, arXiv:2205.14135).
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from soft_prompt.model.kv_cache import LayerKV

if TYPE_CHECKING:
    from transformers.cache_utils import Cache

# Per thread: the frozen prefix, its split masks, and scratch memory.
_active = threading.local()


def suffix_cache(frozen: Sequence[LayerKV], suffix: Sequence[LayerKV] | None) -> Cache:
    """A cache for one forward pass within `frozen_prefix`; `suffix` has a gradient and follows the prefix."""
    from transformers.cache_utils import Cache

    from soft_prompt.model.cache_layers import SuffixLayer

    length = frozen[0][0].shape[-2]
    return Cache(layers=[SuffixLayer(length, suffix[n] if suffix else None) for n in range(len(frozen))])


@contextmanager
def frozen_prefix(frozen: Sequence[LayerKV]) -> Iterator[None]:
    """Within this context, attention in this thread sees the frozen keys and values before those it is given."""
    _active.frozen, _active.masks = frozen, {}
    try:
        yield
    finally:
        _active.frozen = _active.masks = None


def frozen_prefix_of(module: torch.nn.Module) -> LayerKV | None:
    """The frozen prefix of an attention layer; None outside `frozen_prefix`."""
    frozen: Sequence[LayerKV] | None = getattr(_active, "frozen", None)
    return None if frozen is None else frozen[int(module.layer_idx)]  # type: ignore[arg-type]


def prefix_attention(
    query: Tensor, key: Tensor, value: Tensor, frozen: LayerKV, mask: Tensor | None, scale: float
) -> Tensor:
    """Attention to a frozen prefix and a suffix, with the query heads that share a key head grouped.

    Args:
        query: `[batch, heads, new, head_dim]`.
        key, value: of the suffix, `[batch, kv_heads, suffix, head_dim]`.
        frozen: keys and values of the prefix, each `[batch, kv_heads, prefix, head_dim]`; they get no gradient.
        mask: `[batch, 1, new, prefix + suffix]`, bool, True where a query attends; None if it attends everywhere.
        scale: of the scores.

    Returns:
        `[batch, new, heads, head_dim]`, differentiable in query, key and value.
    """
    batch, heads, new, head_dim = query.shape
    kv_heads = key.shape[1]
    groups = heads // kv_heads
    rows = query.reshape(batch, kv_heads, groups * new, head_dim)
    hidden = _split_mask(mask, frozen[0].shape[-2], groups)
    attended: Tensor = _PrefixAttention.apply(rows, key, value, *frozen, *hidden, scale)  # type: ignore[no-untyped-call]
    return attended.reshape(batch, heads, new, value.shape[-1]).transpose(1, 2).contiguous()


def _split_mask(mask: Tensor | None, prefix: int, groups: int) -> tuple[Tensor | None, Tensor | None]:
    """What each grouped row must not see of the prefix and of the suffix; None where it sees everything."""
    if mask is None:
        return None, None
    # All layers share one mask, so it is split once. The mask is kept, since a freed one could pass on its id.
    splits: dict[int, tuple[Tensor, Tensor | None, Tensor | None]] = _active.masks
    split = splits.get(id(mask))
    if split is None:
        hidden = ~mask
        prefix_hidden = hidden[..., :prefix]
        if bool((prefix_hidden == prefix_hidden[:, :, :1]).all()):
            prefix_hidden = prefix_hidden[:, :, :1]
        else:
            prefix_hidden = prefix_hidden.repeat(1, 1, groups, 1)
        suffix_hidden = hidden[..., prefix:].repeat(1, 1, groups, 1)
        split = splits[id(mask)] = (mask, _or_none(prefix_hidden), _or_none(suffix_hidden))
    return split[1], split[2]


def _or_none(hidden: Tensor) -> Tensor | None:
    return hidden if bool(hidden.any()) else None


class _PrefixAttention(torch.autograd.Function):
    """`softmax(query @ [frozen_key, key].T * scale) @ [frozen_value, value]`, scores and sums in fp32."""

    @staticmethod
    def forward(
        ctx: Any,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        frozen_key: Tensor,
        frozen_value: Tensor,
        prefix_hidden: Tensor | None,
        suffix_hidden: Tensor | None,
        scale: float,
    ) -> Tensor:
        prefix = _scores(query, frozen_key, prefix_hidden, scale, "scores")
        suffix = _scores(query, key, suffix_hidden, scale)
        # A row of padding may see nothing at all. The clamps keep its results finite.
        top = torch.maximum(prefix.amax(-1, keepdim=True), suffix.amax(-1, keepdim=True)).clamp(min=-1e30)
        prefix, suffix = prefix.sub_(top).exp_(), suffix.sub_(top).exp_()
        total = (prefix.sum(-1, keepdim=True) + suffix.sum(-1, keepdim=True)).clamp(min=1e-30)
        attended = (prefix.to(query.dtype) @ frozen_value).float() + suffix @ value.float()
        attended = (attended / total).to(query.dtype)
        ctx.save_for_backward(
            query, key, value, frozen_key, frozen_value, prefix_hidden, suffix_hidden, attended, top + total.log()
        )
        ctx.scale = scale
        return attended

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        query, key, value, frozen_key, frozen_value, prefix_hidden, suffix_hidden, attended, log_total = (
            ctx.saved_tensors
        )
        [gradient] = gradients
        exact = gradient.float()
        mean = (exact * attended.float()).sum(-1, keepdim=True)
        # Gradients of the scores, for the prefix in place: weight * (gradient of the weight - its weighted mean).
        prefix = _scores(query, frozen_key, prefix_hidden, ctx.scale, "scores").sub_(log_total).exp_()
        slopes = gradient @ frozen_value.transpose(-1, -2)
        prefix.mul_(torch.sub(slopes, mean, out=_scratch("slopes", prefix.shape, prefix.device)))
        weights = _scores(query, key, suffix_hidden, ctx.scale).sub_(log_total).exp_()
        suffix = weights * (exact @ value.float().transpose(-1, -2) - mean)
        query_gradient = (prefix.to(query.dtype) @ frozen_key).float() + suffix @ key.float()
        key_gradient = suffix.transpose(-1, -2) @ query.float()
        value_gradient = weights.transpose(-1, -2) @ exact
        return (
            (query_gradient * ctx.scale).to(query.dtype),
            (key_gradient * ctx.scale).to(key.dtype),
            value_gradient.to(value.dtype),
            *[None] * 5,
        )


def _scores(query: Tensor, key: Tensor, hidden: Tensor | None, scale: float, scratch: str = "") -> Tensor:
    """Scores in fp32, `[batch, kv_heads, rows, tokens]`, with the hidden ones at minus infinity."""
    shape = (*query.shape[:-1], key.shape[-2])
    factors = (query.float() * scale, key.float().transpose(-1, -2))
    scores = torch.matmul(*factors, out=_scratch(scratch, shape, query.device)) if scratch else torch.matmul(*factors)
    return scores if hidden is None else scores.masked_fill_(hidden, -torch.inf)


def _scratch(name: str, shape: tuple[int, ...], device: torch.device) -> Tensor:
    """Reused memory for temporary results: fresh pages for every layer would take as long as the arithmetic."""
    size = math.prod(shape)
    memory: Tensor | None = getattr(_active, name, None)
    if memory is None or memory.numel() < size or memory.device != device:
        memory = torch.empty(size, dtype=torch.float32, device=device)
        setattr(_active, name, memory)
    return memory[:size].view(shape)
