"""Rows of different lengths as one forward pass.

All padding stands at the far left. Padding between the cached prefix and the rest would be harmless for full
attention and wrong for sliding windows, so rows are aligned at the right: where one row's suffix is shorter than the
longest, the last tokens of its prefix run through the model again instead of coming from the store.

    row 0   |      cached prefix   |  suffix (longest)        |
    row 1   |  pad | cached prefix |  end of prefix | suffix  |

A `kv` soft prompt lies in the cache behind its prefix and runs nothing through the model; behind it a shorter suffix
has to be padded, which only backbones without sliding windows allow. The same holds where an adapter acts from the slot
on, since the prefix must not meet it, and where passages do not see one another.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from soft_prompt.errors import BackboneError, ContextError
from soft_prompt.graft.prompt import SoftPrompt, keys_and_values
from soft_prompt.model.backbone import Backbone
from soft_prompt.rows.prefix_store import PrefixStore
from soft_prompt.rows.row import Row


@dataclass(frozen=True, eq=False)
class Batch:
    """One forward pass.

    Attributes:
        embeddings: `[batch, new, hidden]`, in the backbone's dtype; differentiable in the soft prompts' vectors.
        mask: `[batch, cached + fronts + new]`, int64, 0 where padding stands.
        positions: `[batch, new]`, int64, rotary positions.
        cached: `[layers, 2, batch, kv_heads, cached, head_dim]` from the store, without gradient; None where no row
            has a cached part.
        fronts: the same over the positions of the `kv` soft prompts, in two parts: the layers that no row trains,
            without gradient, and the others, differentiable; None where there are none.
    """

    embeddings: Tensor
    mask: Tensor
    positions: Tensor
    cached: Tensor | None
    fronts: tuple[Tensor, Tensor] | None

    @property
    def cached_length(self) -> int:
        """Positions that come from the store."""
        return 0 if self.cached is None else int(self.cached.shape[-2])

    def layers(self) -> list[tuple[Tensor, Tensor]]:
        """Keys and values before the new positions, a pair a layer, each `[batch, kv_heads, tokens, head_dim]`."""
        parts = [part for part in (self.cached_layers(), self.kv_prompt_layers()) if part]
        return [
            (torch.cat([keys for keys, _ in layer], dim=-2), torch.cat([values for _, values in layer], dim=-2))
            for layer in zip(*parts, strict=True)
        ]

    def cached_layers(self) -> list[tuple[Tensor, Tensor]]:
        """Those of `layers` that come from the store; empty where none do."""
        return [] if self.cached is None else _pairs(self.cached)

    def kv_prompt_layers(self) -> list[tuple[Tensor, Tensor]]:
        """Those of `layers` that belong to `kv` soft prompts; empty where there are none."""
        return [] if self.fronts is None else [*_pairs(self.fronts[0]), *_pairs(self.fronts[1])]


def _pairs(layers: Tensor) -> list[tuple[Tensor, Tensor]]:
    # unbind has one backward for all layers; indexing would fill a tensor of the whole size for each.
    return [tuple(layer.unbind(0)) for layer in layers.unbind(0)]  # type: ignore[misc]


def assemble(store: PrefixStore, rows: Sequence[Row], *, max_new_tokens: int = 0) -> Batch:
    """Put rows together.

    Args:
        store: gives the keys and values of prefixes, and knows the backbone.
        rows: the encoded prompts.
        max_new_tokens: positions that must still fit behind each row, for the answer.

    Raises:
        ContextError: a row and its answer are longer than the backbone's context.
        BackboneError: `kv` soft prompts with rows of different length on a backbone with sliding windows.
    """
    backbone = store.backbone
    require_context(backbone, max(row.length for row in rows), max_new_tokens)
    new = max(row.run_length for row in rows)
    fronts = [row.kv_prompt.length if row.kv_prompt else 0 for row in rows]
    # A kv soft prompt stands between prefix and suffix, so no prefix token can run again behind it; nor may one run
    # again where it would meet an adapter, or see a passage that it must not see.
    taken = [len(r.prefix) if r.fixed_prefix else max(0, min(len(r.prefix), r.length - new)) for r in rows]
    widest, front = max(taken), max(fronts)
    if (
        any(row.fixed_prefix for row in rows)
        and len({(row.run_length, length) for row, length in zip(rows, fronts, strict=True)}) > 1
    ):
        _refuse_sliding_windows(backbone)
    embeddings, mask, positions = [], [], []
    for row, from_store, own in zip(rows, taken, fronts, strict=True):
        vectors = _embed(store, row, from_store)
        pad = new - vectors.shape[0]
        embeddings.append(torch.nn.functional.pad(vectors, (0, 0, pad, 0)))
        cached = [0] * (widest - from_store) + [1] * from_store + [0] * (front - own) + [1] * own
        mask.append(cached + [0] * pad + [1] * (new - pad))
        positions.append([0] * pad + list(range(from_store + own, row.length)))
    device = backbone.device
    return Batch(
        embeddings=torch.stack(embeddings),
        mask=torch.tensor(mask, device=device),
        positions=torch.tensor(positions, device=device),
        cached=_stack_cached(store, rows, taken, widest) if widest else None,
        fronts=_stack_fronts(store, rows, front) if front else None,
    )


def require_context(backbone: Backbone, longest: int, max_new_tokens: int) -> None:
    """Refuse a prompt of `longest` positions with `max_new_tokens` more behind it if the backbone's context is shorter.

    Raises:
        ContextError: it is.
    """
    if longest + max_new_tokens > backbone.context_length:
        raise ContextError(
            found=f"a prompt of {longest} tokens with max_new_tokens for {max_new_tokens} more",
            expected=f"at most {backbone.context_length} tokens for the backbone {backbone.id!r}"
            + (", whose rotary frequencies change beyond that" if backbone.original_context_length else ""),
            next_step="lower `evidence_tokens` or `max_tokens` in domain.yaml, or ask a shorter question",
        )


def _embed(store: PrefixStore, row: Row, from_store: int) -> Tensor:
    """Embeddings of everything that runs through the model, `[new, hidden]`."""
    backbone = store.backbone
    parts: list[tuple[int, ...] | SoftPrompt] = [row.prefix[from_store:], *row.suffix]
    embedded = []
    for number, part in enumerate(parts):
        if not isinstance(part, SoftPrompt):
            if part:
                embedded.append(backbone.embed(part))
        elif part.kind != "kv":
            embedded.append(part.vectors.to(device=backbone.device, dtype=backbone.dtype))
        elif number != 1:
            raise BackboneError(
                found=f"the kv soft prompt {part.slot!r} behind another soft slot",
                expected="a kv soft prompt in the first soft slot of the template",
                next_step="move the slot in the template, or train the kind `embedding` for it",
            )
    return torch.cat(embedded)


def _stack_cached(store: PrefixStore, rows: Sequence[Row], taken: Sequence[int], widest: int) -> Tensor:
    """`[layers, 2, batch, kv_heads, widest, head_dim]`, padded at the left."""
    backbone = store.backbone
    layers, heads, head_dim = backbone.cache_layout
    whole = torch.empty((layers, 2, len(rows), heads, widest, head_dim), dtype=backbone.dtype, device=backbone.device)
    for number, (row, from_store) in enumerate(zip(rows, taken, strict=True)):
        mine = whole[:, :, number]
        # What is masked is multiplied by zero, which only numbers survive.
        mine[..., : widest - from_store, :] = 0
        store.write(row, mine[..., widest - from_store :, :], from_store)
    return whole


def _stack_fronts(store: PrefixStore, rows: Sequence[Row], front: int) -> tuple[Tensor, Tensor]:
    """The `kv` soft prompts behind their prefixes, padded at the left: layers that no row trains, and the others."""
    cut = min(row.kv_prompt.lower_layers for row in rows if row.kv_prompt)
    columns = [keys_and_values(store.backbone, r.kv_prompt, len(r.prefix), cut) if r.kv_prompt else None for r in rows]
    like = next(column for column in columns if column is not None)
    none = (like[0][..., :0, :].detach(), like[1][..., :0, :].detach())
    lower, upper = zip(*[column or none for column in columns], strict=True)
    return _side_by_side(lower, front), _side_by_side(upper, front)


def _side_by_side(columns: Sequence[Tensor], front: int) -> Tensor:
    """One a row, padded at the left, as `[layers, 2, batch, kv_heads, front, head_dim]`."""
    return torch.stack([torch.nn.functional.pad(c, (0, 0, front - c.shape[-2], 0)) for c in columns], dim=2)


def _refuse_sliding_windows(backbone: Backbone) -> None:
    config = backbone.model.config.get_text_config()
    kinds = getattr(config, "layer_types", None) or []
    # Some configurations, as Mistral's and Phi-3's, name no layer types: then the window is every layer's.
    if getattr(config, "sliding_window", None) and (not kinds or "sliding_attention" in kinds):
        raise BackboneError(
            found=f"rows of different length, and {backbone.id!r} has sliding windows",
            expected="rows of one length for kv, adapters and block attention, since windows count padding",
            next_step="ask one question at a time, or: softgraft train DOMAIN --kind embedding --adapter none",
        )
