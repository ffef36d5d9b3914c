"""Rows of different lengths as one forward pass.

All padding is at the far left. Padding between the cached prefix and the suffix would be harmless for full attention
and wrong for sliding windows. So rows are aligned on the right: if a row's suffix is shorter than the longest one, the
last tokens of its prefix run through the model again instead of coming from the store.

    row 0   |      cached prefix   |  suffix (longest)        |
    row 1   |  pad | cached prefix |  end of prefix | suffix  |

Some rows have a fixed prefix, no token of which may run again: a `kv` soft prompt is cached between prefix and suffix,
an adapter must not act on the prefix, and in `block` attention passages must not see one another. Shorter suffixes are
then padded, which only backbones without sliding windows allow.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from soft_prompt.errors import BackboneError, ContextError, SoftPromptError
from soft_prompt.graft.prompt import SoftPrompt, keys_and_values
from soft_prompt.model.backbone import Backbone
from soft_prompt.model.kv_cache import LayerKV
from soft_prompt.model.tokenizer import original_context_length
from soft_prompt.rows.prefix_store import PrefixStore
from soft_prompt.rows.row import Row, RowPart, embed_parts


@dataclass(frozen=True, eq=False)
class Batch:
    """One forward pass.

    Attributes:
        embeddings: `[batch, new, hidden]`, in the backbone's dtype; differentiable in the soft prompts' vectors.
        mask: `[batch, cached + kv prompt + new]`, int64, 0 for padding.
        positions: `[batch, new]`, int64, rotary positions.
        cached: `[layers, 2, batch, kv_heads, cached, head_dim]` from the store, without gradient; None if no row has a
            cached part.
        kv_prompts: the same for the positions of `kv` soft prompts, in two parts: the layers that no row trains,
            without gradient, and the others, differentiable; None if there are none.
    """

    embeddings: Tensor
    mask: Tensor
    positions: Tensor
    cached: Tensor | None
    kv_prompts: tuple[Tensor, Tensor] | None

    @property
    def cached_length(self) -> int:
        """Number of positions from the store."""
        return 0 if self.cached is None else int(self.cached.shape[-2])

    def layers(self) -> list[LayerKV]:
        """Keys and values before the new positions, one pair per layer."""
        parts = [part for part in (self.cached_layers(), self.kv_prompt_layers()) if part]
        return [
            (torch.cat([keys for keys, _ in layer], dim=-2), torch.cat([values for _, values in layer], dim=-2))
            for layer in zip(*parts, strict=True)
        ]

    def cached_layers(self) -> list[LayerKV]:
        """The part of `layers` from the store; empty if there is none."""
        return [] if self.cached is None else _split_layers(self.cached)

    def kv_prompt_layers(self) -> list[LayerKV]:
        """The part of `layers` that belongs to `kv` soft prompts; empty if there is none."""
        return [] if self.kv_prompts is None else [layer for part in self.kv_prompts for layer in _split_layers(part)]


def _split_layers(layers: Tensor) -> list[LayerKV]:
    # unbind has one backward for all layers. Indexing would fill a tensor of the whole size for each.
    return [tuple(layer.unbind(0)) for layer in layers.unbind(0)]  # type: ignore[misc]


def assemble(store: PrefixStore, rows: Sequence[Row], *, max_new_tokens: int = 0) -> Batch:
    """Combine rows into a batch, each with space for an answer of `max_new_tokens` behind it.

    Raises:
        ContextError: if a row and its answer are longer than the backbone's context.
        BackboneError: if rows of different lengths have a fixed prefix and the backbone has sliding windows.
    """
    backbone = store.backbone
    require_context(backbone, max(row.length for row in rows), max_new_tokens)
    new = max(row.run_length for row in rows)
    kv_lengths = [row.kv_prompt.length if row.kv_prompt else 0 for row in rows]
    # Number of prefix positions from the store.
    cached_lengths = [len(r.prefix) if r.fixed_prefix else max(0, min(len(r.prefix), r.length - new)) for r in rows]
    cached_width, kv_width = max(cached_lengths), max(kv_lengths)
    shapes = {(row.run_length, kv_length) for row, kv_length in zip(rows, kv_lengths, strict=True)}
    if any(row.fixed_prefix for row in rows) and len(shapes) > 1:
        _refuse_sliding_windows(backbone)
    embeddings, mask, positions = [], [], []
    for row, cached_length, kv_length in zip(rows, cached_lengths, kv_lengths, strict=True):
        vectors = embed_parts(backbone, [row.prefix[cached_length:], *running_suffix(row)])
        pad = new - vectors.shape[0]
        embeddings.append(torch.nn.functional.pad(vectors, (0, 0, pad, 0)))
        mask.append(
            [0] * (cached_width - cached_length)
            + [1] * cached_length
            + [0] * (kv_width - kv_length)
            + [1] * kv_length
            + [0] * pad
            + [1] * (new - pad)
        )
        positions.append([0] * pad + list(range(cached_length + kv_length, row.length)))
    device = backbone.device
    return Batch(
        embeddings=torch.stack(embeddings),
        mask=torch.tensor(mask, device=device),
        positions=torch.tensor(positions, device=device),
        cached=_stack_cached(store, rows, cached_lengths, cached_width) if cached_width else None,
        kv_prompts=_stack_kv_prompts(backbone, rows, kv_width) if kv_width else None,
    )


def require_context(backbone: Backbone, prompt_length: int, max_new_tokens: int) -> None:
    """Raise a `ContextError` if a prompt and its answer are longer than the backbone's context."""
    if prompt_length + max_new_tokens > backbone.context_length:
        longrope = original_context_length(backbone.model.config)
        raise ContextError(
            found=f"a prompt of {prompt_length} tokens and up to {max_new_tokens} more for the answer",
            expected=f"at most {backbone.context_length} tokens for the backbone {backbone.id!r}"
            + (", whose rotary frequencies change beyond that" if longrope else ""),
            next_step="lower `evidence_tokens` or `max_tokens` in domain.yaml, or ask a shorter question",
        )


def require_batch_size(size: int) -> None:
    """Raise a `SoftPromptError` if the number of rows per forward pass is below 1."""
    if size < 1:
        raise SoftPromptError(
            found=f"a batch size of {size}", expected="at least 1", next_step="correct the batch size"
        )


def running_suffix(row: Row) -> list[RowPart]:
    """The parts of the suffix that run through the model: all but a `kv` soft prompt."""
    parts: list[RowPart] = []
    for number, part in enumerate(row.suffix):
        if not isinstance(part, SoftPrompt) or part.kind != "kv":
            parts.append(part)
        elif number != 0:
            raise BackboneError(
                found=f"the kv soft prompt {part.slot!r} behind another soft slot",
                expected="a kv soft prompt in the first soft slot of the template",
                next_step="move the slot in the template, or train the kind `embedding` for it",
            )
    return parts


def _stack_cached(store: PrefixStore, rows: Sequence[Row], lengths: Sequence[int], width: int) -> Tensor:
    """`[layers, 2, batch, kv_heads, width, head_dim]`, padded on the left."""
    backbone = store.backbone
    layers, heads, head_dim = backbone.cache_layout
    cached = torch.empty((layers, 2, len(rows), heads, width, head_dim), dtype=backbone.dtype, device=backbone.device)
    for number, (row, length) in enumerate(zip(rows, lengths, strict=True)):
        target = cached[:, :, number]
        # Attention multiplies masked values by zero, so they must be finite.
        target[..., : width - length, :] = 0
        store.write(row, target[..., width - length :, :], length)
    return cached


def _stack_kv_prompts(backbone: Backbone, rows: Sequence[Row], width: int) -> tuple[Tensor, Tensor]:
    """Each `[layers, 2, batch, kv_heads, width, head_dim]`, padded on the left; see `Batch.kv_prompts`."""
    frozen_layers = min(row.kv_prompt.lower_layers for row in rows if row.kv_prompt)
    pairs = [
        keys_and_values(backbone, row.kv_prompt, len(row.prefix), frozen_layers) if row.kv_prompt else None
        for row in rows
    ]
    like = next(pair for pair in pairs if pair is not None)
    empty = (like[0][..., :0, :].detach(), like[1][..., :0, :].detach())
    frozen, trained = zip(*[pair or empty for pair in pairs], strict=True)
    return _stack_padded(frozen, width), _stack_padded(trained, width)


def _stack_padded(tensors: Sequence[Tensor], width: int) -> Tensor:
    """One tensor per row, `[layers, 2, kv_heads, length, head_dim]`, padded on the left and stacked at dimension 2."""
    return torch.stack([torch.nn.functional.pad(t, (0, 0, width - t.shape[-2], 0)) for t in tensors], dim=2)


def _refuse_sliding_windows(backbone: Backbone) -> None:
    config = backbone.model.config.get_text_config()
    types = getattr(config, "layer_types", None) or []
    # Some configs, such as Mistral's and Phi-3's, have no layer types: then the window applies to every layer.
    if getattr(config, "sliding_window", None) and (not types or "sliding_attention" in types):
        raise BackboneError(
            found=f"rows of different length, and {backbone.id!r} has sliding windows",
            expected="rows of one length for kv, adapters and block attention, since windows count padding",
            next_step="ask one question at a time, or: softgraft train DOMAIN --kind embedding --adapter none",
        )
