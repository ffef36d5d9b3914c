"""Decoding with decoder-only backbones: prefill behind stored keys and values, then one token at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from soft_prompt.graft.adapter_hooks import apply_adapters, batch_adapters
from soft_prompt.model.backbone import Backbone
from soft_prompt.model.kv_cache import LayerKV, preallocated_cache
from soft_prompt.rows.batch import assemble, require_context
from soft_prompt.rows.prefix_store import PrefixStore
from soft_prompt.rows.row import Row


@dataclass(frozen=True, eq=False, slots=True)
class PrefillInputs:
    """Inputs of the forward pass before the first token of the replies.

    Attributes:
        embeddings: `[batch, new, hidden]`, in the backbone's dtype.
        mask: `[batch, cached + new]`, int64, 0 for padding.
        positions: `[batch, new]`, int64, rotary positions.
        layers: keys and values before the new positions, one pair per layer.
        cached_tokens: for each row, the number of positions that are not computed again.
    """

    embeddings: Tensor
    mask: Tensor
    positions: Tensor
    layers: list[LayerKV]
    cached_tokens: list[int]


def prefill_inputs(store: PrefixStore, rows: Sequence[Row], max_new_tokens: int, *, reuse: bool) -> PrefillInputs:
    """Combine rows behind the keys and values that exist already.

    Args:
        store: prefix keys and values, the last conversations, and the backbone.
        rows: the encoded prompts.
        max_new_tokens: number of positions for the reply that must fit behind each row.
        reuse: whether a single row may continue an earlier conversation.

    Raises:
        ContextError: if a row and its reply are longer than the backbone's context.
        BackboneError: if the rows cannot run together on this backbone.
    """
    reused = store.reusable_prefix(rows[0]) if reuse and len(rows) == 1 else None
    if reused is None:
        batch = assemble(store, rows, max_new_tokens=max_new_tokens)
        cached = batch.mask[:, : batch.cached_length].sum(dim=1).tolist()
        return PrefillInputs(batch.embeddings, batch.mask, batch.positions, batch.layers(), cached)
    backbone, length = store.backbone, rows[0].length
    require_context(backbone, length, max_new_tokens)
    return PrefillInputs(
        embeddings=reused.embeddings(backbone),
        mask=torch.ones((1, length), dtype=torch.int64, device=backbone.device),
        positions=torch.arange(reused.length, length, device=backbone.device)[None],
        layers=reused.layers,
        cached_tokens=[reused.length],
    )


class DecoderOnlyPass:
    """The forward passes of a batch: the prefill, then one pass per token.

    Attributes:
        logits: of the next token of each row, `[rows, vocabulary]`.
        cached_tokens: for each row, the number of prompt positions that came from the store.
        cache: keys and values of everything that has run.
        reuse: whether a single row may continue an earlier conversation, and later ones this.
    """

    def __init__(
        self, store: PrefixStore, backbone: Backbone, rows: Sequence[Row], max_new_tokens: int, *, reuse: bool
    ) -> None:
        self._backbone = backbone
        self.reuse = reuse
        self._row_adapters = [row.adapter for row in rows]
        self._adapters = batch_adapters(backbone, self._row_adapters)
        with torch.no_grad():
            inputs = prefill_inputs(store, rows, max_new_tokens, reuse=reuse)
        self._width = inputs.mask.shape[1]
        # Without padding a token sees everything and needs no mask. Otherwise the mask is allocated once.
        padded = not bool(inputs.mask.all())
        self._mask = torch.nn.functional.pad(inputs.mask, (0, max_new_tokens), value=1) if padded else None
        self._positions = inputs.positions[:, -1:]
        self.cached_tokens = inputs.cached_tokens
        layers = int(backbone.model.config.get_text_config().num_hidden_layers)
        self.cache = preallocated_cache(layers, self._width + max_new_tokens)
        for number, (keys, values) in enumerate(inputs.layers):
            self.cache.update(keys, values, number)
        self.logits = self._forward(
            inputs_embeds=inputs.embeddings, attention_mask=inputs.mask, position_ids=inputs.positions
        )

    def select_rows(self, kept: Tensor) -> None:
        """Keep some rows of the batch. `kept`: their indices, `[kept]`, int64."""
        self._positions = self._positions[kept]
        self._mask = None if self._mask is None else self._mask[kept]
        self._row_adapters = [self._row_adapters[index] for index in kept.tolist()]
        self._adapters = batch_adapters(self._backbone, self._row_adapters)
        self.cache.batch_select_indices(kept)

    def step(self, tokens: Tensor) -> None:
        """Append one token per row. `tokens`: `[rows]`, int64."""
        self._width += 1
        self._positions = self._positions + 1
        mask = None if self._mask is None else self._mask[:, : self._width]
        self.logits = self._forward(input_ids=tokens[:, None], attention_mask=mask, position_ids=self._positions)

    def _forward(self, **inputs: Any) -> Tensor:
        with torch.no_grad(), apply_adapters(self._backbone, self._adapters):
            logits: Tensor = self._backbone.model(
                **inputs, past_key_values=self.cache, use_cache=True, logits_to_keep=1
            ).logits[:, -1]
        return logits
