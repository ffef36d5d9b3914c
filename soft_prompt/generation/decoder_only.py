"""Decoding with decoder-only backbones: prefill behind stored keys and values, then one token at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from soft_prompt.graft.adapter_hooks import apply_adapters, batch_adapters
from soft_prompt.model.backbone import Backbone
from soft_prompt.model.kv_cache import preallocated_cache
from soft_prompt.rows.batch import assemble
from soft_prompt.rows.prefix_store import PrefixStore
from soft_prompt.rows.row import Row


class DecoderOnlyPass:
    """The forward passes of a batch: the prefill, then one pass per token.

    Attributes:
        logits: of the next token of each row, `[rows, vocabulary]`.
        cached_tokens: for each row, the number of prompt positions from the store, which computes missing ones.

    Raises:
        ContextError: if a row and its reply are longer than the backbone's context.
        BackboneError: if the rows cannot run together on this backbone.
    """

    def __init__(self, store: PrefixStore, backbone: Backbone, rows: Sequence[Row], max_new_tokens: int) -> None:
        self._backbone = backbone
        self._row_adapters = [row.adapter for row in rows]
        self._adapters = batch_adapters(backbone, self._row_adapters)
        with torch.no_grad():
            batch = assemble(store, rows, max_new_tokens=max_new_tokens)
        self.cached_tokens = batch.mask[:, : batch.cached_length].sum(dim=1).tolist()
        mask = batch.mask
        self._width = mask.shape[1]
        # Without padding a token sees everything and needs no mask. Otherwise the mask is allocated once.
        self._mask = None if mask.all() else torch.nn.functional.pad(mask, (0, max_new_tokens), value=1)
        self._positions = batch.positions[:, -1:]
        layers = int(backbone.model.config.get_text_config().num_hidden_layers)
        self._cache = preallocated_cache(layers, self._width + max_new_tokens)
        for number, (keys, values) in enumerate(batch.layers()):
            self._cache.update(keys, values, number)
        self.logits = self._forward(inputs_embeds=batch.embeddings, attention_mask=mask, position_ids=batch.positions)

    def select_rows(self, kept: Tensor) -> None:
        """Keep some rows of the batch. `kept`: their indices, `[kept]`, int64."""
        self._positions = self._positions[kept]
        self._mask = None if self._mask is None else self._mask[kept]
        self._row_adapters = [self._row_adapters[index] for index in kept.tolist()]
        self._adapters = batch_adapters(self._backbone, self._row_adapters)
        self._cache.batch_select_indices(kept)

    def step(self, tokens: Tensor) -> None:
        """Append one token per row. `tokens`: `[rows]`, int64."""
        self._width += 1
        self._positions = self._positions + 1
        mask = None if self._mask is None else self._mask[:, : self._width]
        self.logits = self._forward(input_ids=tokens[:, None], attention_mask=mask, position_ids=self._positions)

    def _forward(self, **inputs: Any) -> Tensor:
        with torch.no_grad(), apply_adapters(self._backbone, self._adapters):
            logits: Tensor = self._backbone.model(
                **inputs, past_key_values=self._cache, use_cache=True, logits_to_keep=1
            ).logits[:, -1]
        return logits
