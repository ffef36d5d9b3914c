"""Attention of one engine step: every token attends to the runs of its row and to its row's own blocks.

Rows that share a run are one product with its keys (as in Hydragen, Juravsky et al. 2024, arXiv:2402.05099). The parts
of a row's attention are joined by their log sums of exponentials.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from soft_prompt.engine.layout import StepLayout, Window
from soft_prompt.engine.native.kernel import Kernels

# Attended values, fp32 or the backbone's dtype, `[..., rows, head_dim]`, and the log of the sum of exponentials of the
# scores in fp32, `[..., rows]`.
Part = tuple[Tensor, Tensor]

_active = threading.local()


@contextmanager
def engine_step(layout: StepLayout, kernels: Kernels | None) -> Iterator[None]:
    """Within this context, attention in this thread is that of an engine step, with or without a compiled kernels."""
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
    heads, tokens, head_dim = query.shape[1:]
    kv_heads = key.shape[1]
    scale = float(options.get("scaling") or head_dim**-0.5)
    softcap, window = options.get("softcap"), layout.window(options.get("sliding_window"))
    new_keys, new_values = key[0].transpose(0, 1), value[0].transpose(0, 1)
    # The kernel writes the keys and values of decoding rows itself.
    written = layout.decoding if layout.kernel_step is not None else 0
    if written < tokens:
        places = (layout.places[0][written:], layout.places[1][written:])
        layout.pool.write(layer, *places, new_keys[written:], new_values[written:])
    # Query heads that share a key head become rows of one head.
    grouped = query[0].view(kv_heads, heads // kv_heads, tokens, head_dim)
    results = []
    if layout.decoding:
        rows = grouped[:, :, : layout.decoding].permute(2, 0, 1, 3)
        if layout.kernel_step is not None:
            new = (x[: layout.decoding].contiguous() for x in (query[0].transpose(0, 1), new_keys, new_values))
            call = _active.kernels.attention(*new, layout.kernel_step, layer, window.low, scale, softcap)
            call.write()
            results.append(call.attend(run_parts_as_one(rows, layout, window, layer, scale, softcap)))
        else:
            parts = list(_run_parts(rows, layout, window, layer, scale, softcap))
            parts.append(_own_part(rows, layout, window, layer, scale, softcap))
            results.append(_join(parts).reshape(-1, heads, head_dim))
    for number, prompt in enumerate(layout.prompts):
        rows = grouped[:, :, prompt.first : prompt.first + prompt.tokens].reshape(1, kv_heads, -1, head_dim)
        parts = []
        for run, mask in zip(prompt.runs, window.prompt_run_masks[number], strict=True):
            keys, values = run.layers[layer]
            parts.append(_attend(rows, keys[None], values[None], mask, scale, softcap))
        own = layout.pool.positions(layer, prompt.blocks, 1)
        parts.append(_attend(rows, *own, window.prompt_own_masks[number], scale, softcap))
        attended = _join(parts).view(heads, prompt.tokens, head_dim)
        results.append(attended.transpose(0, 1))
    return (results[0] if len(results) == 1 else torch.cat(results))[None], None


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
            all_sums = log_sum.new_full((count, kv_heads, groups), -math.inf)
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
