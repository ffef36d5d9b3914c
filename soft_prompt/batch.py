"""Rows of different lengths as one forward pass.

All padding stands at the far left. Padding between the cached prefix and the rest would be harmless for full
attention and wrong for sliding windows, so rows are aligned at the right: where one row's suffix is shorter than the
longest, the last tokens of its prefix run through the model again instead of coming from the store.

    row 0   |      cached prefix   |  suffix (longest)        |
    row 1   |  pad | cached prefix |  end of prefix | suffix  |
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from soft_prompt.encode import Row
from soft_prompt.errors import ContextError
from soft_prompt.prefix_store import PrefixStore
from soft_prompt.prompt import SoftPrompt


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
    """
    backbone = store.backbone
    longest = max(row.length for row in rows)
    if longest + room > backbone.max_tokens:
        raise ContextError(
            found=f"a prompt of {longest} tokens with room for {room} more",
            expected=f"at most {backbone.max_tokens} tokens for the backbone {backbone.id!r}",
            next_step="lower `evidence_tokens` or `max_tokens` in domain.yaml, or ask a shorter question",
        )
    new = max(row.suffix_length for row in rows)
    cached_lengths = [max(0, min(len(row.prefix), row.length - new)) for row in rows]
    cached_length = max(cached_lengths)
    embeddings, mask, positions = [], [], []
    for row, cached in zip(rows, cached_lengths, strict=True):
        vectors = _embed(store, row, cached)
        pad = new - vectors.shape[0]
        embeddings.append(torch.nn.functional.pad(vectors, (0, 0, pad, 0)))
        mask.append([0] * (cached_length - cached) + [1] * cached + [0] * pad + [1] * (new - pad))
        positions.append([0] * pad + list(range(cached, row.length)))
    device = backbone.device
    return Batch(
        embeddings=torch.stack(embeddings),
        mask=torch.tensor(mask, device=device),
        positions=torch.tensor(positions, device=device),
        cached=_stack_cached(store, rows, cached_lengths, cached_length),
    )


def _embed(store: PrefixStore, row: Row, cached: int) -> Tensor:
    """Embeddings of everything behind the cached part, `[new, hidden]`."""
    backbone = store.backbone
    parts: list[tuple[int, ...] | SoftPrompt] = [row.prefix[cached:], *row.suffix]
    return torch.cat(
        [
            part.vectors.to(device=backbone.device, dtype=backbone.dtype)
            if isinstance(part, SoftPrompt)
            else backbone.embed(part)
            for part in parts
            if isinstance(part, SoftPrompt) or part
        ]
    )


def _stack_cached(store: PrefixStore, rows: Sequence[Row], lengths: Sequence[int], longest: int) -> Tensor | None:
    if longest == 0:
        return None
    first: Tensor | None = None
    for number, (row, length) in enumerate(zip(rows, lengths, strict=True)):
        if length == 0:
            continue
        entry = store.get(row.prefix)
        if first is None:
            layers, pair, heads, _, head_dim = entry.shape
            first = entry.new_zeros((layers, pair, len(rows), heads, longest, head_dim))
        first[:, :, number, :, longest - length :] = entry[:, :, :, :length]
    return first
