"""Rows of different lengths as one forward pass.

All padding stands at the far left. Padding between the cached prefix and the rest would be harmless for full
attention and wrong for sliding windows, so rows are aligned at the right: where one row's suffix is shorter than the
longest, the last tokens of its prefix run through the model again instead of coming from the store.

    row 0   |      cached prefix   |  suffix (longest)        |
    row 1   |  pad | cached prefix |  end of prefix | suffix  |

A `kv` soft prompt lies in the cache behind its prefix and runs nothing through the model; behind it a shorter suffix
has to be padded, which only backbones without sliding windows allow.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from soft_prompt.backbone import Backbone
from soft_prompt.encode import Row
from soft_prompt.errors import BackboneError, ContextError
from soft_prompt.prefix_store import PrefixStore
from soft_prompt.prompt import SoftPrompt, keys_and_values


@dataclass(frozen=True, eq=False)
class Batch:
    """One forward pass.

    Attributes:
        embeddings: `[batch, new, hidden]`, in the backbone's dtype; differentiable in the soft prompts' vectors.
        mask: `[batch, cached + new]`, int64, 0 where padding stands.
        positions: `[batch, new]`, int64, rotary positions.
        cached: `[layers, 2, batch, kv_heads, cached, head_dim]`, or None where no row has a cached part.
    """

    embeddings: Tensor
    mask: Tensor
    positions: Tensor
    cached: Tensor | None

    @property
    def cached_length(self) -> int:
        """Positions that come from the store."""
        return 0 if self.cached is None else int(self.cached.shape[-2])


def assemble(store: PrefixStore, rows: Sequence[Row], *, room: int = 0) -> Batch:
    """Put rows together.

    Args:
        store: gives the keys and values of prefixes, and knows the backbone.
        rows: the encoded prompts.
        room: positions that must still fit behind each row, for the answer.

    Raises:
        ContextError: a row and its answer are longer than the backbone's context.
        BackboneError: `kv` soft prompts with rows of different length on a backbone with sliding windows.
    """
    backbone = store.backbone
    longest = max(row.length for row in rows)
    if longest + room > backbone.max_tokens:
        raise ContextError(
            found=f"a prompt of {longest} tokens with room for {room} more",
            expected=f"at most {backbone.max_tokens} tokens for the backbone {backbone.id!r}",
            next_step="lower `evidence_tokens` or `max_tokens` in domain.yaml, or ask a shorter question",
        )
    new = max(row.run_length for row in rows)
    if any(row.front is not None and row.run_length < new for row in rows):
        _refuse_sliding_windows(backbone)
    # A kv soft prompt stands between prefix and suffix, so no prefix token can run again behind it.
    taken = [len(r.prefix) if r.front else max(0, min(len(r.prefix), r.length - new)) for r in rows]
    cached = [t + (r.front.length if r.front else 0) for t, r in zip(taken, rows, strict=True)]
    widest = max(cached)
    embeddings, mask, positions = [], [], []
    for row, from_store, in_cache in zip(rows, taken, cached, strict=True):
        vectors = _embed(store, row, from_store)
        pad = new - vectors.shape[0]
        embeddings.append(torch.nn.functional.pad(vectors, (0, 0, pad, 0)))
        mask.append([0] * (widest - in_cache) + [1] * in_cache + [0] * pad + [1] * (new - pad))
        positions.append([0] * pad + list(range(in_cache, row.length)))
    device = backbone.device
    return Batch(
        embeddings=torch.stack(embeddings),
        mask=torch.tensor(mask, device=device),
        positions=torch.tensor(positions, device=device),
        cached=_stack_cached(store, rows, taken, widest) if widest else None,
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
        elif part.kind == "embedding":
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
    columns = []
    for row, from_store in zip(rows, taken, strict=True):
        parts = [store.get(row.prefix)[..., :from_store, :]] if from_store else []
        if row.front is not None:
            parts.append(keys_and_values(store.backbone, row.front, len(row.prefix)))
        columns.append(torch.cat(parts, dim=-2) if parts else None)
    like = next(column for column in columns if column is not None)
    empty = like[..., :0, :]
    padded = [
        torch.nn.functional.pad(c, (0, 0, widest - c.shape[-2], 0))
        for c in (empty if column is None else column for column in columns)
    ]
    return torch.stack(padded, dim=2)


def _refuse_sliding_windows(backbone: Backbone) -> None:
    config = backbone.model.config.get_text_config()
    kinds = getattr(config, "layer_types", None) or []
    if any(kind == "sliding_attention" for kind in kinds):
        raise BackboneError(
            found=f"kv soft prompts in rows of different length on {backbone.id!r}, which has sliding windows",
            expected="rows of one length there, since windows count padding",
            next_step="ask one question at a time, or train the kind `embedding`",
        )
