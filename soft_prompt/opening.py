"""What runs through the model before a reply begins, and the keys and values that it runs behind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from soft_prompt.batch import assemble, require_room
from soft_prompt.encode import Row
from soft_prompt.prefix_store import PrefixStore


@dataclass(frozen=True, eq=False, slots=True)
class Opening:
    """The forward pass that opens replies.

    Attributes:
        embeddings: `[batch, new, hidden]`, in the backbone's dtype.
        mask: `[batch, before + new]`, int64, 0 where padding stands.
        positions: `[batch, new]`, int64, rotary positions.
        layers: keys and values before the new positions, a pair a layer, each `[batch, kv_heads, before, head_dim]`.
        cached: how many positions of each row were not computed for it.
    """

    embeddings: Tensor
    mask: Tensor
    positions: Tensor
    layers: list[tuple[Tensor, Tensor]]
    cached: list[int]


def open_replies(store: PrefixStore, rows: Sequence[Row], room: int, *, reuse: bool) -> Opening:
    """Put rows together, behind what is known of them.

    Args:
        store: prefix keys and values, the last conversations, and the backbone.
        rows: the encoded prompts.
        room: positions that must still fit behind each row, for the reply.
        reuse: whether a single row may go on behind an earlier conversation.

    Raises:
        ContextError: a row and its reply are longer than the backbone's context.
        BackboneError: the rows cannot run together on this backbone.
    """
    known = store.beginning(rows[0]) if reuse and len(rows) == 1 else None
    if known is None:
        batch = assemble(store, rows, room=room)
        cached = batch.mask[:, : batch.cached_length].sum(dim=1).tolist()
        return Opening(batch.embeddings, batch.mask, batch.positions, batch.layers(), cached)
    backbone, length = store.backbone, rows[0].length
    require_room(backbone, length, room)
    return Opening(
        embeddings=known.embeddings(backbone),
        mask=torch.ones((1, length), dtype=torch.int64, device=backbone.device),
        positions=torch.arange(known.length, length, device=backbone.device)[None],
        layers=known.layers,
        cached=[known.length],
    )
