"""Attention to keys and values that need no gradient, beside a few that do.

What stands before the soft slot is frozen, and it is nearly all that training attends to. Put together with the new
positions in one tensor, as a cache does it, it would get gradients too, for every query head, only for them to be
thrown away. Here both parts are attended to apart under one softmax, and the backward pass computes the gradients of
the queries and of the new part alone. The weights are made again in the backward pass instead of being kept
(as in FlashAttention, Dao et al. 2022, arXiv:2205.14135).
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import Cache, DynamicLayer

Pair = tuple[Tensor, Tensor]

_active = threading.local()


class _BesideFrozen(DynamicLayer):  # type: ignore[misc]
    """One layer of a cache whose first positions are elsewhere: it counts them and does not hold them."""

    def __init__(self, elsewhere: int, held: Pair | None) -> None:
        super().__init__()
        self.elsewhere = elsewhere
        self.held = held

    def update(self, key_states: Tensor, value_states: Tensor, *_: object, **__: object) -> Pair:
        """What is held with `[batch, kv_heads, new, head_dim]` behind it."""
        if self.held is None:
            return key_states, value_states
        return torch.cat((self.held[0], key_states), dim=-2), torch.cat((self.held[1], value_states), dim=-2)

    def get_seq_length(self) -> int:
        """Positions before the new ones."""
        return self.elsewhere + (self.held[0].shape[-2] if self.held else 0)


def cache_beside(frozen: Sequence[Pair], fronts: Sequence[Pair] | None) -> Cache:
    """A cache for one forward pass within `beside`.

    Args:
        frozen: keys and values without gradient, a pair a layer, each `[batch, kv_heads, frozen, head_dim]`.
        fronts: those with gradient that stand behind them, or None.
    """
    length = frozen[0][0].shape[-2]
    return Cache(layers=[_BesideFrozen(length, fronts[n] if fronts else None) for n in range(len(frozen))])


@contextmanager
def beside(frozen: Sequence[Pair]) -> Iterator[None]:
    """Within this context attention in this thread sees the frozen keys and values before those that it is given."""
    _active.frozen, _active.masks = frozen, {}
    try:
        yield
    finally:
        _active.frozen = _active.masks = None


def frozen_of(module: torch.nn.Module) -> Pair | None:
    """What an attention layer sees besides what it is given; None outside `beside`."""
    frozen: Sequence[Pair] | None = getattr(_active, "frozen", None)
    return None if frozen is None else frozen[int(module.layer_idx)]  # type: ignore[arg-type]


def attend(query: Tensor, key: Tensor, value: Tensor, frozen: Pair, mask: Tensor | None, scale: float) -> Tensor:
    """Attention to the frozen part and to the rest, query heads that share keys put together.

    Args:
        query: `[batch, heads, new, head_dim]`.
        key, value: `[batch, kv_heads, rest, head_dim]`.
        frozen: keys and values before them, each `[batch, kv_heads, frozen, head_dim]`; they get no gradient.
        mask: `[batch, 1, new, frozen + rest]`, bool, True where a query sees; None where it sees all.
        scale: of the scores.

    Returns:
        `[batch, new, heads, head_dim]`, differentiable in query, key and value.
    """
    batch, heads, new, head_dim = query.shape
    kv_heads = key.shape[1]
    groups = heads // kv_heads
    rows = query.reshape(batch, kv_heads, groups * new, head_dim)
    before, after = _masks(mask, frozen[0].shape[-2], groups)
    attended: Tensor = _Attend.apply(rows, key, value, *frozen, before, after, scale)  # type: ignore[no-untyped-call]
    return attended.reshape(batch, heads, new, value.shape[-1]).transpose(1, 2).contiguous()


def _masks(mask: Tensor | None, length: int, groups: int) -> tuple[Tensor | None, Tensor | None]:
    """What is hidden of the frozen part and of the rest, for the rows of `attend`; None where nothing is."""
    if mask is None:
        return None, None
    # Layers share a mask, so it is taken apart once.
    known: dict[int, tuple[Tensor, Tensor | None, Tensor | None]] = _active.masks
    found = known.get(id(mask))
    if found is None:
        hidden = ~mask
        before = hidden[..., :length]
        if bool((before == before[:, :, :1]).all()):
            before = before[:, :, :1]
        else:
            before = before.repeat(1, 1, groups, 1)
        found = known[id(mask)] = (mask, _or_none(before), _or_none(hidden[..., length:].repeat(1, 1, groups, 1)))
    return found[1], found[2]


def _or_none(hidden: Tensor) -> Tensor | None:
    return hidden if bool(hidden.any()) else None


class _Attend(torch.autograd.Function):
    """`softmax(query @ [frozen_key, key].T * scale) @ [frozen_value, value]`, scores and sums in fp32."""

    @staticmethod
    def forward(
        ctx: Any,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        frozen_key: Tensor,
        frozen_value: Tensor,
        before: Tensor | None,
        after: Tensor | None,
        scale: float,
    ) -> Tensor:
        far, near = _scores(query, frozen_key, before, scale, "scores"), _scores(query, key, after, scale)
        # A row of padding may see nothing at all; it must stay a number.
        top = torch.maximum(far.amax(-1, keepdim=True), near.amax(-1, keepdim=True)).clamp(min=-1e30)
        far, near = far.sub_(top).exp_(), near.sub_(top).exp_()
        total = (far.sum(-1, keepdim=True) + near.sum(-1, keepdim=True)).clamp(min=1e-30)
        attended = (far.to(query.dtype) @ frozen_value).float() + near @ value.float()
        attended = (attended / total).to(query.dtype)
        ctx.save_for_backward(query, key, value, frozen_key, frozen_value, before, after, attended, top + total.log())
        ctx.scale = scale
        return attended

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        query, key, value, frozen_key, frozen_value, before, after, attended, log_total = ctx.saved_tensors
        [gradient] = gradients
        exact = gradient.float()
        mean = (exact * attended.float()).sum(-1, keepdim=True)
        far = _scores(query, frozen_key, before, ctx.scale, "scores").sub_(log_total).exp_()
        slopes = gradient @ frozen_value.transpose(-1, -2)
        far.mul_(torch.sub(slopes, mean, out=_scratch("slopes", far.shape, far.device)))
        near = _scores(query, key, after, ctx.scale).sub_(log_total).exp_()
        near_scores = near * (exact @ value.float().transpose(-1, -2) - mean)
        of_query = (far.to(query.dtype) @ frozen_key).float() + near_scores @ key.float()
        of_key = near_scores.transpose(-1, -2) @ query.float()
        of_value = near.transpose(-1, -2) @ exact
        return (
            (of_query * ctx.scale).to(query.dtype),
            (of_key * ctx.scale).to(key.dtype),
            of_value.to(value.dtype),
            *[None] * 5,
        )


def _scores(query: Tensor, key: Tensor, hidden: Tensor | None, scale: float, scratch: str = "") -> Tensor:
    """Scores in fp32, `[batch, kv_heads, rows, tokens]`, those that are hidden at minus infinity."""
    shape = (*query.shape[:-1], key.shape[-2])
    turned = (query.float() * scale, key.float().transpose(-1, -2))
    scores = torch.matmul(*turned, out=_scratch(scratch, shape, query.device)) if scratch else torch.matmul(*turned)
    return scores if hidden is None else scores.masked_fill_(hidden, -torch.inf)


def _scratch(name: str, shape: tuple[int, ...], device: torch.device) -> Tensor:
    """Memory for what nobody keeps: fresh pages for every layer would take as long as the arithmetic."""
    size = math.prod(shape)
    held: Tensor | None = getattr(_active, name, None)
    if held is None or held.numel() < size or held.device != device:
        held = torch.empty(size, dtype=torch.float32, device=device)
        setattr(_active, name, held)
    return held[:size].view(shape)
