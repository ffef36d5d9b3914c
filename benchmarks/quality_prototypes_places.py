"""Trained keys and values at places of their own, seen only by what comes after the soft slot.

Passages never see them, so their own keys and values stay in the cache. They ride in the `kv` soft prompt of the slot:
the engine turns its keys to where the slot falls, so these are turned back before by the way that they are to go.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from quality_data import Question
from quality_prototypes_rows import PLAIN, RowPrototype, Start
from soft_prompt import Attention, Backbone, PrefixStore, Row, SoftPrompt, encode_prompt, kv_from_text_twin
from soft_prompt.rotary import shift

EARLY, BRIDGE = "early", "bridge"
BRIDGE_LENGTH = 2


class EarlyKeys(RowPrototype):
    """A second `kv` prompt of 32 in the system message, before the passages, beside that of the slot."""

    def extra(self, store: PrefixStore, questions: Sequence[Question]) -> Start:
        row = encode_prompt(self.where.backbone, questions[0].prompt, {})
        twin = kv_from_text_twin(store, self.where.slot, self.where.twin, row.segments[0], PLAIN.length)
        return {EARLY: (twin.vectors, PLAIN.rate)}

    def dress(self, row: Row, text: str, now: SoftPrompt) -> Row:
        return _with_keys_at(self.where.backbone, row, now, self.tensors[EARLY], [len(row.segments[0])])


class Bridges(RowPrototype):
    """Two trained positions behind each passage, the same for all passages, in `block` attention."""

    attention: Attention = "block"

    def extra(self, store: PrefixStore, questions: Sequence[Question]) -> Start:
        row = encode_prompt(self.where.backbone, questions[0].prompt, {})
        start = kv_from_text_twin(store, self.where.slot, "\n\n", row.segments[0], BRIDGE_LENGTH)
        return {BRIDGE: (start.vectors, PLAIN.rate)}

    def dress(self, row: Row, text: str, now: SoftPrompt) -> Row:
        ends = [*row.cuts[1:], len(row.prefix)] if row.cuts else []
        return _with_keys_at(self.where.backbone, row, now, self.tensors[BRIDGE], ends)


def _with_keys_at(backbone: Backbone, row: Row, now: SoftPrompt, keys_and_values: Tensor, places: Sequence[int]) -> Row:
    """The row with its soft prompt and, behind it in the cache, the same keys and values at each of some positions.

    Args:
        backbone: whose rotary embedding is used.
        row: an encoded prompt.
        now: of the kind `kv`.
        keys_and_values: `[layers, 2, kv_heads, length, head_dim]`, keys without rotary position.
        places: position of the first key, once each time.
    """
    vectors, length = [now.vectors], keys_and_values.shape[3]
    for number, place in enumerate(places):
        would_be = len(row.prefix) + now.length + number * length
        keys = shift(backbone, keys_and_values[:, 0], place - would_be)
        vectors.append(torch.stack((keys, keys_and_values[:, 1]), dim=1))
    return row.with_soft_prompt(replace(now, vectors=torch.cat(vectors, dim=3)))
