"""Attention of one engine step: every token attends to the runs of its row and to its row's own blocks.

Rows that share a run are one product with its keys (as in Hydragen, Juravsky et al. 2024, arXiv:2402.05099). The parts
of a row's attention are joined by their log sums of exponentials.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from soft_prompt.engine.layout import PromptGroup, PromptMasks, StepLayout, Window
from soft_prompt.engine.native.kernel import Kernels

# The log sum of exponentials of a row that sees nothing: finite, since two infinite ones have no difference.
NOTHING = -1e30
# Attended values, fp32 or the backbone's dtype, `[..., rows, head_dim]`, and the log of the sum of exponentials of the
# scores in fp32, `[..., rows]`.
Part = tuple[Tensor, Tensor]

_active = threading.local()


@contextmanager
def engine_step(layout: StepLayout, kernels: Kernels | None) -> Iterator[None]:
    """Within this context, attention in this thread is that of an engine step. `kernels`: None for PyTorch alone."""
    _active.layout, _active.kernels = layout, kernels
    try:
        yield
    finally:
        _active.layout = _active.kernels = None


def no_mask(*_: object, **__: object) -> None:
    """The engine's attention knows who attends to what, so Transformers need not make a mask."""
    return


def engine_attention(
    module: torch.nn.Module, query: Tensor, key: Tensor, value: Tensor, _mask: Tensor | None, **options: Any
) -> tuple[Tensor, None]:
    """Attention for Transformers models, within `engine_step`.

    Args:
        module: the attention layer.
        query: `[1, heads, tokens, head_dim]`: all new tokens of all rows, one after the other.
        key, value: `[1, kv_heads, tokens, head_dim]`.
        options: `scaling`, `sliding_window` and `softcap`, as Transformers passes them.

    Returns:
        `[1, tokens, heads, head_dim]`, and None for the attention weights.
    """
    layout: StepLayout = _active.layout
    layer = int(module.layer_idx)  # type: ignore[arg-type]
    scale = float(options.get("scaling") or query.shape[-1] ** -0.5)
    query, key, value = (x[0].transpose(0, 1) for x in (query, key, value))
    window, softcap = layout.window(options.get("sliding_window")), options.get("softcap")
    attended = attend_tokens(query, key, value, layout, window, layer, scale, softcap, _active.kernels)
    return attended[None], None


def attend_tokens(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    layout: StepLayout,
    window: Window,
    layer: int,
    scale: float,
    softcap: float | None,
    kernels: Kernels | None,
) -> Tensor:
    """Write the new keys and values of a step to the pool, and attend.

    Args:
        query: `[tokens, heads, head_dim]`.
        key, value: `[tokens, kv_heads, head_dim]`.
        layout: of the step.
        window: of the layer.
        layer: its number.
        scale, softcap: of the scores.
        kernels: attend for the decoding rows, if `layout` was made for them.

    Returns:
        `[tokens, heads, head_dim]`.
    """
    tokens, heads, head_dim = query.shape
    kv_heads, count = key.shape[1], layout.decoding
    # The kernels write the keys and values of decoding rows themselves.
    written = count if layout.kernel_step is not None else 0
    if written < tokens:
        places = (layout.places[0][written:], layout.places[1][written:])
        layout.pool.write(layer, *places, key[written:], value[written:])
    # Query heads that share a key head become rows of one head.
    grouped = query.reshape(tokens, kv_heads, heads // kv_heads, head_dim)
    results = []
    if layout.kernel_step is not None and kernels is not None:
        rows, new_keys, new_values = (_with_dense_rows(x[:count]) for x in (query, key, value))
        if new_keys.stride(0) != new_values.stride(0):
            new_keys, new_values = new_keys.contiguous(), new_values.contiguous()
        call = kernels.attention(rows, new_keys, new_values, layout.kernel_step, layer, window.low, scale, softcap)
        call.write()
        results.append(call.attend(run_parts_as_one(grouped[:count], layout, window, layer, scale, softcap)))
    elif count:
        parts = list(_run_parts(grouped[:count], layout, window, layer, scale, softcap))
        parts.append(_own_part(grouped[:count], layout, window, layer, scale, softcap))
        results.append(_join(parts).reshape(-1, heads, head_dim))
    for group, masks in zip(layout.prompts, window.prompts, strict=True):
        some = grouped[group.first : group.first + group.tokens]
        results.append(_prompt_attention(some, group, masks, layout, layer, scale, softcap))
    return results[0] if len(results) == 1 else torch.cat(results)


def _with_dense_rows(x: Tensor) -> Tensor:
    """`[rows, heads, head_dim]` with the heads of a row side by side in memory."""
    return x if x.stride()[1:] == (x.shape[2], 1) else x.contiguous()


def _prompt_attention(
    rows: Tensor,
    group: PromptGroup,
    masks: PromptMasks,
    layout: StepLayout,
    layer: int,
    scale: float,
    softcap: float | None,
) -> Tensor:
    """Attention of slices with the same runs, `[tokens, kv_heads, groups, head_dim]` to `[tokens, heads, head_dim]`."""
    tokens, kv_heads, groups, head_dim = rows.shape

    def by_head(some: Tensor) -> Tensor:
        """`[1, kv_heads, tokens * groups, head_dim]`."""
        return some.transpose(0, 1).reshape(1, kv_heads, -1, head_dim)

    together, parts = by_head(rows), []
    for run, mask in zip(group.runs, masks.runs, strict=True):
        keys, values = run.layers[layer]
        parts.append(_attend(together, keys[None], values[None], mask, scale, softcap))
    own, first = [], 0
    for one, mask in zip(group.slices, masks.own, strict=True):
        some = together if len(group.slices) == 1 else by_head(rows[first : first + one.tokens])
        own.append(_attend(some, *layout.pool.positions(layer, one.blocks, 1), mask, scale, softcap))
        first += one.tokens
    outs, sums = zip(*own, strict=True)
    parts.append(own[0] if len(own) == 1 else (torch.cat(outs, dim=2), torch.cat(sums, dim=2)))
    return _join(parts).view(kv_heads, tokens, groups, head_dim).transpose(0, 1).reshape(tokens, -1, head_dim)


def run_parts_as_one(
    rows: Tensor, layout: StepLayout, window: Window, layer: int, scale: float, softcap: float | None
) -> Part | None:
    """Attention to the runs in the layout's levels, for the kernels; None if there are none.

    Args:
        rows: queries of the decoding rows, `[rows, kv_heads, groups, head_dim]`.
        layout, window, layer, scale, softcap: of the step and the layer.

    Returns:
        fp32 and contiguous, `[rows, heads, head_dim]` and the log sums, `[rows, heads]`.
    """
    parts = list(_run_parts(rows, layout, window, layer, scale, softcap))
    if not parts:
        return None
    joined, log_sum = parts[0][0].float(), parts[0][1]
    if len(parts) > 1:
        log_sums = torch.stack([one for _, one in parts])
        log_sum = torch.logsumexp(log_sums, dim=0)
        weights = torch.exp(log_sums - log_sum)[..., None]
        joined = joined * weights[0]
        for (out, _), weight in zip(parts[1:], weights[1:], strict=True):
            joined = torch.addcmul(joined, out.float(), weight)
    count, head_dim = len(rows), rows.shape[-1]
    return joined.reshape(count, -1, head_dim).contiguous(), log_sum.reshape(count, -1).contiguous()


def _run_parts(
    rows: Tensor, layout: StepLayout, window: Window, layer: int, scale: float, softcap: float | None
) -> Iterator[Part]:
    """The parts of decoding rows `[rows, kv_heads, groups, head_dim]` that belong to runs, one per level."""
    count, kv_heads, groups, head_dim = rows.shape
    for number, level in enumerate(layout.levels):
        chosen = rows if level.order is None else rows.index_select(0, level.order)
        parts = []
        first = 0
        for (run, size), mask in zip(level.runs, window.level_masks[number], strict=True):
            keys, values = run.layers[layer]
            some = chosen[first : first + size]
            together = some.transpose(0, 1).reshape(1, kv_heads, size * groups, head_dim)
            out, log_sum = _attend(together, keys[None], values[None], mask, scale, softcap)
            parts.append((
                out.view(kv_heads, size, groups, head_dim).transpose(0, 1),
                log_sum.view(kv_heads, size, groups).transpose(0, 1),
            ))  # fmt: skip
            first += size
        out, log_sum = parts[0] if len(parts) == 1 else tuple(torch.cat(some) for some in zip(*parts, strict=True))
        if level.order is not None:
            # Rows without a run at this level get the weight zero.
            all_out = out.new_zeros((count, kv_heads, groups, head_dim))
            all_sums = log_sum.new_full((count, kv_heads, groups), NOTHING)
            out, log_sum = all_out.index_copy_(0, level.order, out), all_sums.index_copy_(0, level.order, log_sum)
        yield out, log_sum


def _own_part(
    rows: Tensor, layout: StepLayout, window: Window, layer: int, scale: float, softcap: float | None
) -> Part:
    keys, values = layout.pool.positions(layer, layout.tables, layout.decoding)
    return _attend(rows, keys, values, window.own_mask, scale, softcap)


def _attend(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, scale: float, softcap: float | None
) -> Part:
    """Attention and its log sums.

    Args:
        query: `[batch, kv_heads, rows, head_dim]`.
        key, value: `[batch, kv_heads, positions, head_dim]`.
        mask: added to the scores, `[batch, 1, 1 or rows, positions]`; None adds nothing.
        scale: of the scores.
        softcap: bound of the scores, as `softcap * tanh(score / softcap)`; None for none.
    """
    if softcap is None and query.device.type == "cpu" and key.shape[-1] == value.shape[-1]:
        if mask is not None:
            mask = mask.expand(query.shape[0], 1, query.shape[2], key.shape[2])
        part: Part = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
            query, key, value, attn_mask=mask, scale=scale
        )
        return part
    scores = torch.matmul(query, key.transpose(-1, -2)).float() * scale
    if softcap is not None:
        scores = torch.tanh(scores / softcap) * softcap
    scores = scores if mask is None else scores + mask
    log_sum = torch.logsumexp(scores, dim=-1)
    return torch.matmul(torch.exp(scores - log_sum[..., None]).to(value.dtype), value), log_sum


def _join(parts: Sequence[Part]) -> Tensor:
    """Attention to several sets of keys as if they were one, in the dtype of the values."""
    if len(parts) == 1:
        return parts[0][0]
    log_sums = torch.stack([log_sum for _, log_sum in parts])
    weights = torch.softmax(log_sums, dim=0)[..., None]
    joined = parts[0][0] * weights[0]
    for (out, _), weight in zip(parts[1:], weights[1:], strict=True):
        joined = torch.addcmul(joined, out.to(joined.dtype), weight)
    return joined.to(parts[0][0].dtype)
